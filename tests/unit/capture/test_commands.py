"""The command lines of dumpcap and tshark, and what tshark makes of tunnels."""

import dataclasses
import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from portsentry_py.capture.bpf import PLAIN, FilterHost, kernel_filter
from portsentry_py.capture.commands import dumpcap_commands, environment, only_interface, tshark_command, worker_count
from portsentry_py.capture.file import replay_lines
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Capture, WorkerCount, Workers
from portsentry_py.core.decode import Discard, decode
from portsentry_py.core.packet import Packet, Quoted
from portsentry_py.host.interfaces import OTHERS, Interface, describe
from portsentry_py.privsep.launcher import check_options
from tests.support import pcap
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, START_US, Sent, fragments, icmp_unreachable, syn, udp

DUMPCAP = "/usr/bin/dumpcap"
US = FilterHost(frozenset({"192.0.2.1"}), frozenset({53}))
WEB = replace(US, served_tcp=frozenset({80}))
Tunnel = Callable[[Sent, str, str], Sent]
"""The packet that carries an inner one between two outer addresses."""
ETHERNET = [Interface("eth0", ethernet=True), Interface("tun0", ethernet=False)]


def test_one_worker_has_every_packet_and_the_interfaces_share_the_buffer() -> None:
    settings = Capture(workers=1)
    (both,) = dumpcap_commands(DUMPCAP, ETHERNET, US, settings)
    assert both == [
        *(DUMPCAP, "-q", "-s", "128", "-B", "16", "-C", str(32 << 20)),
        *("-f", kernel_filter(US, vlan=True, direction=True), "-i", "eth0"),
        *("-i", "tun0", "-f", kernel_filter(US, vlan=False, direction=True)),
        *("-w", "-"),
    ]
    (alone,) = dumpcap_commands(DUMPCAP, ETHERNET[:1], PLAIN, settings)
    assert "-C" not in alone, "one interface has no queue besides the kernel's"
    assert alone[alone.index("-B") + 1] == "64"


@pytest.mark.parametrize(("count", "workers"), [(1, 1), (1, 8), (16, 1), (16, 4)])
def test_the_whole_buffer_is_shared_out_and_no_more(count: int, workers: WorkerCount) -> None:
    many = [Interface(f"eth{number}", ethernet=True) for number in range(count)]
    settings = Capture(workers=workers, buffer_mib=256)
    found = list(dumpcap_commands(DUMPCAP, [*many, *describe([OTHERS])], US, settings))
    kernel = [int(one[one.index("-B") + 1]) * one.count("-i") for one in found]
    queues = [int(one[one.index("-C") + 1]) >> 20 for one in found if "-C" in one]
    assert 200 <= sum(kernel) + sum(queues) <= 256


def test_all_others_have_a_worker_of_their_own_that_leaves_out_what_is_heard_twice() -> None:
    host = replace(US, twice=frozenset({1, 7}))
    *_, others = dumpcap_commands(DUMPCAP, [*ETHERNET, *describe([OTHERS])], host, Capture(workers=2))
    assert others[others.index("-i") :] == ["-i", "any", "-y", "LINUX_SLL2", "-w", "-"]
    expression = others[others.index("-f") + 1]
    assert expression.startswith("not (ifindex 1 or ifindex 7) and (")
    assert kernel_filter(US, vlan=False, direction=True) in expression
    check_options(others[1:-2])


def test_a_host_where_nothing_stays_has_the_worker_of_all_others_alone() -> None:
    (others,) = dumpcap_commands(DUMPCAP, describe([OTHERS]), US, Capture(workers=4))
    assert others[others.index("-B") + 1] == "64"


@pytest.mark.parametrize(("workers", "buffer_mib", "each_mib"), [(2, 64, 8), (4, 64, 4), (8, 5, 1)])
def test_several_workers_share_packets_and_buffer(workers: WorkerCount, buffer_mib: int, each_mib: int) -> None:
    settings = Capture(workers=workers, buffer_mib=buffer_mib)
    commands = list(dumpcap_commands(DUMPCAP, ETHERNET, US, settings))
    assert len(commands) == workers
    for number, command in enumerate(commands):
        assert command[command.index("-B") + 1] == str(each_mib)
        for vlan in (True, False):
            assert kernel_filter(US, vlan=vlan, direction=True, worker=number, workers=workers) in command


def test_many_interfaces_share_one_filter() -> None:
    many = [Interface(f"eth{number}", ethernet=True) for number in range(100)]
    (command,) = dumpcap_commands(DUMPCAP, many, US, Capture(workers=1))
    assert command.count("-f") == 1
    assert command.index("-f") < command.index("-i"), "dumpcap applies it to all"


def test_on_loopback_no_frame_is_known_to_be_forged_and_each_end_of_a_session_is_captured() -> None:
    loopback = [Interface("lo", ethernet=False, loopback=True)]
    (command,) = dumpcap_commands(DUMPCAP, loopback, US, Capture(workers=1))
    assert "inbound" not in command[command.index("-f") + 1]
    assert [command] == list(dumpcap_commands(DUMPCAP, loopback, WEB, Capture(workers=1)))
    elsewhere, with_web = (next(dumpcap_commands(DUMPCAP, ETHERNET, host, Capture(workers=1))) for host in (US, WEB))
    assert elsewhere != with_web


@pytest.mark.parametrize(
    ("wanted", "cores", "workers"), [("auto", 3, 1), ("auto", 4, 2), ("auto", 64, 2), (1, 64, 1), (8, 1, 8)]
)
def test_four_cores_are_enough_for_two_workers(wanted: Workers, cores: int, workers: int) -> None:
    assert worker_count(wanted, cores) == workers


def test_only_the_cores_that_this_process_may_use_count() -> None:
    assert worker_count("auto") == worker_count("auto", len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("name", ["WIRESHARK_EXTCAP_DIR", "WIRESHARK_PLUGIN_DIR", "HOME"])
def test_tshark_finds_no_programs_and_plugins_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path))
    assert not Path(environment()[name]).exists()


def test_tshark_keeps_no_address_for_a_database(tools: Tools) -> None:
    told = subprocess.run(
        [tools.tshark, "-G", "currentprefs"], capture_output=True, text=True, check=True, env=environment()
    )
    assert {"ip.use_geoip: FALSE", "ipv6.use_geoip: FALSE"} <= set(told.stdout.splitlines())
    assert "preference" not in told.stderr


# ---- what lies inside a tunnel is never read, by the real tshark

INSIDE = syn("198.18.0.1", 22, dst="198.18.0.2")[0]
INSIDE6 = syn("2001:db8:aa::1", 22, dst="2001:db8:aa::2")[0]
LABEL = bytes.fromhex("00010140")  # MPLS label 16, bottom of the stack, TTL 64
GRE_KEY, GRE_SEQUENCE = 0x2000, 0x1000


def packet_in(sent: Sent) -> bytes:
    """The IP packet, without its Ethernet header."""
    return sent.frame[14:]


def numbers_of(sent: Sent) -> tuple[int, int, int]:
    """How IP, Ethernet and PPP number the packet's IP version."""
    return (41, 0x86DD, 0x57) if ":" in sent.src else (4, 0x0800, 0x21)


def ip(inner: Sent, src: str, dst: str) -> Sent:
    return Sent(START_US, src, dst, numbers_of(inner)[0], packet_in(inner))


def gre(flags: int = 0, content: str = "packet") -> Tunnel:
    fields = b"\0\0\0\x07" * (flags & (GRE_KEY | GRE_SEQUENCE)).bit_count()

    def made(inner: Sent, src: str, dst: str) -> Sent:
        kind, carried = {
            "packet": (numbers_of(inner)[1], packet_in(inner)),
            "frame": (0x6558, inner.frame),
            "erspan": (0x88BE, bytes.fromhex("1000000000000000") + inner.frame),
            "mpls": (0x8847, LABEL + packet_in(inner)),
        }[content]
        return Sent(START_US, src, dst, 47, struct.pack("!HH", flags, kind) + fields + carried)

    return made


def pptp(inner: Sent, src: str, dst: str) -> Sent:
    """GRE of version 1 with PPP (RFC 2637)."""
    carried = struct.pack("!HH", 0xFF03, numbers_of(inner)[2]) + packet_in(inner)
    return Sent(START_US, src, dst, 47, struct.pack("!HHHHI", 0x3001, 0x880B, len(carried), 7, 1) + carried)


def behind(proto: int, head: bytes, content: Callable[[Sent], bytes] = packet_in) -> Tunnel:
    """The inner packet, or what `content` makes of it, behind a fixed header."""
    return lambda inner, src, dst: Sent(START_US, src, dst, proto, head + content(inner))


def in_udp(port: int, head: bytes = b"", content: Callable[[Sent], bytes] = packet_in) -> Tunnel:
    return lambda inner, src, dst: udp(src, port, dst=dst, data=head + content(inner))[0]


def frame_in(sent: Sent) -> bytes:
    return sent.frame


def ppp_in(sent: Sent) -> bytes:
    return struct.pack("!H", numbers_of(sent)[2]) + packet_in(sent)


def options(inner: Sent, src: str, dst: str) -> Sent:
    """The inner packet behind a header of destination options, which IPv4 has too as a protocol."""
    return Sent(START_US, src, dst, 60, bytes([numbers_of(inner)[0], 0, 1, 4, 0, 0, 0, 0]) + packet_in(inner))


def authentication(inner: Sent, src: str, dst: str) -> Sent:
    head = struct.pack("!BBHII", numbers_of(inner)[0], 4, 0, 7, 1) + bytes(12)
    return Sent(START_US, src, dst, 51, head + packet_in(inner))


def nested(*tunnels: Tunnel) -> Tunnel:
    """One in the other; the first is the outermost."""

    def made(inner: Sent, src: str, dst: str) -> Sent:
        for tunnel in reversed(tunnels):
            inner = tunnel(inner, src, dst)
        return inner

    return made


TUNNELS: dict[str, tuple[Tunnel, int | None]] = {
    "ip": (ip, None),
    "ip behind destination options": (options, None),
    "ip behind authentication": (authentication, None),
    "gre": (gre(), 47),
    "gre with a key": (gre(GRE_KEY), 47),
    "gre with key and sequence": (gre(GRE_KEY | GRE_SEQUENCE), 47),
    "gre with a frame": (gre(0, "frame"), 47),
    "gre with erspan": (gre(GRE_SEQUENCE, "erspan"), 47),
    "gre with mpls": (gre(0, "mpls"), 47),
    "pptp": (pptp, 47),
    "etherip": (behind(97, b"\x30\0", frame_in), 97),
    "l2tp version 3": (behind(115, b"\0\0\0\x07", frame_in), 115),
    "mpls": (behind(137, LABEL), 137),
    "pim register": (behind(103, bytes.fromhex("2100deff00000000")), 103),
    "minimal encapsulation": (behind(55, b"\x06\x80\0\0"), 55),
    "esp": (behind(50, struct.pack("!II", 0x1001, 1)), 50),
    "teredo": (in_udp(3544), 17),
    "vxlan": (in_udp(4789, bytes.fromhex("0800000000000700"), frame_in), 17),
    "vxlan gpe": (in_udp(4790, bytes.fromhex("0c00000100000700")), 17),
    "geneve": (in_udp(6081, bytes.fromhex("0000655800000700"), frame_in), 17),
    "l2tp": (in_udp(1701, bytes.fromhex("000200070007ff03"), ppp_in), 17),
    "esp in udp": (in_udp(4500, struct.pack("!II", 0x1001, 1)), 17),
    "mpls in udp": (in_udp(6635, LABEL), 17),
    "gre in udp": (in_udp(4754, struct.pack("!HH", 0, 0x0800)), 17),
    "gtp-u": (in_udp(2152, bytes.fromhex("30ff003000000007")), 17),
    "ip in ip in ip": (nested(ip, ip), None),
    "ip in gre": (nested(gre(), ip), 47),
    "gre in ip": (nested(ip, gre(GRE_KEY)), None),
    "pptp in ip": (nested(ip, pptp), None),
    "vxlan in gre": (nested(gre(), in_udp(4789, bytes.fromhex("0800000000000700"), frame_in)), 47),
    "ip in etherip in ip": (nested(ip, behind(97, b"\x30\0", frame_in), ip), None),
    "ip eight deep": (nested(*[ip] * 8), None),
}
"""The tunnel, and the protocol of the outer packet; None: the number of the IP version that it carries."""


def decoded(tools: Tools, folder: Path, *frames: bytes) -> list[Packet | Discard]:
    """The frames as tshark and `decode` read them."""
    path = pcap.write(folder / "x.pcap", [(START_US, frame) for frame in frames])
    return [decode(line) for lines in replay_lines(tools, path) for line in lines]


@pytest.mark.parametrize("inner", [INSIDE, INSIDE6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("src", "dst"), [(SCANNER, HOST), (SCANNER6, HOST6)], ids=["over ipv4", "over ipv6"])
def test_a_tunnel_is_a_probe_of_its_protocol_by_the_outer_source(
    tools: Tools, tmp_path: Path, inner: Sent, src: str, dst: str
) -> None:
    """IPIP, 6in4, 4in6 and 6in6, and every other way to put a packet into a packet."""
    frames = [tunnel(inner, src, dst).frame for tunnel, _ in TUNNELS.values()]
    packets = decoded(tools, tmp_path, *frames)
    for (name, (tunnel, proto)), packet in zip(TUNNELS.items(), packets, strict=True):
        assert isinstance(packet, Packet), name
        carried = numbers_of(inner)[0] if name.startswith("ip behind") else tunnel(inner, src, dst).proto
        assert (packet.src, packet.dst, packet.proto) == (src, dst, proto or carried), name
        assert packet.ttl == 64, name


def test_a_tunnel_in_fragments_is_read_no_further(tools: Tools, tmp_path: Path) -> None:
    whole = dataclasses.replace(ip(INSIDE, SCANNER, HOST), ttl=9)
    *pieces, last = decoded(tools, tmp_path, *[piece.frame for piece in fragments(whole, ip_id=7, size=24)])
    assert set(pieces) == {Discard.FRAGMENT}
    assert isinstance(last, Packet)
    assert (last.src, last.dst, last.proto, last.ttl, last.is_whole) == (SCANNER, HOST, 4, 9, False)


def test_an_error_that_quotes_a_tunnel_quotes_the_outer_packet(tools: Tools, tmp_path: Path) -> None:
    error = icmp_unreachable(ip(INSIDE, SCANNER, HOST), code=2)
    (packet,) = decoded(tools, tmp_path, error.frame)
    assert isinstance(packet, Packet)
    assert packet.quoted == Quoted(4, SCANNER, HOST, *struct.unpack("!HH", packet_in(INSIDE)[:4]))


@pytest.mark.parametrize("inner", [INSIDE, INSIDE6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("src", "dst"), [(SCANNER, HOST), (SCANNER6, HOST6)], ids=["over ipv4", "over ipv6"])
def test_no_protocol_shows_the_addresses_inside(tools: Tools, tmp_path: Path, inner: Sent, src: str, dst: str) -> None:
    heads = (b"", bytes(4), bytes(8), b"\x08\0", b"\x86\xdd", bytes([numbers_of(inner)[0], 0, 0, 0, 0, 0, 0, 0]))
    payloads = [head + content(inner) for head in heads for content in (packet_in, frame_in, ppp_in)]
    frames = [Sent(START_US, src, dst, proto, payload).frame for proto in range(256) for payload in payloads]
    packets = decoded(tools, tmp_path, *frames)
    assert len(packets) == len(frames)
    assert {(one.src, one.dst) for one in packets if isinstance(one, Packet)} == {(src, dst)}


@pytest.mark.parametrize("kind", [0x8847, 0x8848, 0x894F, 0x88E7, 0x880B])
def test_what_a_link_carries_behind_labels_is_no_packet(tools: Tools, tmp_path: Path, kind: int) -> None:
    """MPLS, network service headers, provider backbones and PPP: this host takes none of them."""
    head = INSIDE.frame[:12] + struct.pack("!H", kind)
    frames = [head + label + content(INSIDE) for label in (LABEL, b"") for content in (packet_in, frame_in, ppp_in)]
    assert set(decoded(tools, tmp_path, *frames)) == {Discard.NOT_IP}


def test_nothing_behind_an_ip_header_is_dissected_but_extension_headers_of_ipv6() -> None:
    command = tshark_command("/usr/bin/tshark", "-")
    ranges = [word.removeprefix("ip.proto==").removesuffix(",data") for word in command if word.startswith("ip.proto")]
    opaque = {
        number for first, last in (one.split("-") for one in ranges) for number in range(int(first), int(last) + 1)
    }
    assert set(range(256)) - opaque == {0, 43, 44, 51, 60}


def test_a_capture_on_one_interface_does_not_ask_tshark_for_its_name() -> None:
    for interfaces, name in ((ETHERNET, ""), (ETHERNET[:1], "eth0"), (describe([OTHERS]), "any")):
        (command,) = dumpcap_commands(DUMPCAP, interfaces, WEB, Capture(workers=1))
        assert only_interface(command) == name
    usual, without = (" ".join(tshark_command("/usr/bin/tshark", "-", interface=asks)) for asks in (True, False))
    assert without == usual.replace(',"iface","%Cus:frame.interface_name:0:U"', "")


def test_a_live_capture_is_read_line_by_line_and_a_file_by_its_path() -> None:
    live, replayed = tshark_command("/usr/bin/tshark", "-"), tshark_command("/usr/bin/tshark", "/var/x.pcap")
    assert live[-1] == "-l"
    assert "-l" not in replayed
    assert replayed[replayed.index("-r") + 1] == "/var/x.pcap"
    assert live[live.index("-r") + 1] == "-"
