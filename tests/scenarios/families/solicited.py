"""What this host asked for over another channel, what comes late or by reflection, and the scans that look like it."""

from portsentry_py.core.packet import ACK, PSH, SYN
from tests.scenarios.conversations import bare_reset, call, client_port, closed, flatten, peer, served, syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import HOST, SCANNER, Sent, icmp_unreachable, in_time, syn_ack, tcp, udp, udp_reply

DEVICES = tuple(f"192.0.2.{nth}" for nth in range(20, 32))
CAMERA = "192.0.2.40"
FILE_SERVER = "198.51.100.21"
CHAT_SERVER, GAME_SERVER = "198.51.100.66", "198.51.100.27"
BROKER = "198.51.100.61"
PROXY_PORTS = (80, 81, 808, 1080, 1081, 3128, 4480, 6588, 8000, 8080, 8081, 9050)
# The question's port and the address of its group: SSDP, WS-Discovery, mDNS, LLMNR, SLP, NetBIOS.
QUESTIONS = (
    (1900, "239.255.255.250"),
    (3702, "239.255.255.250"),
    (5353, "224.0.0.251"),
    (5355, "224.0.0.252"),
    (427, "239.255.255.253"),
    (137, "192.0.2.255"),
)


def datagram(src: str, port: int, *, src_port: int, at: float, dst: str = HOST) -> Sent:
    return udp(src, port, dst=dst, src_port=src_port, at=at)[0]


def answers_of_devices() -> list[Sent]:
    """We ask each group twice, from another port each time; each device answers from a port of its own."""
    packets: list[Sent] = []
    for nth, (port, group) in enumerate(QUESTIONS * 2):
        ours, at = 20_000 + nth * 411, nth * 4.0
        packets.append(datagram(HOST, port, dst=group, src_port=ours, at=at))
        for number, device in enumerate(DEVICES):
            theirs = 49_152 + (nth * 977 + number * 131) % 16_000
            answer = datagram(device, ours, src_port=theirs, at=at + 0.2 + number / 10)
            packets += [answer, icmp_unreachable(answer)] if number > 9 else [answer]
    return packets


@scenario(quiet=True)
def answers_to_a_group() -> list[Sent]:
    """Our questions to groups (SSDP, WS-Discovery, mDNS, LLMNR, SLP, NetBIOS) are answered by twelve devices.

    Nobody is named: each device answers from a port of its own to twelve ports of ours, the last ones too late.
    """
    return in_time(answers_of_devices())


@scenario(Named(DEVICES[0], "ban", "port_scan", "udp", "ports_in_window"))
def scan_by_a_device_that_answers() -> list[Sent]:
    """One of the devices that answer our questions scans twenty UDP ports of ours, which are closed.

    It is banned: to answer a question excuses the answers.
    """
    probes = [datagram(DEVICES[0], 20 + nth, src_port=50_000, at=10 + nth / 4) for nth in range(20)]
    return in_time(answers_of_devices(), flatten([one, icmp_unreachable(one)] for one in probes))


@scenario(quiet=True)
def camera_streams() -> list[Sent]:
    """A camera sends four streams with their reports to eight ports of ours, all at once; nothing goes back.

    Nobody is named: many datagrams to one port, and none refused, are a stream.
    """
    packets: list[Sent] = []
    for nth in range(4):
        media, reports = (12_000 + 2 * nth, 8200 + 2 * nth), (12_001 + 2 * nth, 8201 + 2 * nth)
        packets += [datagram(CAMERA, media[0], src_port=media[1], at=number / 25) for number in range(40)]
        packets += [datagram(CAMERA, reports[0], src_port=reports[1], at=at) for at in (0.01, 1.5)]
    return in_time(packets)


@scenario(Named(SCANNER, "ban", "port_scan", "udp", "ports_in_window"))
def udp_scan_without_an_answer() -> list[Sent]:
    """A scanner probes twelve UDP ports three times each, from one port of its own; a firewall drops it all.

    It is banned, one second after the eighth probe: a probe that is repeated is no stream.
    """
    return in_time(
        [
            datagram(SCANNER, port, src_port=40_000, at=turn * 3 + nth / 20)
            for turn in range(3)
            for nth, port in enumerate((53, 67, 69, 88, 123, 137, 161, 500, 1434, 1900, 5060, 11_211))
        ]
    )


@scenario(quiet=True)
def ftp_active_data_dropped() -> list[Sent]:
    """We fetch files in active mode, and our own firewall drops the data connections, from port 20 and from others.

    Nobody is named, and there is no connection line: we told the server to connect.
    """
    control = served(call(HOST, 21, at=0, dst=FILE_SERVER, ttl=64), lasts=90)
    data = [
        call(FILE_SERVER, client_port(nth, 33_000), at=1 + nth * 2, src_port=20 if nth < 20 else 0) for nth in range(40)
    ]
    return in_time(control, data, [one.later(1) for one in data])


@scenario(
    Named(FILE_SERVER, "watch", "port_scan", "syn", "friend"),
    Named(FILE_SERVER, "ban", "port_scan", "syn", "ports_in_window"),
)
def scan_by_our_file_server() -> list[Sent]:
    """A file server that we fetch files of scans the ports 200 to 299.

    It is watched while it may check its client, and banned when it asks for more than sixty-four ports.
    """
    control = served(call(HOST, 21, at=0, dst=FILE_SERVER, ttl=64), lasts=9)
    return in_time(control, syn_scan_of(FILE_SERVER, range(200, 300), at=1))


@scenario(
    Named(CHAT_SERVER, "watch", "port_scan", "connect", "friend"),
    Named(GAME_SERVER, "watch", "port_scan", "connect", "friend"),
    Named(SCANNER, "ban", "port_scan", "connect", "ports_in_window"),
)
def checks_by_our_servers() -> list[Sent]:
    """A chat server (over TCP) and a game server (over UDP) that we use check whether we are an open proxy.

    Both are watched; a stranger who asks for the same ports is banned.
    """
    session = call(HOST, 6697, at=0, dst=CHAT_SERVER, ttl=64)
    moves = [datagram(HOST, 27_015, dst=GAME_SERVER, src_port=50_000, at=nth / 10) for nth in range(5)]
    checks = [
        closed(call(source, port, at=2 + turn * 5 + nth / 10))
        for turn, source in enumerate((CHAT_SERVER, GAME_SERVER, SCANNER))
        for nth, port in enumerate(PROXY_PORTS)
    ]
    return in_time([session, syn_ack(session)], flatten([move, udp_reply(move)] for move in moves), flatten(checks))


def late(src: str, src_port: int, port: int, *, at: float) -> list[Sent]:
    """A segment of a connection that this host does not know any more, and our reset."""
    segment = tcp(src, HOST, src_port, port, PSH | ACK, at=at, seq=1, ack=77)
    return [segment, bare_reset(segment)]


@scenario(quiet=True)
def host_that_comes_back() -> list[Sent]:
    """We crashed and are back: the peers of our connections go on sending, and our kernel resets each.

    Nobody is named: twenty connections were with one broker, twenty with one node of a cluster that serves six ports,
    and twenty with servers everywhere.
    """
    ports = (2379, 6443, 9092, 9093, 10_250, 61_616)
    return in_time(
        flatten(late(BROKER, 61_616, 32_768 + 900 * nth, at=nth / 2) for nth in range(20)),
        flatten(
            late(FILE_SERVER, ports[nth % 6], client_port(nth, 33_000) % 28_000 + 32_768, at=nth) for nth in range(20)
        ),
        flatten(late(peer(nth), 8883, 40_000 + 37 * nth, at=nth / 3) for nth in range(20)),
    )


@scenario(Named(BROKER, "ban", "port_scan", "ack", "ports_in_window"))
def ack_scan_from_a_brokers_port() -> list[Sent]:
    """An ACK scan comes from port 61616, as a broker's packets would, to thirty ports of services.

    It is banned: no client of ours has such a port.
    """
    return in_time(flatten(late(BROKER, 61_616, 20 + nth * 13, at=nth / 10) for nth in range(30)))


# The ports of known services, and two that SSDP devices chose.
REFLECTING_PORTS = (1900, 11_211, 3478, 3702, 5353, 37_810, 50_123, 41_234, 17, 123, 161, 389)


def reflector(nth: int) -> str:
    """A host of the Internet, each of a network of its own."""
    return f"100.{64 + nth}.7.{nth + 1}"


def reflected(count: int, rounds: int, *, every: float = 0.5) -> list[Sent]:
    """Answers of so many reflectors to random ports of ours, which refuse some."""
    packets: list[Sent] = []
    for nth in range(rounds * count):
        turn, number = divmod(nth, count)
        theirs = REFLECTING_PORTS[number % len(REFLECTING_PORTS)]
        answer = datagram(reflector(number), client_port(nth + 3), src_port=theirs, at=turn * every + number / 100)
        packets += [answer, icmp_unreachable(answer)] if nth % 7 == 0 else [answer]
    return packets


@scenario(*(Named(reflector(nth), "watch", "port_scan", "udp", "reflection") for nth in (6, 7)))
def reflection_from_any_port() -> list[Sent]:
    """Somebody asks twelve reflectors in our name, over UDP, and floods a game server in our name, over TCP.

    Two reflectors that answer from ports of no known service are watched, and nobody is banned. The SYN-ACKs of the
    game server go to any port; a third of them is lost, and only our resets show them.
    """
    packets = reflected(12, 14)
    for nth in range(54):
        answer = tcp(peer(1), HOST, 25_565, client_port(nth), SYN | ACK, at=nth / 20, seq=nth * 31, ack=nth * 977)
        packets += [bare_reset(answer)] if nth % 3 == 2 else [answer, bare_reset(answer)]
    return in_time(packets)


@scenario(
    Named(SCANNER, "ban", "port_scan", "udp", "ports_in_window"),
    Named(peer(5), "ban", "port_scan", "ack", "ports_in_window"),
)
def scans_beside_backscatter() -> list[Sent]:
    """Six web servers are flooded in our name, and their SYN-ACKs reach any port; two scanners come meanwhile.

    The scanners are banned: one asks over UDP, over which nobody answers in our name, and one asks for services with
    bare ACKs (nmap -sA).
    """
    answers = [
        tcp(f"100.{80 + nth % 6}.3.1", HOST, 80, client_port(nth), SYN | ACK, at=nth / 14, seq=nth * 31, ack=nth * 977)
        for nth in range(90)
    ]
    probes = [datagram(SCANNER, 100 + nth * 17, src_port=41_641, at=2 + nth / 4) for nth in range(16)]
    acks = flatten(late(peer(5), 50_123, 20 + nth * 13, at=2.1 + nth / 10) for nth in range(30))
    resets = flatten([one, bare_reset(one)] for one in answers)
    return in_time(resets, flatten([one, icmp_unreachable(one)] for one in probes), acks)


@scenario(Named(SCANNER, "ban", "port_scan", "udp", "ports_in_window"))
def udp_scan_from_port_53() -> list[Sent]:
    """Two reflectors answer to random ports of ours, and a scanner probes sixty ports from port 53 (nmap -sU -g 53).

    The scanner is banned: one source, many ports that refuse, and far more than all reflectors send.
    """
    probes = [datagram(SCANNER, 1024 + nth * 7, src_port=53, at=nth / 4) for nth in range(60)]
    return in_time(reflected(2, 12), flatten([one, icmp_unreachable(one)] for one in probes))
