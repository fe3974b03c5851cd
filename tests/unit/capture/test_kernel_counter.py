"""The counter besides the capture: its filter against libpcap's own, its counts against what was sent."""

import contextlib
import ctypes
import ctypes.util
import os
import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portsentry_py.capture import kernel_counter as module
from portsentry_py.capture.bpf import kernel_filter
from portsentry_py.capture.kernel_counter import KernelCounter, compiled
from portsentry_py.errors import RightsLost
from portsentry_py.privsep.client import LauncherClient
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, fragments, no_deadline, syn, tcp, udp
from tests.support.libpcap import CapturedHeader, Instructions, libpcap
from tests.support.needs import require_root, require_tool, unsupported
from tests.support.processes import open_files
from tests.support.traffic import every_kind
from tests.support.waiting import wait_for

SERVED = frozenset({53})
PREFIX_BYTES = 8 * len(module._PREFIX)
ETHERNET, SNAP_BYTES = 1, 65_535
IPV4, IPV6, ARP, TAG, SERVICE_TAG = b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00\0\7", b"\x88\xa8\0\7"


@cache
def of_ethernet() -> Instructions:
    """What dumpcap gives the kernel for a link that has tags."""
    handle = ctypes.c_void_p(libpcap().pcap_open_dead(ETHERNET, SNAP_BYTES))
    made = Instructions()
    expression = kernel_filter(SERVED, vlan=True).encode()
    library = libpcap()
    assert library.pcap_compile(handle, ctypes.byref(made), expression, 1, ctypes.c_uint32(0xFFFFFFFF)) == 0
    return made


@cache
def of_counter() -> tuple[Instructions, ctypes.Array[ctypes.c_char]]:
    """The counter's filter without the part that only the kernel can run, and the memory that holds it."""
    libpcap()
    program = compiled(kernel_filter(SERVED, vlan=False))[PREFIX_BYTES:]
    memory = ctypes.create_string_buffer(program, len(program))
    return Instructions(len(program) // 8, ctypes.addressof(memory)), memory


def passes(program: Instructions, packet: bytes) -> bool:
    header = CapturedHeader(0, 0, len(packet), len(packet))
    return bool(libpcap().pcap_offline_filter(ctypes.byref(program), ctypes.byref(header), packet))


def captured(frame: bytes) -> bool:
    return passes(of_ethernet(), frame)


def counted(packet: bytes) -> bool:
    """From the IP header on."""
    return passes(of_counter()[0], packet)


def inside(sent: Sent) -> bytes:
    """The packet without its Ethernet header and tag."""
    return sent.frame[18 if sent.vlan else 14 :]


hosts = st.sampled_from([(SCANNER, HOST), (HOST, SCANNER), (SCANNER6, HOST6), (HOST6, SCANNER6)])
ports = st.sampled_from([0, 22, 53, 80, 443, 40_000, 65_535])
segments = st.builds(
    lambda pair, source, dest, flags, options, data: tcp(
        pair[0], pair[1], source, dest, flags, options=options * 4, data=data
    ),
    *(hosts, ports, ports, st.integers(0, 255), st.binary(max_size=10), st.binary(max_size=20)),
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


@pytest.mark.parametrize("expression", ["tcp[13] & nonsense", "port 70000", "("])
def test_a_filter_that_libpcap_does_not_understand_is_an_error(expression: str) -> None:
    libpcap()
    with pytest.raises(OSError, match=r"[a-z]{3}"):
        compiled(expression)


def test_without_libpcap_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIBPCAP", ("libnothing.so.1", "libnothing.so.2"))
    with pytest.raises(OSError, match="libpcap is not installed"):
        compiled("tcp")


@pytest.fixture
def network() -> Iterator[None]:
    """A network of this test's own, with nothing in it but a loopback interface."""
    require_root()
    require_tool("ip")
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open("rb") as home:
        if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
            unsupported("network namespaces are forbidden here")
        try:
            ip("link", "set", "lo", "up")
            yield
        finally:
            assert libc.setns(home.fileno(), 0) == 0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)


@pytest.fixture
def launcher(network: None) -> Iterator[LauncherClient]:  # noqa: ARG001 - it opens sockets there
    """The launcher that opens the sockets."""
    client = LauncherClient("/bin/false")
    yield client
    client.close()


@pytest.fixture
def counter(launcher: LauncherClient) -> Iterator[KernelCounter]:
    """A counter; whatever the test does, it leaves nothing open."""
    before = open_files()
    made = KernelCounter(launcher)
    yield made
    made.close()
    assert open_files() == before


def send_datagrams(count: int, port: int = 4000, address: str = "127.0.0.1") -> None:
    """Send datagrams to a port with a listener, so that no answer comes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as sender:
        here.bind((address, port))
        for _ in range(count):
            sender.sendto(b"x", (address, port))
            here.recv(1)


def visit(count: int) -> None:
    """Open TCP sessions with data: two SYNs and two FINs of each pass the filter, ACKs and data do not."""
    with socket.create_server(("127.0.0.1", 4001)) as server:
        for _ in range(count):
            with socket.create_connection(server.getsockname()) as client, server.accept()[0] as session:
                client.sendall(b"hello")
                assert session.recv(10) == b"hello"
                client.shutdown(socket.SHUT_WR)
                assert session.recv(10) == b""


@pytest.mark.parametrize("name", ["lo", "any"])
def test_each_packet_is_counted_once(counter: KernelCounter, name: str) -> None:
    counter.watch([name], ())
    assert counter.is_counting
    assert counter.read() == 0
    send_datagrams(500)
    assert counter.read() == 500
    visit(10)
    assert counter.read() == 540
    send_datagrams(7, address="::1")
    assert counter.read() == 547
    with socket.socket() as nobody_listens:
        for _ in range(5):
            assert nobody_listens.connect_ex(("127.0.0.1", 4009)) != 0
    assert counter.read() == 557, "a SYN and a RST each"
    assert counter.read() == 557


def test_the_kernel_copies_no_packet(counter: KernelCounter) -> None:
    counter.watch(["lo"], ())
    (packets,) = counter._sockets
    send_datagrams(3000)
    packets.setblocking(False)
    queued = 0
    with contextlib.suppress(BlockingIOError):
        while packets.recv(1):
            queued += 1
    assert queued < 20
    assert counter.read() == 3000


def test_served_ports_stay_uncounted(counter: KernelCounter) -> None:
    counter.watch(["lo"], {4000})
    send_datagrams(5, 4000)
    send_datagrams(3, 4002)
    assert counter.read() == 3


def test_a_change_of_the_filter_loses_no_count(counter: KernelCounter) -> None:
    counter.watch(["lo"], ())
    send_datagrams(5)
    counter.set_filter({4000})
    send_datagrams(50)
    send_datagrams(2, 4002)
    counter.set_filter({4002})
    send_datagrams(3)
    send_datagrams(70, 4002)
    assert counter.read() == 10


def test_another_watch_continues_the_count(counter: KernelCounter) -> None:
    counter.watch(["lo"], ())
    send_datagrams(5)
    counter.watch(["any"], {4000})
    send_datagrams(50)
    send_datagrams(2, 4002)
    assert counter.read() == 7
    counter.watch(["lo"], ())
    send_datagrams(1)
    assert counter.read() == 8


def test_a_closed_counter_counts_nothing_and_keeps_its_total(counter: KernelCounter) -> None:
    assert not counter.is_counting
    assert counter.read() == 0
    counter.watch(["lo"], ())
    send_datagrams(5)
    counter.close()
    send_datagrams(5)
    assert not counter.is_counting
    assert counter.read() == 5
    counter.close()
    counter.set_filter({1})
    counter.watch(["lo"], ())
    send_datagrams(2)
    assert counter.read() == 7


def test_two_interfaces_are_counted_together(counter: KernelCounter) -> None:
    wire()
    with wired("near") as a, wired("far") as b:
        counter.watch(["near", "far", "lo"], ())
        a.send(syn(SCANNER, 1)[0].frame)
        assert b.recv(100)
        send_datagrams(4)
        assert counter.read() == 6, "it left through one and came through the other"


def test_an_interface_that_does_not_exist_is_an_error_and_leaves_nothing_open(counter: KernelCounter) -> None:
    before = open_files()
    with pytest.raises(OSError, match=r"No such device|no interface"):
        counter.watch(["lo", "eth9"], ())
    assert not counter.is_counting
    assert open_files() == before
    counter.watch(["lo"], ())
    send_datagrams(3)
    with pytest.raises(OSError, match=r"No such device|no interface"):
        counter.watch(["lo", "eth9"], ())
    assert not counter.is_counting
    assert open_files() == before
    assert counter.read() == 3, "what was counted stays"


def test_an_interface_that_is_gone_cannot_be_bound(launcher: LauncherClient) -> None:
    with launcher.counter() as packets, pytest.raises(OSError, match="cannot count packets"):
        module._bind(packets, 9999)


def test_an_interface_that_goes_away_is_no_error(counter: KernelCounter) -> None:
    wire()
    counter.watch(["near"], ())
    with wired("far") as b:
        b.send(syn(SCANNER, 1)[0].frame)
        until_equal(counter.read, 1)
    ip("link", "delete", "near")
    assert counter.read() == 1
    counter.set_filter({53})
    counter.close()


def test_a_filter_that_is_too_long_ends_the_count(counter: KernelCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old filter would count what is not captured any more."""
    before = open_files()
    counter.watch(["lo"], ())
    send_datagrams(3)
    # As with 540 served ports and more, which take seconds to compile.
    monkeypatch.setattr(module, "_MAX_INSTRUCTIONS", 10)
    with pytest.raises(OSError, match="too long"):
        counter.set_filter(())
    assert not counter.is_counting
    assert counter.read() == 3
    with pytest.raises(OSError, match="too long"):
        counter.watch(["lo"], ())
    assert open_files() == before


@pytest.mark.parametrize("instructions", [4097, 65_536, 70_000])
def test_a_filter_of_any_length_is_the_same_error(launcher: LauncherClient, instructions: int) -> None:
    with launcher.counter() as packets, pytest.raises(OSError, match="too long"):
        module._attach(packets, bytes(8 * instructions))


@pytest.mark.parametrize("error", [PermissionError(1, "may not"), RightsLost("the launcher has ended")])
def test_a_user_who_may_not_count_leaves_nothing_open(launcher: LauncherClient, error: Exception) -> None:
    class Reluctant:
        """Opens one socket and no more."""

        def __init__(self) -> None:
            self._left = 1

        def counter(self) -> socket.socket:
            if not self._left:
                raise error
            self._left -= 1
            return launcher.counter()

    before = open_files()
    counter = KernelCounter(cast("LauncherClient", Reluctant()))
    with pytest.raises(type(error)):
        counter.watch(["lo", "any"], ())
    assert not counter.is_counting
    assert open_files() == before


def test_repeated_watches_leave_nothing_open(counter: KernelCounter) -> None:
    counter.watch(["lo", "any"], ())
    before = open_files().keys()
    for _ in range(10):
        counter.watch(["any", "lo"], ())
        counter.set_filter({53})
    assert open_files().keys() == before


def wire() -> None:
    """Two interfaces, `near` and `far`, with a wire between them and nothing that speaks by itself."""
    ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    for name in ("near", "far"):
        ip("link", "set", name, "arp", "off", "addrgenmode", "none", "up")


def wired(name: str) -> socket.socket:
    """A socket that sends and receives frames there."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.bind((name, 3))
    made.settimeout(10)
    return made


def until_equal(read: Callable[[], int], expected: int) -> None:
    wait_for(lambda: read() >= expected)
    assert read() == expected


class Wire:
    """Frames that are sent at one end, and the count at the other."""

    def __init__(self, counter: KernelCounter) -> None:
        wire()
        self._a, self._b = wired("near"), wired("far")
        counter.watch(["far"], SERVED)
        self._counter = counter

    def count_of(self, frame: bytes) -> int:
        """How often it was counted. A frame that is never counted follows, and is waited for."""
        before = self._counter.read()
        mark = bytes(12) + ARP + os.urandom(50)
        self._a.send(frame)
        self._a.send(mark)
        while self._b.recv(2000) != mark:
            pass
        return self._counter.read() - before

    def close(self) -> None:
        """Both ends."""
        self._a.close()
        self._b.close()


@pytest.fixture
def line(counter: KernelCounter) -> Iterator[Wire]:
    """A wire whose other end is counted."""
    made = Wire(counter)
    # Each processor has a queue of its own: what is sent from one arrives in order.
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    yield made
    os.sched_setaffinity(0, processors)
    made.close()


def test_the_kernel_counts_what_dumpcaps_filter_passes(line: Wire) -> None:
    for sent in every_kind(SCANNER, HOST, SCANNER6, HOST6):
        assert line.count_of(sent.frame) == captured(sent.frame), sent


def test_a_frame_that_can_be_read_in_two_ways_is_never_counted_in_vain(line: Wire) -> None:
    """A frame that dumpcap's filter does not pass is never counted, whatever it pretends to be."""
    probe, probe6 = inside(syn(SCANNER, 22)[0]), inside(syn(SCANNER6, 22)[0])
    ambiguous = [
        *(IPV4 + probe6, IPV6 + probe, ARP + probe, ARP + probe6),
        *(TAG + TAG + IPV4 + probe, SERVICE_TAG + TAG + IPV6 + probe6, TAG + TAG + TAG + IPV4 + probe),
        *(SERVICE_TAG + IPV4 + probe, TAG + ARP + probe, TAG + IPV4 + probe6, TAG + IPV6 + probe),
        *(b"\x88\x47\0\0\1\0" + probe, b"\x88\x64\x11\0\0\1\0\x30\0\x21" + probe, b"\0\x40" + probe),
        *(IPV4, IPV6, IPV4 + b"\x45", IPV6 + b"\x60", IPV4 + probe[:33], IPV6 + probe6[:53], IPV4 + bytes(60)),
    ]
    found = [(line.count_of(bytes(12) + frame), captured(bytes(12) + frame)) for frame in ambiguous]
    assert [pair for pair in found if pair[0] > pair[1]] == []
    assert (0, True) in found, "a doubly tagged one is captured, and not counted"
    assert (1, True) in found


def test_random_frames_are_never_counted_in_vain(line: Wire) -> None:
    noise = random.Random(7)  # noqa: S311 - the same each time
    passed = 0
    for _ in range(1500):
        ethertype = noise.choice([IPV4, IPV6, TAG + IPV4, TAG + IPV6, TAG + TAG + IPV4, ARP])
        version = noise.choice([0x45, 0x4F, 0x60, 0x00, 0xFF])
        packet = bytes([version]) + noise.randbytes(noise.randrange(100))
        frame = bytes(12) + ethertype + packet
        count = line.count_of(frame)
        assert count <= captured(frame), frame.hex()
        passed += count
    assert passed > 100


def test_a_packet_of_full_length_is_counted(line: Wire) -> None:
    sent = udp(SCANNER, 161, data=bytes(1400))[0]
    assert line.count_of(sent.frame) == 1


def test_constants_are_the_kernels() -> None:
    """Of those that Python knows too."""
    assert socket.SOL_SOCKET == 1, "on other machines _SO_ATTACH_FILTER may differ"
    assert socket.PACKET_OUTGOING == module._PACKET_OUTGOING
    assert struct.calcsize("HBBI") == 8
