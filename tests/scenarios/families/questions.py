"""What counts as one thing asked: monitors, balancers, programs that look for a service, and scans beside them."""

import dataclasses

from portsentry_py.core.packet import ACK
from tests.scenarios.conversations import OFFICE, bare_reset, call, closed, flatten, half_open, served, syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import (
    FRIEND,
    MSS_OPTION,
    SCANNER,
    Sent,
    home_hosts,
    icmp_unreachable,
    in_time,
    ping,
    pong,
    tcp,
    udp,
)

FIVE = [f"192.0.2.{nth}" for nth in range(10, 15)]
NETWORK = "192.0.2.0/24"
AUTOCONFIGURATION = (443, 80, 993, 465, 143, 587, 25, 995, 110, 4190, 8443, 8008, 8843, 5232)
NODE_PORTS = tuple(range(30_080, 30_080 + 10 * 137, 137))


def checks(ports: tuple[int, ...], *, rounds: int, dead: tuple[int, ...]) -> list[Sent]:
    """A balancer's checks every ten seconds: a connection that is closed unused, or no answer."""
    packets: list[Sent] = []
    for turn in range(rounds):
        for nth, port in enumerate(ports):
            asked = call(OFFICE, port, at=turn * 10 + nth * 0.1)
            packets += [asked] if port in dead else served(asked, read=0, lasts=0.005)
    return packets


@scenario(home=" ".join(FIVE), quiet=False)
def monitor_pings_five_addresses_of_a_host() -> list[Sent]:
    """A provider's monitor pings the five addresses of a host that drops ICMP, each at its own time of five minutes.

    Nobody is named: five addresses of one host are one question.
    """
    return in_time(
        [ping(OFFICE, address, at=300 * turn + 60 * nth) for turn in range(6) for nth, address in enumerate(FIVE)]
    )


@scenario(Named(SCANNER, "ban", "slow", "icmp", "likelihood"), home=NETWORK)
def ping_of_eight_hosts_one_by_one() -> list[Sent]:
    """Somebody pings eight hosts of a network that do not answer, one a minute.

    The source is banned: in a network, each address is a host.
    """
    return in_time([ping(SCANNER, address, at=60 * nth) for nth, address in enumerate(home_hosts(8))])


@scenario(
    Named(OFFICE, "watch", "port_scan", "connect", "health_check"),
    Named(OFFICE, "watch", "port_scan", "connect", "friend"),
)
def balancer_checks_node_ports() -> list[Sent]:
    """A load balancer checks ten NodePorts every ten seconds; two have a pod here, eight drop the check by design.

    The balancer is watched and not banned, and its checks of live ports are no proof against it.
    """
    live, dead = NODE_PORTS[:2], NODE_PORTS[2:]
    used = [served(call(OFFICE, port, at=3 + nth * 5)) for nth, port in enumerate(live * 5)]
    return in_time(checks(NODE_PORTS, rounds=12, dead=dead), flatten(used))


@scenario(
    Named(SCANNER, "watch", "port_scan", "connect", "health_check", verified=True),
    Named(SCANNER, "ban", "port_scan", "connect", "ports_in_window", verified=True),
)
def connect_scan_of_node_ports_and_others() -> list[Sent]:
    """Somebody connects to ten NodePorts, of which two answer, and to six other ports.

    The source is banned: a balancer checks no port but those of its services.
    """
    asked = [call(SCANNER, port, at=nth * 0.1) for nth, port in enumerate((*NODE_PORTS, 21, 23, 135, 445, 3389, 5900))]
    return in_time(flatten(served(one, read=0) if one.dest_port in NODE_PORTS[:2] else closed(one) for one in asked))


@scenario(Named(OFFICE, "watch", "port_scan", "connect", "health_check"))
def balancer_of_a_node_without_pods() -> list[Sent]:
    """A load balancer checks ten NodePorts every ten seconds, each at its own time; no service has a pod here.

    The balancer is watched and not banned: a scanner finds nothing else in that range.
    """
    return in_time(checks(NODE_PORTS, rounds=6, dead=NODE_PORTS))


@scenario(
    Named(SCANNER, "watch", "port_scan", "connect", "health_check"),
    Named(SCANNER, "ban", "port_scan", "connect", "ports_in_window"),
)
def connect_scan_of_forty_node_ports() -> list[Sent]:
    """Somebody connects to forty NodePorts of a host that serves none.

    The source is banned at the 33rd: no balancer has so many services.
    """
    return in_time(flatten(closed(call(SCANNER, 30_000 + nth, at=nth * 0.1)) for nth in range(40)))


@scenario(home=NETWORK)
def half_open_monitor() -> list[Sent]:
    """A balancer's half-open monitor of ten live backends that are 300 ms away: raw SYN, RST after the answer.

    Nobody is named: the answers are on their way.
    """
    packets: list[Sent] = []
    for turn in range(3):
        for nth, backend in enumerate(home_hosts(10)):
            asked = call(OFFICE, 80, dst=backend, at=turn * 5 + nth * 0.002, options=MSS_OPTION)
            first, answer, reset = half_open(asked)
            packets += [first, answer.later(0.3), reset.later(0.3)]
    return in_time(packets)


@scenario(Named(SCANNER, "ban", "sweep", "syn", "hosts_in_window"), home=NETWORK)
def raw_syn_sweep_of_silent_hosts() -> list[Sent]:
    """One port of 24 hosts in six seconds (masscan); nobody answers.

    The source is banned when the first eight are known to be silent.
    """
    return [
        call(SCANNER, 80, dst=backend, at=nth * 0.25, options=MSS_OPTION) for nth, backend in enumerate(home_hosts(24))
    ]


@scenario(Named(SCANNER, "ban", "sweep", "connect", "hosts_in_window", verified=True), home=NETWORK)
def connect_sweep_for_the_web() -> list[Sent]:
    """Nmap -sV of a network: connections to port 80 and 443 of seven hosts, of which two serve 80 and five nothing.

    The source is banned: no mail program guesses at so many hosts.
    """
    packets: list[Sent] = []
    for nth, host in enumerate(home_hosts(7)):
        web, secure = (call(SCANNER, port, dst=host, at=nth * 0.01 + later) for port, later in ((80, 0), (443, 0.5)))
        packets += [*served(web, read=0), *closed(secure)] if nth < 2 else [web, secure]
    return in_time(packets)


@scenario(home=NETWORK)
def mail_program_guesses_at_four_hosts() -> list[Sent]:
    """A mail program looks for the servers of a domain at its four names, of which each is a host without mail.

    Nobody is named: that is one question to each.
    """
    ports = (993, 143, 995, 110, 465, 587, 25, 443)
    asked = [call(FRIEND, port, dst=host, at=nth * 0.4) for nth, port in enumerate(ports) for host in home_hosts(4)]
    return in_time(flatten(map(closed, asked)))


def _watched(hosts: int, down: int) -> list[Sent]:
    """Calls of 80 and 443 at this many hosts, of which some drop them and the others serve both."""
    asked = [
        (nth < down, call(OFFICE, port, dst=host, at=nth * 0.02))
        for nth, host in enumerate(home_hosts(hosts))
        for port in (80, 443)
    ]
    return in_time(flatten([one] if is_down else served(one, read=0) for is_down, one in asked))


@scenario(Named(OFFICE, "watch", "sweep", "connect", "hosts_in_window", verified=True), home=NETWORK)
def monitor_of_hosts_of_which_a_quarter_is_down() -> list[Sent]:
    """A monitor connects to two ports of 24 hosts, of which six are down.

    The source is watched: three of four hosts answer.
    """
    return _watched(24, down=6)


@scenario(
    Named(OFFICE, "watch", "sweep", "connect", "hosts_in_window", verified=True),
    Named(OFFICE, "ban", "sweep", "connect", "hosts_in_window", verified=True),
    home=NETWORK,
)
def connect_sweep_of_which_half_is_answered() -> list[Sent]:
    """Somebody connects to two ports of 24 hosts, of which half are down.

    The source is watched, and banned when the others are known to be silent: an operator knows which hosts are up.
    """
    return _watched(24, down=12)


@scenario(home="192.0.2.10/32")
def passive_files_of_which_some_answers_are_lost() -> list[Sent]:
    """A client takes 60 files in passive mode, each from a port of its own; of seven, no answer was captured.

    Nobody is named: most of the ports that it asks for are served.
    """
    asked = [call(OFFICE, 40_000 + nth * 37, at=nth * 0.3) for nth in range(60)]
    return in_time(flatten([one] if nth % 8 == 7 else served(one, read=0) for nth, one in enumerate(asked)))


@scenario()
def autoconfiguration_at_a_host_without_any() -> list[Sent]:
    """A program looks for mail, calendar and contacts on fourteen ports of a host that serves none of them, twice.

    Nobody is named: all of that is one question.
    """
    asked = [call(FRIEND, port, at=turn + nth * 0.4) for turn in (0, 400) for nth, port in enumerate(AUTOCONFIGURATION)]
    return in_time(flatten(map(closed, asked)))


def refused_first(packets: list[Sent]) -> list[Sent]:
    """Each probe 5 ms after its refusal, as the queues of a network card may give them."""
    probes, refusals = packets[::2], packets[1::2]
    return flatten([refusal, probe.later(0.005)] for probe, refusal in zip(probes, refusals, strict=True))


@scenario()
def autoconfiguration_captured_out_of_order() -> list[Sent]:
    """A program looks for mail on nine ports of a host that serves none; each refusal is captured before its SYN.

    Nobody is named: the SYN that comes late shows that a client connects.
    """
    ports = (443, 80, 993, 465, 143, 587, 25, 995, 110)
    return refused_first(flatten(closed(call(FRIEND, port, at=nth * 0.4)) for nth, port in enumerate(ports)))


@scenario(Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"))
def syn_scan_captured_out_of_order() -> list[Sent]:
    """A SYN scan of the same nine ports and eleven others; each refusal is captured before its SYN.

    The source is banned, and the scan gets its name from the SYNs.
    """
    ports = (443, 80, 993, 465, 143, 587, 25, 995, 110, *range(2000, 2011))
    asked = (call(SCANNER, port, at=nth * 0.05, options=MSS_OPTION) for nth, port in enumerate(ports))
    return refused_first(flatten(map(closed, asked)))


@scenario(Named(SCANNER, "ban", "port_scan", "connect", "ports_in_window"))
def connect_scan_of_the_ten_top_ports() -> list[Sent]:
    """Nmap -sT --top-ports 10, of which four are a mail program's as well.

    The source is banned: six ports are none of mail, so all of them count.
    """
    ports = (80, 443, 25, 110, 23, 21, 22, 3389, 445, 139)
    return in_time(flatten(closed(call(SCANNER, port, at=nth * 0.05)) for nth, port in enumerate(ports)))


@scenario(quiet=True)
def mtr_over_udp() -> list[Sent]:
    """Mtr --udp for a minute: one port a second, rising by the hops of the route; a source port below some of them.

    Nobody is named, and there is no connection line.
    """
    packets: list[Sent] = []
    for nth in range(60):
        for source, port in ((FRIEND, 61_000), (OFFICE, 33_100)):
            (probe,) = udp(source, 33_000 + 14 * nth, src_port=port, at=nth)
            reached = dataclasses.replace(probe, ttl=1)
            packets += [reached, icmp_unreachable(reached)]
    return in_time(packets)


@scenario(quiet=True)
def mtr_captured_out_of_order() -> list[Sent]:
    """Mtr --udp for a minute: some probes are lost, others are captured after their refusal.

    Nobody is named: a refusal at the next port of the route's probes is of one more.
    """
    packets: list[Sent] = []
    for nth in range(60):
        (probe,) = udp(FRIEND, 33_000 + 14 * nth, src_port=61_000, at=nth)
        reached = dataclasses.replace(probe, ttl=1)
        refusal = icmp_unreachable(reached)
        packets += [refusal] if nth % 5 == 4 else [refusal, reached.later(0.005)] if nth % 5 else [reached, refusal]
    return packets


@scenario(Named(SCANNER, "ban", "port_scan", "udp", "ports_in_window"))
def udp_scan_with_few_hops_left() -> list[Sent]:
    """A UDP scan of high ports whose packets arrive with few hops left, as those of traceroute do.

    The source is banned: its ports do not rise.
    """
    ports = [33_700 + nth * 7919 % 20_000 for nth in range(30)]
    probes = [dataclasses.replace(one, ttl=9) for one in udp(SCANNER, *ports, src_port=61_000, every=0.1)]
    return in_time(probes, [icmp_unreachable(one) for one in probes[:6]])


@scenario(Named(SCANNER, "ban", "sweep", "ack", "hosts_in_window"), home=NETWORK)
def ack_sweep() -> list[Sent]:
    """Nmap -sn -PA80 of a network: live hosts reset the ACK, the others stay silent.

    The source is banned: the resets of our hosts show the sweep.
    """
    probes = [
        tcp(SCANNER, host, 47_000, 80, ACK, at=nth * 0.05, ack=4_000_000_123) for nth, host in enumerate(home_hosts(24))
    ]
    return in_time(flatten([one, bare_reset(one)] if nth % 2 else [one] for nth, one in enumerate(probes)))


@scenario(Named(SCANNER, "ban", "sweep", "udp", "hosts_in_window"), home=NETWORK)
def udp_sweep_of_a_high_port() -> list[Sent]:
    """Nmap -sn -PU40125 of a network from a source port below that port, so that each packet may be a reply.

    The source is banned: nobody answers eight hosts of ours at the same port.
    """
    probes = flatten(
        udp(SCANNER, 40_125, dst=host, src_port=38_000, at=nth * 0.1) for nth, host in enumerate(home_hosts(60))
    )
    return in_time(probes, [icmp_unreachable(one) for one in probes[::4]])


@scenario(Named(SCANNER, "ban", "sweep", "mixed", "hosts_in_window"), home=NETWORK)
def sweep_with_ping_connect_and_netbios() -> list[Sent]:
    """Angry IP Scanner: a ping of each host; a host that answers it is asked for one more thing, TCP or NetBIOS.

    The source is banned: it counts hosts, whatever the probe.
    """
    packets: list[Sent] = []
    for nth, host in enumerate(home_hosts(36)):
        echo = ping(SCANNER, host, at=nth * 0.3, number=nth)
        if nth % 3 == 0:
            packets.append(echo)
            continue
        (name,) = udp(SCANNER, 137, dst=host, src_port=50_000, at=nth * 0.3 + 0.1)
        asked = closed(call(SCANNER, 8080, dst=host, at=nth * 0.3 + 0.1))
        packets += [echo, pong(echo, after=0.001), *(asked if nth % 3 == 1 else [name])]
    return in_time(packets)


@scenario(home=NETWORK)
def monitor_of_hosts_of_which_some_are_down() -> list[Sent]:
    """A monitor pings forty hosts and connects to them; three are down, and at four others the service is.

    Nobody is named: the others answer.
    """
    packets: list[Sent] = []
    for nth, host in enumerate(home_hosts(40)):
        echo = ping(FRIEND, host, at=nth * 0.1, number=nth)
        asked = call(FRIEND, 8080, dst=host, at=nth * 0.1 + 0.05)
        if nth % 14 == 0:
            packets.append(echo)
        else:
            packets += [echo, pong(echo, after=0.001), *(closed(asked) if nth % 11 == 1 else served(asked))]
    return in_time(packets)


@scenario(Named(SCANNER, "watch", "port_scan", "syn", "served_ports"))
def scan_of_a_host_where_everything_answers() -> list[Sent]:
    """A SYN scan of forty ports of a host with portspoof: each of them answers. Beside it, a visitor of the web server.

    The scanner is watched: nobody else asks for so many served ports.
    """
    used = [served(call(FRIEND, port, at=nth)) for nth, port in enumerate((80, 443) * 3)]
    return in_time(flatten(used), syn_scan_of(SCANNER, range(1000, 1040), serves=tuple(range(1000, 1040))))
