"""libpcap itself, which compiles and runs a capture filter without any interface."""

import ctypes
import ctypes.util
from functools import cache

from tests.support.needs import missing


class Instructions(ctypes.Structure):
    """libpcap's struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("first", ctypes.c_void_p))


class CapturedHeader(ctypes.Structure):
    """libpcap's struct pcap_pkthdr."""

    _fields_ = (
        *(("seconds", ctypes.c_long), ("micros", ctypes.c_long)),
        *(("captured", ctypes.c_uint32), ("length", ctypes.c_uint32)),
    )


@cache
def libpcap() -> ctypes.CDLL:
    """The library that dumpcap uses too."""
    name = ctypes.util.find_library("pcap")
    if name is None:
        missing("libpcap", "libpcap0.8")
    library = ctypes.CDLL(name)
    library.pcap_open_dead.restype = ctypes.c_void_p
    return library


@cache
def compiled_for(link_type: int, snap_bytes: int, expression: str) -> Instructions:
    """What dumpcap gives the kernel for a link of this type."""
    handle = ctypes.c_void_p(libpcap().pcap_open_dead(link_type, snap_bytes))
    made = Instructions()
    words = (expression.encode(), 1, ctypes.c_uint32(0xFFFFFFFF))
    assert libpcap().pcap_compile(handle, ctypes.byref(made), *words) == 0
    return made


def passes(program: Instructions, packet: bytes) -> bool:
    """Whether the program takes a packet of this link type."""
    header = CapturedHeader(0, 0, len(packet), len(packet))
    return bool(libpcap().pcap_offline_filter(ctypes.byref(program), ctypes.byref(header), packet))
