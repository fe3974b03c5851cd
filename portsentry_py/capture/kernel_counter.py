"""Counts, besides the capture, the packets that pass its filter; the kernel copies none of them.

A packet socket without a buffer counts what passes its filter (packet(7), PACKET_STATISTICS).
"""

import contextlib
import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterable, Sequence

from portsentry_py.capture.bpf import kernel_filter
from portsentry_py.errors import RightsLost
from portsentry_py.privsep.client import LauncherClient

_LIBPCAP = ("libpcap.so.0.8", "libpcap.so.1")
_DLT_RAW = 12  # packets begin with the IP header
_SNAP_BYTES = 65_535
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_MAX_INSTRUCTIONS = 4096  # linux/bpf_common.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 3, 0x0800, 0x86DD
_PACKET_OUTGOING, _LOOPBACK_INDEX = 4, 1
# linux/filter.h: what the kernel knows about a packet besides its bytes.
_KNOWN = 0xFFFFF000
_PROTOCOL, _PACKET_TYPE, _INTERFACE = _KNOWN, _KNOWN + 4, _KNOWN + 8
_LOAD, _LOAD_BYTE, _AND, _IF_EQUAL, _GIVE = 0x20, 0x30, 0x54, 0x15, 0x06
_VERSION = 0xF0
# (code, jump if true, jump if false, operand). On loopback each packet passes twice and counts once, as in
# libpcap. A frame that can be read in two ways does not count, because a count that is too high is an alarm.
_PREFIX = (
    (_LOAD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 0, 3, _PACKET_OUTGOING),
    (_LOAD, 0, 0, _INTERFACE),
    (_IF_EQUAL, 0, 1, _LOOPBACK_INDEX),
    (_GIVE, 0, 0, 0),
    (_LOAD, 0, 0, _PROTOCOL),
    (_IF_EQUAL, 0, 4, _ETH_P_IP),
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, _VERSION),
    (_IF_EQUAL, 6, 0, 0x40),
    (_GIVE, 0, 0, 0),
    (_IF_EQUAL, 0, 3, _ETH_P_IPV6),
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, _VERSION),
    (_IF_EQUAL, 1, 0, 0x60),
    (_GIVE, 0, 0, 0),
)


class KernelCounter:
    """One count over all interfaces of a sensor, across their changes.

    Args:
        launcher: opens the packet sockets.
    """

    def __init__(self, launcher: LauncherClient) -> None:
        self._launcher = launcher
        self._total = 0
        self._sockets: list[socket.socket] = []
        self._counted: tuple[list[int], bytes] | None = None

    def watch(self, names: Sequence[str], served_udp: Iterable[int]) -> None:
        """Count on these interfaces from now on.

        Args:
            names: interfaces, `any` for all.
            served_udp: as in the capture's filter.

        Raises:
            OSError: we may not count, or there is no such interface; the count stops.
            RightsLost: the launcher has ended; the count stops.
        """
        fresh: list[socket.socket] = []
        try:
            program = compiled(kernel_filter(served_udp, vlan=False))
            interfaces = [0 if name == "any" else socket.if_nametoindex(name) for name in names]
            if (interfaces, program) == self._counted and self._is_bound_to(names):
                return  # new sockets would miss what passes meanwhile
            for interface in interfaces:
                counter = self._launcher.counter()
                fresh.append(counter)
                counter.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
                _attach(counter, program)
                _bind(counter, interface)
        except (OSError, RightsLost):
            self.close()
            _close(fresh)
            raise
        # The old sockets are closed last: that takes milliseconds, in which packets pass.
        self.read()
        _read_and_reset(fresh)
        old, self._sockets, self._counted = self._sockets, fresh, (interfaces, program)
        _close(old)

    def _is_bound_to(self, names: Iterable[str]) -> bool:
        """Whether the sockets are bound to these; once an interface went away and came back, they are not."""
        bound = [counter.getsockname()[0] for counter in self._sockets]
        return bound == ["" if name == "any" else name for name in names]

    @property
    def is_counting(self) -> bool:
        """Whether packets are counted now."""
        return bool(self._sockets)

    def set_filter(self, served_udp: Iterable[int]) -> None:
        """Count with another filter from now on.

        Raises:
            OSError: the kernel does not take it; the count stops.
        """
        try:
            program = compiled(kernel_filter(served_udp, vlan=False))
            for counter in self._sockets:
                _attach(counter, program)
            self._counted = self._counted and (self._counted[0], program)
        except OSError:
            self.close()  # the old filter would count what the capture does not get
            raise

    def read(self) -> int:
        """Packets that have passed until now."""
        self._total += _read_and_reset(self._sockets)
        return self._total

    def close(self) -> None:
        """Stop counting; the total stays."""
        self.read()
        _close(self._sockets)
        self._sockets, self._counted = [], None


def _read_and_reset(counters: Iterable[socket.socket]) -> int:
    """Packets since the last call: the kernel resets its count at each."""
    statistics = (one.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8) for one in counters)
    return sum(int.from_bytes(each[:4], sys.byteorder) for each in statistics)


def _close(counters: Iterable[socket.socket]) -> None:
    for one in counters:
        one.close()


class _Program(ctypes.Structure):
    """libpcap's struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def compiled(expression: str) -> bytes:
    """The kernel's instructions for a filter expression, over packets from their IP header on.

    Raises:
        OSError: libpcap is missing, or does not understand the expression.
    """
    library = _libpcap()
    handle = library.pcap_open_dead(_DLT_RAW, _SNAP_BYTES)
    program, filter_text = _Program(), expression.encode("ascii")
    try:
        if library.pcap_compile(handle, ctypes.byref(program), filter_text, 1, 0xFFFFFFFF) != 0:
            raise OSError(library.pcap_geterr(handle).decode("utf-8", "replace"))
        instructions = ctypes.string_at(program.instructions, program.length * 8)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    return b"".join(struct.pack("HBBI", *one) for one in _PREFIX) + instructions


def _libpcap() -> ctypes.CDLL:
    """The library that dumpcap itself needs."""
    for name in _LIBPCAP:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            pointer = ctypes.c_void_p
            library.pcap_open_dead.restype, library.pcap_geterr.restype = pointer, ctypes.c_char_p
            library.pcap_geterr.argtypes = library.pcap_close.argtypes = (pointer,)
            library.pcap_compile.argtypes = (pointer, pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint)
            return library
    raise OSError("libpcap is not installed")


def _bind(counter: socket.socket, interface: int) -> None:
    """Bind to an interface by its number; 0, for all, is one that Python's own `bind` cannot express."""
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), interface, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).bind(counter.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "cannot count packets")


def _attach(counter: socket.socket, program: bytes) -> None:
    if len(program) > 8 * _MAX_INSTRUCTIONS:
        raise OSError(errno.EINVAL, "the filter is too long")
    memory = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
    counter.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, description)
