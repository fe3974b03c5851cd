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
