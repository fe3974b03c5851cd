"""Many hosts on one side: behind one address, of one network, or asked by one source."""

from tests.scenarios.conversations import (
    OFFICE,
    SERVED_BYTES,
    call,
    client_port,
    closed,
    flatten,
    half_open,
    peer,
    served,
    syn_scan_of,
)
from tests.scenarios.scenario import Named, scenario
from tests.support.build import FRIEND, HOST, Sent, fin_ack, in_time, ping, pong, syn_ack, udp, udp_reply


@scenario(home="192.0.2.0/28")
def load_balancer_checks() -> list[Sent]:
    """Two load balancers check two ports of six backends every five seconds; one backend is down.

    Nobody is named: checks are half open and never end, but nearly all are answered.
    """
    packets: list[Sent] = []
    for turn in range(7):
        for nth in range(6):
            for port in (80, 8443):
                backend = f"192.0.2.{nth + 5}"
                asked = call(peer(turn % 2), port, dst=backend, at=turn * 5 + nth * 0.01, ttl=60)
                if nth == 4:
                    packets += [asked]
                elif nth == 3 and port == 8443:
                    packets += closed(asked)
                else:
                    packets += half_open(asked)
    return in_time(packets)


@scenario(home="192.0.2.0/24")
def monitor_many_hosts() -> list[Sent]:
    """A monitor pings forty live hosts of ours at once and then connects to all of them at once.

    Nobody is named: every host answers, the farthest after 150 ms.
    """
    packets: list[Sent] = []
    for nth in range(40):
        host, far = f"192.0.2.{nth + 50}", 0.03 + nth * 0.003
        echo = ping(FRIEND, host, at=nth * 0.0005, number=nth)
        packets += [echo, pong(echo, after=far)]
        asked = call(FRIEND, 443, dst=host, at=1 + nth * 0.0005)
        packets += [asked, syn_ack(asked, after=far), fin_ack(asked, ack=5001 + SERVED_BYTES, after=1)]
    return in_time(packets)


@scenario()
def nat_many_users() -> list[Sent]:
    """Forty users behind one address use our services for ten minutes; four ports they ask for are closed.

    Nobody is named: what was refused is little beside what was used.
    """
    wanted = (443, 80, 443, 993, 587)
    used = [served(call(OFFICE, wanted[nth % 5], at=nth * 11, ttl=50)) for nth in range(56)]
    vain = [closed(call(OFFICE, port, at=37 + nth * 140, ttl=50)) for nth, port in enumerate((8080, 5222, 21, 8443))]
    return in_time(flatten(used), flatten(vain))


@scenario(home="")
def torrent_peers() -> list[Sent]:
    """A torrent program calls many peers, most do not answer, and others call it; no `home` is configured.

    Nobody is named, neither the program's host nor a peer.
    """
    listens = (51_413, 6881, 6889, 16_881, 8080, 443, 45_682, 58_846, 80, 29_034, 9000)
    packets: list[Sent] = []
    for nth in range(44):
        asked = call(HOST, listens[nth % len(listens)], dst=peer(nth), at=nth * 2, ttl=64)
        if nth % 3 == 0:
            packets += served(asked)
        elif nth % 3 == 1:
            packets += closed(asked)
        else:
            packets += [asked, asked.later(1)]
    for nth in range(44, 74):
        (asked,) = udp(HOST, client_port(nth), dst=peer(nth), src_port=51_413, at=nth)
        packets += [asked, udp_reply(asked, after=0.1)] if nth % 2 else [asked]
    for nth in range(80, 92):
        packets += served(call(peer(nth), 51_413, at=nth - 60))
        packets += closed(call(peer(nth + 20), 6881, at=nth - 59))
        (asked,) = udp(peer(nth + 40), 51_413, src_port=client_port(nth), at=nth - 58)
        packets += [asked, udp_reply(asked)]
    return in_time(packets)


@scenario(*(Named(f"203.0.113.{nth}", "ban", "distributed", "syn", "network_together") for nth in range(101, 109)))
def distributed_scan() -> list[Sent]:
    """Eight sources of one network take turns: three ports each within three minutes, 24 together.

    All eight are banned by the technique `distributed`.
    """
    return in_time(
        *(
            syn_scan_of(f"203.0.113.{101 + nth % 8}", (20 + nth,), at=nth * 7, serves=(22, 80))
            for nth in range(26)
            if 20 + nth not in {22, 80}
        )
    )


@scenario(Named(HOST, "watch", "outbound", "connect", "outbound", direction="outbound"))
def outbound_sweep() -> list[Sent]:
    """Our own host sweeps port 445 of sixty hosts outside; few answer or refuse.

    That is an alarm: watched, direction `outbound`, never a ban.
    """
    packets: list[Sent] = []
    for nth in range(60):
        asked = call(HOST, 445, dst=peer(nth), at=nth * 0.1, ttl=64)
        if nth % 10 == 3:
            packets += closed(asked)
        elif nth % 20 == 7:
            packets += served(asked)
        else:
            packets.append(asked)
    return in_time(packets)
