"""Filters of packet sockets that count: compiled by libpcap, with what only the kernel knows of a packet before."""

import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

from portsentry_py.capture.bpf import MAX_LINKS, FilterHost, from_own, kernel_filter

_LIBPCAP = ("libpcap.so.0.8", "libpcap.so.1")
_DLT_RAW = 12  # packets begin with the IP header
_SNAP_BYTES = 65_535
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_MAX_INSTRUCTIONS = 4096  # linux/bpf_common.h
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_PACKET_OUTGOING, _LOOPBACK_INDEX = 4, 1
# linux/filter.h: what the kernel knows about a packet besides its bytes.
_KNOWN = 0xFFFFF000
_PROTOCOL, _PACKET_TYPE, _INTERFACE = _KNOWN, _KNOWN + 4, _KNOWN + 8
_LINK = 0xFFE00000  # the bytes from the link header on
_LOAD, _LOAD_HALF, _LOAD_BYTE, _AND = 0x20, 0x28, 0x30, 0x54
_IF_EQUAL, _IF_BITS, _GO, _GIVE = 0x15, 0x45, 0x05, 0x06
_VERSION = 0xF0
_Instruction = tuple[int, int, int, int]
_INSTRUCTION = struct.Struct("HBBI")  # code, jump if true, jump if false, operand
# On loopback each packet passes twice and counts once, as in libpcap.
_ONCE = (
    (_LOAD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 0, 3, _PACKET_OUTGOING),
    (_LOAD, 0, 0, _INTERFACE),
    (_IF_EQUAL, 0, 1, _LOOPBACK_INDEX),
    (_GIVE, 0, 0, 0),
)
_CAME_IN = (
    (_LOAD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 2, 0, _PACKET_OUTGOING),
    (_LOAD, 0, 0, _INTERFACE),
    (_IF_EQUAL, 0, 1, _LOOPBACK_INDEX),
    (_GIVE, 0, 0, 0),
)
# A frame that can be read in two ways does not count, because a count that is too high is an alarm.
_IP_ONLY = (
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


def passing_filter(
    host: FilterHost, *, loopback: bool, interface: str = "", links: Iterable[str] = (), others: bool = False
) -> bytes:
    """The kernel's instructions for what passes the capture's filter.

    Args:
        host: as in the capture's filter.
        loopback: whether the socket is bound to the loopback interface, where every packet comes in.
        interface: its name.
        links: as in the capture's filter.
        others: as in the capture's filter.

    Raises:
        OSError: libpcap is missing, or does not understand the expression.
    """
    own = "" if loopback else from_own(host, interface)
    passing = compiled(kernel_filter(host, vlan=False, direction=False, loopback=loopback))
    return (
        _packed((*_elsewhere(host, others=others), *_ONCE, *_IP_ONLY))
        + (_unless_forged(compiled(own), links) if own else b"")
        + passing
    )


def forged_filter(host: FilterHost, interface: str = "", *, others: bool = False) -> bytes:
    """The kernel's instructions for what comes in with a source of ours; empty for none.

    Raises:
        OSError: libpcap is missing, or does not understand the expression.
    """
    own = from_own(host, interface)
    return _packed((*_elsewhere(host, others=others), *_CAME_IN, *_IP_ONLY)) + compiled(own) if own else b""


def _elsewhere(host: FilterHost, *, others: bool) -> list[_Instruction]:
    """Reject what another capture receives too."""
    if not others or not host.left_out:
        return []
    checks = [(_IF_EQUAL, 0, 1, index) for index in host.left_out]
    return [(_LOAD, 0, 0, _INTERFACE), *chain.from_iterable((one, (_GIVE, 0, 0, 0)) for one in checks)]


def _unless_forged(from_own: bytes, links: Iterable[str]) -> bytes:
    """Go on behind these instructions, except for a packet that comes in with one of our own source addresses."""
    checks = list(_INSTRUCTION.iter_unpack(from_own))
    spared = _from_link(links)
    end = len(checks) + len(spared)
    for at, (code, _, _, is_ours) in enumerate(checks):
        if code == _GIVE:
            checks[at] = (_GO, 0, 0, (len(checks) if is_ours else end) - at - 1)
    begin = ((_LOAD, 0, 0, _PACKET_TYPE), (_IF_EQUAL, 0, 1, _PACKET_OUTGOING), (_GO, 0, 0, end))
    return _packed((*begin, *checks, *spared))


def _from_link(links: Iterable[str]) -> list[tuple[int, int, int, int]]:
    """Go on behind these instructions for a frame to no group that carries one of our link addresses; else end."""
    found: list[tuple[int, int, int, int]] = [(_GIVE, 0, 0, 0)]
    for link in sorted(links)[:MAX_LINKS]:
        high, low = struct.unpack("!IH", bytes.fromhex(link.replace(":", "")))
        is_ours = ((_LOAD, 0, 0, _LINK + 6), (_IF_EQUAL, 0, 2, high), (_LOAD_HALF, 0, 0, _LINK + 10))
        found = [*is_ours, (_IF_EQUAL, len(found), 0, low), *found]
    to_group = ((_LOAD_BYTE, 0, 0, _LINK), (_IF_BITS, len(found) - 1, 0, 1))
    return [*to_group, *found]


def _packed(instructions: Iterable[_Instruction]) -> bytes:
    return b"".join(_INSTRUCTION.pack(*one) for one in instructions)


class _Program(ctypes.Structure):
    """libpcap's struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


@lru_cache(maxsize=16)  # many interfaces have the same one
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
        instructions = ctypes.string_at(program.instructions, program.length * _INSTRUCTION.size)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    return instructions


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


def attach(packets: socket.socket, program: bytes) -> None:
    """Give the socket this filter.

    Raises:
        OSError: the kernel does not take it.
    """
    length = len(program) // _INSTRUCTION.size
    if length > _MAX_INSTRUCTIONS:
        raise OSError(errno.EINVAL, "the filter is too long")
    memory = ctypes.create_string_buffer(program, len(program))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", length, ctypes.addressof(memory)))
