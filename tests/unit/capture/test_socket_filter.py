"""The filter of a counting socket: it takes what dumpcap's own filter takes, and nothing else."""

import ctypes
import socket
import struct
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portsentry_py.capture import socket_filter
from portsentry_py.capture.bpf import PLAIN, FilterHost, kernel_filter
from portsentry_py.capture.socket_filter import compiled, forged_filter, passing_filter
from portsentry_py.core.packet import ACK, FIN
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, fragments, no_deadline, syn, tcp, udp
from tests.support.libpcap import Instructions, compiled_for, libpcap, passes
from tests.support.traffic import every_kind

US = FilterHost(frozenset({HOST, HOST6}), frozenset({53}), served_tcp=frozenset({22, 79, 80, 81}))
ETHERNET, SNAP_BYTES = 1, 65_535
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"


@cache
def of_counter() -> tuple[Instructions, ctypes.Array[ctypes.c_char]]:
    """The part of the counter's filter that looks at bytes alone, and the memory that holds it."""
    program = compiled(kernel_filter(US, vlan=False))
    memory = ctypes.create_string_buffer(program, len(program))
    return Instructions(len(program) // 8, ctypes.addressof(memory)), memory


def captured(frame: bytes) -> bool:
    return passes(compiled_for(ETHERNET, SNAP_BYTES, kernel_filter(US, vlan=True)), frame)


def counted(packet: bytes) -> bool:
    """From the IP header on."""
    return passes(of_counter()[0], packet)


def inside(sent: Sent) -> bytes:
    """The packet without its Ethernet header and tag."""
    return sent.frame[18 if sent.vlan else 14 :]


hosts = st.sampled_from([(SCANNER, HOST), (HOST, SCANNER), (SCANNER6, HOST6), (HOST6, SCANNER6)])
ports = st.sampled_from([0, 22, 53, 80, 443, 40_000, 65_535])
flags = st.one_of(st.integers(0, 255), st.just(FIN | ACK))
segments = st.builds(
    lambda pair, source, dest, flags, options, data: tcp(
        pair[0], pair[1], source, dest, flags, options=options * 4, data=data
    ),
    *(hosts, ports, ports, flags, st.binary(max_size=10), st.binary(max_size=20)),
)
datagrams = st.builds(
    lambda pair, source, dest, data: udp(pair[0], dest, dst=pair[1], src_port=source, data=data)[0],
    *(hosts, ports, ports, st.binary(max_size=20)),
)
# Extensions, fragments, ICMP of both families, tunnels and what has no ports.
others = st.builds(
    lambda pair, proto, payload: Sent(0, pair[0], pair[1], proto, payload),
    hosts,
    st.sampled_from([0, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 89, 132, 255]),
    st.binary(max_size=60),
)
pieces = st.builds(
    lambda dest, size, nth: (cut := fragments(syn(SCANNER, dest)[0], ip_id=7, size=8 * size))[nth % len(cut)],
    *(ports, st.integers(1, 4), st.integers(0, 9)),
)
packets = st.one_of(segments, datagrams, others, pieces)


@no_deadline
@given(packets, st.sampled_from([0, 7, 4095]))
def test_the_counter_counts_what_is_captured_and_nothing_else(sent: Sent, vlan: int) -> None:
    tagged = replace(sent, vlan=vlan) if type(sent) is Sent else sent  # fragments have no tag
    assert counted(inside(tagged)) == captured(tagged.frame)


@no_deadline
@given(packets, st.integers(0, 80))
def test_the_counter_agrees_about_a_packet_that_is_cut(sent: Sent, size: int) -> None:
    assert counted(inside(sent)[:size]) == captured(sent.frame[: 14 + size])


@no_deadline
@given(st.integers(5, 15), st.integers(0, 255), st.binary(min_size=80, max_size=80))
def test_the_counter_agrees_about_a_packet_with_ip_options(words: int, flags: int, filler: bytes) -> None:
    sent = tcp(SCANNER, HOST, 1, 2, flags)
    whole = inside(sent)
    packet = bytes([0x40 | words]) + whole[1:20] + filler[: 4 * (words - 5)] + whole[20:]
    assert counted(packet) == captured(sent.frame[:14] + packet)


@no_deadline
@given(st.sampled_from([(IPV4, 0x40), (IPV6, 0x60)]), st.binary(min_size=1, max_size=100))
@example((IPV4, 0x40), b"\x40" + bytes(99))
def test_the_counter_agrees_about_any_bytes_behind_a_right_version(family: tuple[bytes, int], content: bytes) -> None:
    ethertype, version = family
    packet = bytes([version | content[0] & 15]) + content[1:]
    assert counted(packet) == captured(bytes(12) + ethertype + packet)


def test_some_are_counted_and_some_are_not() -> None:
    """Otherwise the tests above would test nothing."""
    found = [counted(inside(sent)) for sent in every_kind(SCANNER, HOST, SCANNER6, HOST6)]
    assert found.count(False) == 2 * 4, "ACKs with data, and what is asked of port 53 and answered"
    assert len(found) > 30
    ends = [tcp(host, peer, 80, 40_000, FIN | ACK) for host, peer in ((HOST, SCANNER), (HOST6, SCANNER6))]
    assert [counted(inside(sent)) for sent in ends] == [False, False]


@pytest.mark.parametrize("expression", ["tcp[13] & nonsense", "port 70000", "("])
def test_a_filter_that_libpcap_does_not_understand_is_an_error(expression: str) -> None:
    libpcap()
    with pytest.raises(OSError, match=r"[a-z]{3}"):
        compiled(expression)


def test_without_libpcap_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_filter, "_LIBPCAP", ("libnothing.so.1", "libnothing.so.2"))
    compiled.cache_clear()
    with pytest.raises(OSError, match="libpcap is not installed"):
        compiled("tcp")


def test_a_filter_without_an_address_of_ours_looks_at_no_direction() -> None:
    libpcap()
    assert passing_filter(PLAIN, loopback=False) == passing_filter(PLAIN, loopback=True)
    assert passing_filter(US, loopback=False) != passing_filter(US, loopback=True), "on loopback all comes in"
    silent = replace(US, served_tcp=frozenset())
    assert passing_filter(US, loopback=True) == passing_filter(silent, loopback=True), "and both ends are ours"
    assert forged_filter(PLAIN) == b""


def test_constants_are_the_kernels() -> None:
    """Of those that Python knows too."""
    assert socket.SOL_SOCKET == 1, "on other machines _SO_ATTACH_FILTER may differ"
    assert socket.PACKET_OUTGOING == socket_filter._PACKET_OUTGOING
    assert struct.calcsize("HBBI") == 8
