"""The counter besides the capture: its counts against what was sent."""

import contextlib
import ctypes
import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from portsentry_py.capture import kernel_counter, socket_filter
from portsentry_py.capture.bpf import PLAIN, FilterHost, kernel_filter
from portsentry_py.capture.kernel_counter import KernelCounter, forged
from portsentry_py.capture.socket_filter import attach
from portsentry_py.core.packet import ACK, FIN, RST, SYN
from portsentry_py.errors import RightsLost
from portsentry_py.host.interfaces import describe
from portsentry_py.privsep.client import LauncherClient
from tests.support.build import HOST, HOST6, SCANNER, SCANNER6, Sent, syn, tcp, udp
from tests.support.libpcap import compiled_for, passes
from tests.support.needs import require_root, require_tool, unsupported
from tests.support.processes import open_files
from tests.support.traffic import every_kind
from tests.support.waiting import wait_for

US = FilterHost(frozenset({HOST, HOST6}), frozenset({53}), served_tcp=frozenset({80}))
ETHERNET, SNAP_BYTES = 1, 65_535
IPV4, IPV6, ARP, TAG, SERVICE_TAG = b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x81\x00\0\7", b"\x88\xa8\0\7"


def captured(frame: bytes) -> bool:
    """Whether dumpcap's filter takes it, whatever its direction."""
    return passes(compiled_for(ETHERNET, SNAP_BYTES, kernel_filter(US, vlan=True)), frame)


def inside(sent: Sent) -> bytes:
    """The packet without its Ethernet header."""
    return sent.frame[14:]


def serving(port: int) -> FilterHost:
    """The loopback interface's host."""
    return FilterHost(frozenset({"127.0.0.1"}), frozenset({port}), served_tcp=frozenset({port}))


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
    counter.watch([name])
    assert counter.is_counting
    assert counter.read() == 0
    send_datagrams(500)
    assert counter.read() == 500
    visit(10)
    until_equal(counter.read, 540)  # nobody receives the last FIN
    send_datagrams(7, address="::1")
    assert counter.read() == 547
    with socket.socket() as nobody_listens:
        for _ in range(5):
            assert nobody_listens.connect_ex(("127.0.0.1", 4009)) != 0
    assert counter.read() == 557, "a SYN and a RST each"
    assert counter.read() == 557


def test_the_kernel_copies_no_packet(counter: KernelCounter) -> None:
    counter.watch(["lo"])
    ((_, packets),) = counter._sockets
    send_datagrams(3000)
    packets.setblocking(False)
    queued = 0
    with contextlib.suppress(BlockingIOError):
        while packets.recv(1):
            queued += 1
    assert queued < 20
    assert counter.read() == 3000


def test_served_ports_stay_uncounted(counter: KernelCounter) -> None:
    counter.watch(["lo"], serving(4000))
    send_datagrams(5, 4000)
    send_datagrams(3, 4002)
    assert counter.read() == 3


def test_on_loopback_each_end_of_a_session_is_counted(counter: KernelCounter) -> None:
    counter.watch(["lo"], serving(4001))
    visit(5)
    until_equal(counter.read, 20)


def test_a_change_of_the_filter_loses_no_count(counter: KernelCounter) -> None:
    counter.watch(["lo"])
    send_datagrams(5)
    counter.set_filter(serving(4000))
    send_datagrams(50)
    send_datagrams(2, 4002)
    counter.set_filter(serving(4002))
    send_datagrams(3)
    send_datagrams(70, 4002)
    assert counter.read() == 10


def test_another_watch_continues_the_count(counter: KernelCounter) -> None:
    counter.watch(["lo"])
    send_datagrams(5)
    counter.watch(["any"])
    send_datagrams(2)
    assert counter.read() == 7
    counter.watch(["lo"])
    send_datagrams(1)
    assert counter.read() == 8


def test_a_closed_counter_counts_nothing_and_keeps_its_total(counter: KernelCounter) -> None:
    assert not counter.is_counting
    assert counter.read() == 0
    counter.watch(["lo"])
    send_datagrams(5)
    counter.close()
    send_datagrams(5)
    assert not counter.is_counting
    assert counter.read() == 5
    counter.close()
    counter.set_filter(serving(1))
    counter.watch(["lo"])
    send_datagrams(2)
    assert counter.read() == 7


def test_two_interfaces_are_counted_together(counter: KernelCounter) -> None:
    wire()
    with wired("near") as a, wired("far") as b:
        counter.watch(["near", "far", "lo"])
        a.send(syn(SCANNER, 1)[0].frame)
        assert b.recv(100)
        send_datagrams(4)
        assert counter.read() == 6, "it left through one and came through the other"


def test_an_interface_that_does_not_exist_is_an_error_and_leaves_nothing_open(counter: KernelCounter) -> None:
    before = open_files()
    with pytest.raises(OSError, match=r"No such device|no interface"):
        counter.watch(["lo", "eth9"])
    assert not counter.is_counting
    assert open_files() == before
    counter.watch(["lo"])
    send_datagrams(3)
    with pytest.raises(OSError, match=r"No such device|no interface"):
        counter.watch(["lo", "eth9"])
    assert not counter.is_counting
    assert open_files() == before
    assert counter.read() == 3, "what was counted stays"


def test_an_interface_that_is_gone_cannot_be_bound(launcher: LauncherClient) -> None:
    with launcher.counter() as packets, pytest.raises(OSError, match="cannot count packets"):
        kernel_counter._bind(packets, 9999)


def test_an_interface_that_goes_away_is_no_error(counter: KernelCounter) -> None:
    wire()
    counter.watch(["near"])
    with wired("far") as b:
        b.send(syn(SCANNER, 1)[0].frame)
        until_equal(counter.read, 1)
    ip("link", "delete", "near")
    assert counter.read() == 1
    counter.set_filter(serving(53))
    counter.close()


def test_a_filter_that_is_too_long_ends_the_count(counter: KernelCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old filter would count what is not captured any more."""
    before = open_files()
    counter.watch(["lo"])
    send_datagrams(3)
    # As with 540 served ports and more, which take seconds to compile.
    monkeypatch.setattr(socket_filter, "_MAX_INSTRUCTIONS", 10)
    with pytest.raises(OSError, match="too long"):
        counter.set_filter(PLAIN)
    assert not counter.is_counting
    assert counter.read() == 3
    with pytest.raises(OSError, match="too long"):
        counter.watch(["lo"])
    assert open_files() == before


@pytest.mark.parametrize("instructions", [4097, 65_536, 70_000])
def test_a_filter_of_any_length_is_the_same_error(launcher: LauncherClient, instructions: int) -> None:
    with launcher.counter() as packets, pytest.raises(OSError, match="too long"):
        attach(packets, bytes(8 * instructions))


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
        counter.watch(["lo", "any"])
    assert not counter.is_counting
    assert open_files() == before


def test_repeated_watches_leave_nothing_open(counter: KernelCounter) -> None:
    counter.watch(["lo", "any"])
    before = open_files().keys()
    for _ in range(10):
        counter.watch(["any", "lo"])
        counter.set_filter(serving(53))
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
        counter.watch(["far"], US)
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
        came_from_us = sent.src in US.own
        assert line.count_of(sent.frame) == (captured(sent.frame) and not came_from_us), sent


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
    noise = random.Random(7)
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


def test_what_comes_in_with_our_own_source_is_forged(launcher: LauncherClient) -> None:
    passing, counter = KernelCounter(launcher), KernelCounter(launcher, forged)
    wire()
    ours, theirs = udp(HOST, 161, dst=SCANNER)[0].frame, udp(SCANNER, 161)[0].frame
    far = next(one.link_address for one in describe(["far"]))
    ours6 = udp(HOST6, 161, dst=SCANNER6)[0].frame
    with wired("near") as a, wired("far") as b:
        passing.watch(["near", "far", "lo"], US)
        counter.watch(["near", "far", "lo"], US)
        for frame in (ours, theirs, ours6):
            a.send(frame)
            assert b.recv(100)
        send_datagrams(4)
        assert counter.by_interface() == {"far": 2}, "it left through the other, and loopback has no stranger"
        assert passing.by_interface() == {"near": 3, "far": 1, "lo": 4}
        # A frame that also carries the link address of ours is captured, so it is counted, unless it goes to a group.
        for group in (0, 1):
            a.send(bytes([group, *ours[1:6]]) + bytes.fromhex(far.replace(":", "")) + ours[12:])
            assert b.recv(100)
        assert passing.by_interface()["far"] == 2
        assert counter.by_interface() == {"far": 4}
    counter.watch(["near", "far"], PLAIN)
    assert not counter.is_counting, "without addresses nothing is known to be forged"
    assert counter.read() == 4
    passing.close()


def test_our_own_end_of_a_session_with_a_served_port_is_not_counted(counter: KernelCounter) -> None:
    wire()
    with wired("near") as a, wired("far") as b:
        counter.watch(["near"], US)
        counts = []
        for ours, peer in ((HOST, SCANNER), (HOST6, SCANNER6)):
            for port, flags in ((80, FIN | ACK), (80, RST | ACK), (80, SYN | ACK), (443, FIN | ACK)):
                a.send(tcp(ours, peer, port, 40_000, flags).frame)
                assert b.recv(100)
                counts.append(counter.read())
    assert counts == [0, 1, 2, 3, 3, 4, 5, 6]


def test_with_any_what_our_own_addresses_say_over_loopback_is_not_counted(counter: KernelCounter) -> None:
    """It cannot be told from what comes in from a stranger, and the capture does not get it either."""
    counter.watch(["any"], serving(53))
    send_datagrams(5)
    send_datagrams(7, address="::1")
    assert counter.read() == 7, "the address that is not known as ours"
