"""The capture filter compiles, and keeps what the core needs."""

import ctypes
import ctypes.util
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.capture.bpf import MAX_OWN, PLAIN, FilterHost, from_own, kernel_filter
from portsentry_py.core.packet import ACK, FIN, PSH, RST, SYN, URG
from tests.support.build import (
    HOST,
    HOST6,
    SCANNER,
    SCANNER6,
    STACK_OPTIONS,
    Sent,
    fragments,
    no_deadline,
    syn,
    tcp,
    udp,
)
from tests.support.libpcap import CapturedHeader, Instructions, compiled_for, libpcap, passes
from tests.support.needs import require_root, require_tool
from tests.support.traffic import every_kind

OWN = frozenset({HOST, HOST6})


def serving(*ports: int) -> FilterHost:
    return FilterHost(OWN, frozenset(ports))


def also_over_tcp(host: FilterHost, *ports: int) -> FilterHost:
    return replace(host, served_tcp=frozenset(ports))


def compiled(expression: str) -> subprocess.CompletedProcess[str]:
    """What dumpcap makes of a filter on loopback, which it may open only as root."""
    require_root()
    command = [require_tool("dumpcap"), "-i", "lo", "-f", expression, "-d"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("vlan", [False, True])
@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize("served", [(), (53,), range(1, 600, 2)])
def test_it_compiles(served: Iterable[int], direction: bool, vlan: bool) -> None:
    host = also_over_tcp(serving(*served), *served)
    done = compiled(kernel_filter(host, vlan=vlan, direction=direction))
    assert "ret" in done.stdout, done.stderr


def test_a_broken_filter_does_not_compile() -> None:
    done = compiled("tcp[13] & nonsense")
    assert "ret" not in done.stdout
    assert "syntax error" in done.stderr


def test_neighbouring_served_ports_are_one_range() -> None:
    expression = kernel_filter(serving(443, 53, 54, 55), vlan=False)
    assert "dst portrange 53-55 or udp dst port 443" in expression
    assert " port " not in kernel_filter(PLAIN, vlan=False)


def test_without_an_address_of_ours_every_datagram_and_segment_passes() -> None:
    knows_ports = also_over_tcp(FilterHost(served_udp=frozenset({53})), 80)
    assert kernel_filter(knows_ports, vlan=False) == kernel_filter(PLAIN, vlan=False)


def large(own: int, ports: int, *, own6: int | None = None) -> FilterHost:
    """A host with so many addresses, as many of both families if nothing else is said, and ranges of ports."""
    v4 = (f"10.0.{number // 250}.{number % 250}" for number in range(own))
    v6 = (f"2001:db8:{number:x}::5" for number in range(own if own6 is None else own6))
    ranges = (range(1000 + 10 * number, 1005 + 10 * number) for number in range(ports))
    served = frozenset(port for one in ranges for port in one)
    return FilterHost(frozenset((*v4, *v6)), served, served_tcp=served)


def test_the_length_is_bounded_however_much_a_host_has() -> None:
    expressions = {kernel_filter(large(own, 2000), vlan=True, direction=True, workers=8) for own in (500, 600)}
    assert all(len(one) < 20_000 for one in expressions)
    done = compiled(expressions.pop())
    assert done.returncode == 0, done.stderr
    assert 1000 < len(done.stdout.splitlines()) <= _KERNEL_TAKES


_KERNEL_TAKES = 4096
# Addresses of both families and ranges of served UDP ports: the largest filters that a search over hosts has found.
_LARGEST = [(0, 128, 0), (62, 55, 24), (62, 50, 24), (64, 32, 24), (1, 16, 24), (128, 0, 24), (1, 12, 24), (4, 9, 24)]


def no_bits(number: int, size: int) -> bytes:
    """Bytes that have as good as none in common with those of other numbers: nothing of them is compared once."""
    return sha256(f"{number}".encode()).digest()[:size]


def crowded(v4: int, v6: int, ranges: int, *, networks: int = 6) -> FilterHost:
    """A host that uses all parts of the filter, with so many addresses and ranges of UDP ports."""
    own = (*map(global_v4, range(v4)), *map(global_v6, range(v6)))
    found = (f"{global_v4(one)}/31" if networks == 4 else f"{global_v6(one)}/127" for one in range(500, 516))
    away = frozenset(("eth0", f"{ip_network(one, strict=False)}") for one in found)
    return FilterHost(frozenset(own), large(1, ranges).served_udp, away, served_tcp=large(1, 2000).served_tcp)


def global_v4(number: int) -> str:
    return str(IPv4Address(b"\x2d" + no_bits(number, 3)))


def global_v6(number: int) -> str:
    return str(IPv6Address(b"\x2a" + no_bits(number, 15)))


def whole(host: FilterHost) -> str:
    """The longest form of the filter."""
    links = [":".join(f"{one:02x}" for one in no_bits(number, 6)) for number in range(8)]
    return kernel_filter(host, vlan=True, interface="eth0", direction=True, links=links, worker=7, workers=8)


@pytest.mark.parametrize("networks", [4, 6])
@pytest.mark.parametrize("case", _LARGEST)
def test_the_kernel_takes_the_filter_however_much_a_host_has(case: tuple[int, int, int], networks: int) -> None:
    """Of a longer one it takes nothing: every packet would be copied."""
    done = compiled(whole(crowded(*case, networks=networks)))
    assert 1000 < len(done.stdout.splitlines()) <= _KERNEL_TAKES, done.stderr


@pytest.mark.parametrize("case", _LARGEST)
def test_every_address_of_ours_is_looked_for_however_many(case: tuple[int, int, int]) -> None:
    host = crowded(*case)
    untagged, tagged, twice = whole(host).split("vlan and")
    assert all(f"src host {one} " in part for one in host.own for part in (untagged, tagged))
    networks = {network for _, network in host.elsewhere}
    assert all(f"src net {one}" in part for one in networks for part in (untagged, tagged))
    if len(host.own) < 64:
        assert all(f"src host {one} " in twice for one in host.own)


def test_where_there_is_little_room_served_ports_are_left_out_first_those_of_tcp() -> None:
    roomy, full, fuller, fullest = (crowded(*one) for one in ((1, 1, 24), (4, 24, 24), (4, 40, 24), (0, 128, 24)))
    tcp = [whole(one) != whole(replace(one, served_tcp=frozenset())) for one in (roomy, full, fuller, fullest)]
    assert tcp == [True, False, False, False]
    assert [bool(one.unvisited_tcp) for one in (roomy, full, fuller, fullest)] == tcp
    ends_alone = crowded(4, 20, 18)
    assert whole(ends_alone) != whole(replace(ends_alone, served_tcp=frozenset()))
    assert ends_alone.unvisited_tcp == frozenset(), "first segments are left out before our own ends"
    assert [len(one.filtered_udp) for one in (roomy, full)] == [24 * 5] * 2
    assert 0 < len(fuller.filtered_udp) < 24 * 5
    assert max(fuller.filtered_udp) < min(fuller.served_udp - fuller.filtered_udp), "every user can open the others"
    assert fullest.filtered_udp == frozenset()
    assert whole(fullest) == whole(replace(fullest, served_udp=frozenset(), served_tcp=frozenset()))


def test_addresses_that_strangers_can_forge_have_the_first_places() -> None:
    local = {f"fe80::{number:x}" for number in range(1, 200)} | {"127.0.0.1", "::1"}
    expression = from_own(FilterHost(OWN | local))
    assert f"src host {HOST} or src host {HOST6} or src host fe80::" in expression
    assert expression.count("src host") == MAX_OWN
    assert "127.0.0.1" not in expression
    bridges = {f"172.{number}.0.1" for number in range(16, 32)}
    served = kernel_filter(FilterHost(frozenset({"192.88.98.1", *bridges}), frozenset({53})), vlan=False)
    assert "dst host 192.88.98.1 or dst host 172.16.0.1" in served, "bridges of containers come after it"


def test_a_network_of_ours_is_forged_where_it_does_not_live() -> None:
    host = FilterHost(OWN, elsewhere=frozenset({("eth0", "10.0.0.0/8"), ("eth0", "2001:db8:1::/48"), ("eth1", "::/1")}))
    assert from_own(host, "eth0").endswith("or src net 10.0.0.0/8 or src net 2001:db8:1::/48")
    assert "::/1" in kernel_filter(host, vlan=False, interface="eth1", direction=True)
    assert "net" not in from_own(host, "eth2")
    done = compiled(kernel_filter(host, vlan=False, interface="eth0"))
    assert done.returncode == 0, done.stderr


def test_the_lowest_ports_have_the_first_places() -> None:
    """Every user can open the others."""
    host = serving(53, *range(30_000, 60_000, 2))
    assert "dst port 53" in kernel_filter(host, vlan=False)
    assert 53 in host.filtered_udp
    assert len(host.filtered_udp) < 100


def test_the_same_ports_give_the_same_filter() -> None:
    assert kernel_filter(serving(53, 123), vlan=True) == kernel_filter(serving(123, 53), vlan=True)


@pytest.mark.parametrize("vlan", [False, True])
def test_brackets_are_balanced(vlan: bool) -> None:
    expression = kernel_filter(serving(53), vlan=vlan, direction=True)
    depth = 0
    for character in expression:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


SERVER = also_over_tcp(serving(53), 22, 80, *range(8000, 8011))
ETHERNET = 1


def lets_through(sent: Sent, host: FilterHost = SERVER, *, loopback: bool = False) -> bool:
    return passes(compiled_for(ETHERNET, 65_535, kernel_filter(host, vlan=True, loopback=loopback)), sent.frame)


def ours(port: int, flags: int = FIN | ACK, *, src: str = HOST, dst: str = SCANNER, vlan: int = 0) -> Sent:
    return tcp(src, dst, port, 40_000, flags, vlan=vlan)


def test_our_own_end_of_a_session_with_a_served_port_stays_in_the_kernel() -> None:
    for port in (22, 80, 8000, 8005, 8010):
        for flags in (FIN | ACK, FIN | ACK | PSH, FIN | ACK | URG):
            for vlan in (0, 7):
                assert not lets_through(ours(port, flags, vlan=vlan)), (port, flags, vlan)
                assert not lets_through(ours(port, flags, vlan=vlan, src=HOST6, dst=SCANNER6)), (port, flags, vlan)


@pytest.mark.parametrize(
    "flags", [SYN | ACK, RST, RST | ACK, RST | FIN | ACK, SYN | FIN | ACK, FIN, FIN | PSH | URG, 0]
)
def test_what_answers_refuses_or_probes_passes_from_a_served_port(flags: int) -> None:
    assert lets_through(ours(80, flags))
    assert lets_through(ours(80, flags, src=HOST6, dst=SCANNER6))


@pytest.mark.parametrize("port", [0, 21, 23, 79, 81, 7999, 8011, 53, 40_000, 65_535])
def test_the_end_of_a_session_with_another_port_passes(port: int) -> None:
    """Such as that of a session which this host opened."""
    assert lets_through(ours(port))
    assert lets_through(ours(port, src=HOST6, dst=SCANNER6))


def test_the_clients_end_passes_whatever_its_port_is() -> None:
    """It may be the proof, or the probe of a Maimon scan."""
    assert lets_through(tcp(SCANNER, HOST, 80, 22, FIN | ACK))
    assert lets_through(tcp(SCANNER6, HOST6, 80, 80, FIN | ACK))
    assert lets_through(tcp("198.51.100.7", SCANNER, 80, 40_000, FIN | ACK)), "one that passes through this host"


def test_on_loopback_every_end_passes() -> None:
    """There a scanner can have the address of the server that it scans, and one of its ports."""
    for sent in (ours(80, dst=HOST), ours(80, src=HOST6, dst=HOST6)):
        assert lets_through(sent, loopback=True)
        assert not lets_through(sent)


def test_our_own_end_in_fragments_passes() -> None:
    assert all(map(lets_through, fragments(ours(80), ip_id=7)))


def test_our_own_end_with_ip_options_passes() -> None:
    """No stack sends it, and its port is not looked for: that would cost instructions."""
    frame = ours(80).frame
    longer = frame[:14] + bytes([0x46]) + frame[15:34] + b"\1\1\1\1" + frame[34:]
    assert passes(compiled_for(ETHERNET, 65_535, kernel_filter(SERVER, vlan=True)), longer)


@pytest.mark.parametrize("tags", [0, 1, 2])
def test_what_a_filter_has_no_room_for_passes(tags: int) -> None:
    """Behind two tags, that is all that is served."""
    ours4, ours6 = "45.0.0.1", global_v6(0)
    roomy = FilterHost(frozenset({ours4, ours6}), frozenset({53}), served_tcp=frozenset({80}))
    full = replace(roomy, own=roomy.own | crowded(0, 127, 0).own, elsewhere=crowded(1, 1, 0).elsewhere)
    sent = [*every_kind(SCANNER, ours4, SCANNER6, ours6), ours(80, src=ours4), ours(80, src=ours6, dst=SCANNER6)]
    frames = [one.frame[:12] + b"\x81\0\0\7" * tags + one.frame[12:] for one in sent]

    def passing(host: FilterHost) -> list[bool]:
        program = compiled_for(ETHERNET, 65_535, kernel_filter(host, vlan=True))
        return [passes(program, frame) for frame in frames]

    assert passing(full) == passing(PLAIN)
    assert (passing(roomy) == passing(PLAIN)) is (tags == 2)


def asked(
    port: int, flags: int = SYN, options: bytes = STACK_OPTIONS, *, src: str = SCANNER, dst: str = HOST, vlan: int = 0
) -> Sent:
    return tcp(src, dst, 40_000, port, flags, options=options, vlan=vlan)


def asked6(port: int, flags: int = SYN, options: bytes = STACK_OPTIONS, *, vlan: int = 0) -> Sent:
    return asked(port, flags, options, src=SCANNER6, dst=HOST6, vlan=vlan)


@pytest.mark.parametrize("made", [asked, asked6])
@pytest.mark.parametrize("vlan", [0, 7])
def test_the_first_segment_of_an_ordinary_client_to_a_served_port_stays_in_the_kernel(
    made: Callable[..., Sent], vlan: int
) -> None:
    for port in (22, 80, 8000, 8005, 8010):
        assert not lets_through(made(port, vlan=vlan)), port
        assert lets_through(made(port, vlan=vlan), replace(SERVER, wants_visits=True))
        assert lets_through(made(port, vlan=vlan), loopback=True)


@pytest.mark.parametrize("made", [asked, asked6])
@pytest.mark.parametrize("port", [0, 21, 23, 79, 81, 7999, 8011, 53, 40_000, 65_535])
def test_the_first_segment_to_another_port_passes(made: Callable[..., Sent], port: int) -> None:
    assert lets_through(made(port))


@pytest.mark.parametrize("made", [asked, asked6])
@pytest.mark.parametrize("flags", sorted(set(range(256)) - {SYN}))
def test_a_first_segment_with_other_flags_passes(made: Callable[..., Sent], flags: int) -> None:
    is_kept = flags & (SYN | FIN | RST | ACK) == ACK
    assert lets_through(made(80, flags)) is not is_kept


@pytest.mark.parametrize("made", [asked, asked6])
@pytest.mark.parametrize("size", sorted(set(range(0, 41, 4)) - {20}))
def test_the_first_segment_of_another_stack_passes(made: Callable[..., Sent], size: int) -> None:
    """The header of Windows has 32 bytes, that of macOS 44, and those of raw scanners 20 to 28."""
    assert lets_through(made(80, SYN, b"\1" * size))
    assert not lets_through(made(80, SYN, b"\1" * 20)), "with any options"


def test_a_first_segment_with_reserved_bits_passes() -> None:
    for one, at in ((asked(80), 34), (asked6(80), 54)):
        frame = one.frame[: at + 12] + b"\xa1" + one.frame[at + 13 :]
        assert passes(compiled_for(ETHERNET, 65_535, kernel_filter(SERVER, vlan=True)), frame)


def test_first_segments_of_others_and_to_others_pass_and_ours_too() -> None:
    assert lets_through(asked(80, dst="198.51.100.7")), "one that passes through this host"
    assert lets_through(asked(80, src=HOST, dst=SCANNER)), "a call of ours"
    assert lets_through(tcp(SCANNER, HOST, 80, 40_000, SYN, options=STACK_OPTIONS)), "from such a port"


def test_a_first_segment_with_ip_options_or_in_fragments_passes() -> None:
    frame = asked(80).frame
    longer = frame[:14] + bytes([0x46]) + frame[15:34] + b"\1\1\1\1" + frame[34:]
    assert passes(compiled_for(ETHERNET, 65_535, kernel_filter(SERVER, vlan=True)), longer)
    assert all(map(lets_through, fragments(asked(80), ip_id=7)))
    behind = in_destination_options(asked6(80))
    assert passes(compiled_for(ETHERNET, 65_535, kernel_filter(SERVER, vlan=True)), behind)


def test_behind_two_tags_first_segments_pass() -> None:
    for one in (asked(80), asked6(80)):
        frame = one.frame[:12] + b"\x81\0\0\7" * 2 + one.frame[12:]
        assert passes(compiled_for(ETHERNET, 65_535, kernel_filter(SERVER, vlan=True)), frame)


def in_destination_options(one: Sent) -> bytes:
    """The frame of an IPv6 packet, with an empty header of destination options (RFC 8200) before its last one."""
    frame = one.frame
    size = (int.from_bytes(frame[18:20], "big") + 8).to_bytes(2, "big")
    return frame[:18] + size + b"\x3c" + frame[21:54] + b"\6\0\1\4\0\0\0\0" + frame[54:]


def test_the_ports_to_which_first_segments_stay_in_the_kernel_are_known() -> None:
    assert SERVER.unvisited_tcp == SERVER.served_tcp
    assert replace(SERVER, wants_visits=True).unvisited_tcp == PLAIN.unvisited_tcp == frozenset()
    assert also_over_tcp(PLAIN, 80).unvisited_tcp == frozenset(), "without an address they pass"


@pytest.mark.parametrize("part", ["tcp[13] & 0x17 != 0x10", "ip6[53] & 0x17 != 0x10", "icmp", "0x3fff"])
def test_both_families_fragments_and_errors_pass(part: str) -> None:
    assert part in kernel_filter(serving(53), vlan=False)


def test_tagged_frames_pass_where_the_link_has_tags() -> None:
    assert "vlan" not in kernel_filter(PLAIN, vlan=False)
    assert kernel_filter(PLAIN, vlan=True).count("vlan and") == 2


@pytest.mark.parametrize("vlan", [False, True])
def test_a_share_compiles(vlan: bool) -> None:
    done = compiled(kernel_filter(serving(*range(1, 60)), vlan=vlan, worker=7, workers=8))
    assert "ret" in done.stdout, done.stderr


_ETHERNET, _SNAP_BYTES = 1, 128


@cache
def program(worker: int, workers: int) -> tuple[ctypes.CDLL, Instructions]:
    """The filter of a worker, compiled by the library of dumpcap."""
    pcap = libpcap()
    handle = ctypes.c_void_p(pcap.pcap_open_dead(_ETHERNET, _SNAP_BYTES))
    made = Instructions()
    expression = kernel_filter(serving(53), vlan=True, worker=worker, workers=workers).encode()
    assert pcap.pcap_compile(handle, ctypes.byref(made), expression, 1, ctypes.c_uint32(0xFFFFFFFF)) == 0
    return pcap, made


def takers(sent: Sent, workers: int) -> list[int]:
    """The workers whose filter lets the packet through."""
    frame = sent.frame
    header = CapturedHeader(0, 0, min(len(frame), _SNAP_BYTES), len(frame))
    found = []
    for worker in range(workers):
        pcap, made = program(worker, workers)
        if pcap.pcap_offline_filter(ctypes.byref(made), ctypes.byref(header), frame):
            found.append(worker)
    return found


@pytest.mark.parametrize(
    ("sent", "passes"),
    [
        (udp(SCANNER, 53), False),
        (udp(SCANNER, 161, src_port=53), True),
        (udp(HOST, 40_000, dst=SCANNER, src_port=53), False),
        (udp(HOST, 53, dst=SCANNER), True),
        (udp(SCANNER, 53, dst="198.51.100.7"), True),
        (udp(SCANNER6, 53, dst=HOST6), False),
        (udp(SCANNER6, 161, dst=HOST6, src_port=53), True),
        (udp(SCANNER, 53, dst="224.0.0.251"), False),
        (udp(SCANNER6, 53, dst="ff02::fb"), False),
    ],
)
def test_a_served_port_hides_what_is_sent_to_us_and_what_we_answer_alone(sent: list[Sent], passes: bool) -> None:
    """A scan that comes from that port is seen."""
    assert bool(takers(sent[0], 1)) is passes


def test_some_pass_and_some_do_not() -> None:
    passed = [bool(takers(sent, 1)) for sent in every_kind(SCANNER, HOST, SCANNER6, HOST6)]
    assert passed.count(False) == 2 * 4, "ACKs with data, and what is asked of port 53 and answered"


@no_deadline
@given(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(str),
)
def test_each_packet_has_exactly_one_worker(source: str, host: str, source6: str, host6: str) -> None:
    for sent in every_kind(source, host, source6, host6):
        expected = len(takers(sent, 1))
        for workers in (2, 4, 8):
            assert len(takers(sent, workers)) == expected, (workers, sent)


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_flow_answers_and_fragments_have_the_same_worker(workers: int) -> None:
    for last in range(1, 60):
        source, source6 = f"203.0.113.{last}", f"2001:db8:bad::{last:x}"
        seen: dict[frozenset[str], set[int]] = {}
        for sent in every_kind(source, HOST, source6, HOST6):
            for taker in takers(sent, workers):
                seen.setdefault(frozenset((sent.src, sent.dst)), set()).add(taker)
        assert len(seen) == 2
        assert all(len(one) == 1 for one in seen.values())


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_neighbouring_addresses_are_shared_evenly(workers: int) -> None:
    for pattern in ("203.0.113.%d", "2001:db8:bad::%x"):
        host = HOST6 if ":" in pattern else HOST
        taken = [takers(syn(pattern % last, 22, dst=host)[0], workers) for last in range(256)]
        assert {taken.count([worker]) for worker in range(workers)} == {256 // workers}
