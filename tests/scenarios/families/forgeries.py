"""Scans in the name of somebody who did not scan: nobody is banned."""

from portsentry_py.core.packet import SYN
from tests.scenarios.conversations import (
    GATEWAY,
    RESOLVER,
    SIX,
    TIME_SERVER,
    call,
    closed,
    flatten,
    half_open,
    peer,
    served,
    syn_scan_of,
)
from tests.scenarios.scenario import Named, scenario
from tests.support.build import (
    FRIEND,
    HOST,
    MSS_OPTION,
    SCANNER,
    Sent,
    icmp_unreachable,
    in_time,
    in_tunnel,
    tcp,
    udp,
    udp_reply,
)


@scenario(Named(FRIEND, "watch", "port_scan", "syn", "friend"))
def forged_scan_of_a_friend() -> list[Sent]:
    """A friend uses five sessions; then somebody sends a SYN scan in its name.

    The scan is watched, the reason is `friend`, and nobody is banned.
    """
    used = [served(call(FRIEND, port, at=nth)) for nth, port in enumerate((443, 443, 22, 443, 22))]
    return in_time(flatten(used), syn_scan_of(FRIEND, range(20, 60), at=10))


@scenario(Named(GATEWAY, "ignore", "port_scan", "syn", "ignore_list"), config=f"ignore:\n  - {GATEWAY}\n", quiet=False)
def forged_scan_of_the_gateway() -> list[Sent]:
    """Somebody sends a SYN scan in the name of our gateway, which the operator has put on the ignore list.

    The scan is reported with the verdict `ignore`: nobody is banned or watched.
    """
    return syn_scan_of(GATEWAY, range(20, 60))


@scenario(
    Named(RESOLVER, "watch", "port_scan", "udp", "queried_server"),
    Named(TIME_SERVER, "watch", "port_scan", "udp", "queried_server"),
)
def forged_scan_of_a_resolver() -> list[Sent]:
    """We ask a resolver and a time server, they answer; then UDP scans come in their names.

    Both scans are reported with the verdict `watch` and the reason `queried_server`: datagrams can be late answers.
    """
    names = udp(HOST, *[53] * 4, dst=RESOLVER, src_port=41_000, every=0.3)
    times = udp(HOST, *[123] * 2, dst=TIME_SERVER, src_port=123, every=0.3)
    asked = flatten([question, udp_reply(question)] for question in (*names, *times))
    probes = (
        probe
        for server, at in ((RESOLVER, 5), (TIME_SERVER, 6))
        for probe in udp(server, *range(7020, 7050), src_port=40_000, at=at)
    )
    return in_time(asked, flatten([probe, icmp_unreachable(probe)] for probe in probes))


@scenario(*(Named(source, "watch", "port_scan", "syn", "decoy_source") for source in SIX[:5]))
def decoys() -> list[Sent]:
    """A scan with decoys (nmap -D): five sources send the same probes, and one is the scanner.

    All five are watched with the reason `decoy_source`; nobody is banned, because four are innocent.
    """
    packets: list[Sent] = []
    for nth, port in enumerate(range(20, 46)):
        for which, source in enumerate(SIX[:5]):
            at = nth * 0.05 + which * 0.0001
            probe = tcp(source, HOST, 45_000, port, SYN, at=at, seq=987_654, options=MSS_OPTION, ttl=44)
            packets += half_open(probe) if port == 22 else closed(probe)
    return in_time(packets)


@scenario(*(Named(source, "watch", "port_scan", "syn", "decoy_source") for source in SIX[:5]))
def decoys_out_of_order() -> list[Sent]:
    """The same scan with decoys, but the packets of a fifth of a second are captured in any order, refusals first.

    All five are watched with the reason `decoy_source`: the port of a probe says nothing of who has sent it.
    """
    sent = decoys.traffic()
    blocks = [sent[at : at + 40] for at in range(0, len(sent), 40)]
    return [block[nth * 7 % len(block)] for block in blocks for nth in reversed(range(len(block)))]


@scenario(Named(SCANNER, "ban", "port_scan", "unseen", "ports_in_window"))
def tunnelled_scan() -> list[Sent]:
    """A SYN scan arrives inside IP-in-IP packets, and this host opens them and refuses.

    What is inside a tunnel counts for nothing; the refusals of this host do. The outer source probed protocol 4.
    """
    return [
        in_tunnel(packet, peer(9)) if packet.src == SCANNER else packet
        for packet in syn_scan_of(SCANNER, range(20, 50), serves=())
    ]
