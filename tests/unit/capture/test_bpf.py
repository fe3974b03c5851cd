"""The capture filter compiles, and keeps what the core needs."""

import ctypes
import ctypes.util
import subprocess
from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.capture.bpf import MAX_OWN, PLAIN, FilterHost, from_own, kernel_filter
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, no_deadline, syn, udp
from tests.support.libpcap import CapturedHeader, Instructions, libpcap
from tests.support.needs import require_root, require_tool
from tests.support.traffic import every_kind

OWN = frozenset({HOST, HOST6})


def serving(*ports: int) -> FilterHost:
    return FilterHost(OWN, frozenset(ports))


def compiled(expression: str) -> subprocess.CompletedProcess[str]:
    """What dumpcap makes of a filter on loopback, which it may open only as root."""
    require_root()
    command = [require_tool("dumpcap"), "-i", "lo", "-f", expression, "-d"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("vlan", [False, True])
@pytest.mark.parametrize("direction", [False, True])
@pytest.mark.parametrize("served", [(), (53,), range(1, 600, 2)])
def test_it_compiles(served: Iterable[int], direction: bool, vlan: bool) -> None:
    done = compiled(kernel_filter(serving(*served), vlan=vlan, direction=direction))
    assert "ret" in done.stdout, done.stderr


def test_a_broken_filter_does_not_compile() -> None:
    done = compiled("tcp[13] & nonsense")
    assert "ret" not in done.stdout
    assert "syntax error" in done.stderr


def test_neighbouring_served_ports_are_one_range() -> None:
    expression = kernel_filter(serving(443, 53, 54, 55), vlan=False)
    assert "dst portrange 53-55 or udp dst port 443" in expression
    assert " port " not in kernel_filter(PLAIN, vlan=False)


def test_without_an_address_of_ours_every_datagram_passes() -> None:
    assert kernel_filter(FilterHost(served_udp=frozenset({53})), vlan=False) == kernel_filter(PLAIN, vlan=False)


def large(own: int, ports: int) -> FilterHost:
    """A host with as many addresses of both families, and as many ranges of ports."""
    v4 = (f"10.0.{number // 250}.{number % 250}" for number in range(own))
    v6 = (f"2001:db8:{number:x}::5" for number in range(own))
    ranges = (range(1000 + 10 * number, 1005 + 10 * number) for number in range(ports))
    return FilterHost(frozenset((*v4, *v6)), frozenset(port for one in ranges for port in one))


def test_the_length_is_bounded_however_much_a_host_has() -> None:
    expressions = {kernel_filter(large(own, 2000), vlan=True, direction=True, workers=8) for own in (500, 600)}
    assert all(len(one) < 20_000 for one in expressions)
    done = compiled(expressions.pop())
    assert done.returncode == 0, done.stderr
    assert 1000 < len(done.stdout.splitlines()) <= 4096, "the kernel takes no more"


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
