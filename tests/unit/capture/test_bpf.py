"""The capture filter compiles, and keeps what the core needs."""

import ctypes
import ctypes.util
import subprocess
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.capture.bpf import kernel_filter
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, no_deadline, syn
from tests.support.libpcap import CapturedHeader, Instructions, libpcap
from tests.support.needs import require_root, require_tool
from tests.support.traffic import every_kind


def compiled(expression: str) -> subprocess.CompletedProcess[str]:
    """What dumpcap makes of a filter on loopback, which it may open only as root."""
    require_root()
    command = [require_tool("dumpcap"), "-i", "lo", "-f", expression, "-d"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("vlan", [False, True])
@pytest.mark.parametrize("served", [set[int](), {53}, set(range(1, 60))])
def test_it_compiles(served: set[int], vlan: bool) -> None:
    done = compiled(kernel_filter(served, vlan=vlan))
    assert "ret" in done.stdout, done.stderr


def test_a_broken_filter_does_not_compile() -> None:
    done = compiled("tcp[13] & nonsense")
    assert "ret" not in done.stdout
    assert "syntax error" in done.stderr


def test_served_udp_stays_in_the_kernel() -> None:
    expression = kernel_filter({443, 53}, vlan=False)
    assert expression.index("not port 53") < expression.index("not port 443")
    assert "not port" not in kernel_filter((), vlan=False)


def test_the_same_ports_give_the_same_filter() -> None:
    assert kernel_filter([53, 123], vlan=True) == kernel_filter([123, 53], vlan=True)


@pytest.mark.parametrize("vlan", [False, True])
def test_brackets_are_balanced(vlan: bool) -> None:
    expression = kernel_filter({53}, vlan=vlan)
    depth = 0
    for character in expression:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("part", ["tcp[13] & 0x17 != 0x10", "ip6[53] & 0x17 != 0x10", "icmp", "0x3fff"])
def test_both_families_fragments_and_errors_pass(part: str) -> None:
    assert part in kernel_filter({53}, vlan=False)


def test_tagged_frames_pass_where_the_link_has_tags() -> None:
    assert "vlan" not in kernel_filter((), vlan=False)
    assert kernel_filter((), vlan=True).count("vlan and") == 2


@pytest.mark.parametrize("vlan", [False, True])
def test_a_share_compiles(vlan: bool) -> None:
    done = compiled(kernel_filter(range(1, 60), vlan=vlan, worker=7, workers=8))
    assert "ret" in done.stdout, done.stderr


_ETHERNET, _SNAP_BYTES = 1, 128


@cache
def program(worker: int, workers: int) -> tuple[ctypes.CDLL, Instructions]:
    """The filter of a worker, compiled by the library of dumpcap."""
    pcap = libpcap()
    handle = ctypes.c_void_p(pcap.pcap_open_dead(_ETHERNET, _SNAP_BYTES))
    made = Instructions()
    expression = kernel_filter({53}, vlan=True, worker=worker, workers=workers).encode()
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
