"""Counts packets besides the capture, in the kernel, which copies none of them.

A packet socket without a buffer counts what passes its filter (packet(7), PACKET_STATISTICS).
"""

import ctypes
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from portsentry_py.capture.bpf import PLAIN, FilterHost
from portsentry_py.capture.socket_filter import attach, forged_filter, passing_filter
from portsentry_py.errors import RightsLost
from portsentry_py.host.interfaces import OTHERS, Interface, describe, link_addresses
from portsentry_py.privsep.client import LauncherClient

_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/if_packet.h
_ETH_P_ALL = 3
ANY = "any"


def passing(interface: Interface, links: frozenset[str], host: FilterHost) -> bytes:
    """Count what passes the capture's filter."""
    return passing_filter(
        host,
        loopback=interface.loopback,
        interface=interface.name,
        links=links if interface.ethernet else (),
        others=interface.others,
    )


def forged(interface: Interface, _links: frozenset[str], host: FilterHost) -> bytes:
    """Count what comes in with a source of ours, which the capture's filter drops."""
    return b"" if interface.loopback else forged_filter(host, interface.name, others=interface.others)


class KernelCounter:
    """One count over all interfaces of a sensor, across their changes.

    Args:
        launcher: opens the packet sockets.
        program: the filter for an interface, from it, the link addresses of all and the host; empty: none is needed.
    """

    def __init__(
        self, launcher: LauncherClient, program: Callable[[Interface, frozenset[str], FilterHost], bytes] = passing
    ) -> None:
        self._launcher = launcher
        self._program = program
        self._counts = Counter[str]()
        self._sockets: list[tuple[str, socket.socket]] = []
        self._counted: list[tuple[str, int, bytes]] = []
        self._watched: Sequence[str] = ()

    def watch(self, names: Sequence[str], host: FilterHost = PLAIN) -> None:
        """Count on these interfaces from now on.

        Args:
            names: interfaces, `any` for all, `OTHERS` for all others.
            host: as in the capture's filter.

        Raises:
            OSError: we may not count, or there is no such interface; the count stops.
            RightsLost: the launcher has ended; the count stops.
        """
        fresh: list[tuple[str, socket.socket]] = []
        try:
            programs = self._programs(names, host)
            self._watched = names
            names = [ANY if name == OTHERS else name for name in names]
            numbers = [0 if name == ANY else socket.if_nametoindex(name) for name in names]
            counted = [one for one in zip(names, numbers, programs, strict=True) if one[2]]
            if counted == self._counted and self._is_bound():
                return  # new sockets would miss what passes meanwhile
            for name, interface, program in counted:
                counter = self._launcher.counter()
                fresh.append((name, counter))
                counter.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
                attach(counter, program)
                _bind(counter, interface)
        except (OSError, RightsLost):
            self.close()
            _close(fresh)
            raise
        # The old sockets are closed last: that takes milliseconds, in which packets pass.
        self.read()
        for _, counter in fresh:
            _read_and_reset(counter)
        old, self._sockets, self._counted = self._sockets, fresh, counted
        _close(old)

    def _programs(self, names: Sequence[str], host: FilterHost) -> list[bytes]:
        interfaces = describe(names)
        links = link_addresses(interfaces)
        return [self._program(interface, links, host) for interface in interfaces]

    def _is_bound(self) -> bool:
        """Whether the sockets are still bound; once an interface went away and came back, they are not."""
        return all(counter.getsockname()[0] == ("" if name == ANY else name) for name, counter in self._sockets)

    @property
    def is_counting(self) -> bool:
        """Whether packets are counted now."""
        return bool(self._sockets)

    def set_filter(self, host: FilterHost) -> None:
        """Count with another filter from now on, without a gap.

        Raises:
            OSError: the kernel does not take it; the count stops.
        """
        try:
            programs = [one for one in self._programs(self._watched, host) if one]
            for (_, counter), program in zip(self._sockets, programs, strict=True):
                attach(counter, program)
            self._counted = [(*one[:2], program) for one, program in zip(self._counted, programs, strict=True)]
        except OSError:
            self.close()  # the old filter would count what the capture does not get
            raise

    def read(self) -> int:
        """Packets that have passed until now."""
        for name, counter in self._sockets:
            self._counts[name] += _read_and_reset(counter)
        return self._counts.total()

    def by_interface(self) -> Counter[str]:
        """The same by the name of the interface."""
        self.read()
        return +self._counts

    def close(self) -> None:
        """Stop counting; the total stays."""
        self.read()
        _close(self._sockets)
        self._sockets, self._counted, self._watched = [], [], ()


def _read_and_reset(counter: socket.socket) -> int:
    """Packets since the last call: the kernel resets its count at each."""
    statistics = counter.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
    return int.from_bytes(statistics[:4], sys.byteorder)


def _close(counters: Iterable[tuple[str, socket.socket]]) -> None:
    for _, one in counters:
        one.close()


def _bind(counter: socket.socket, interface: int) -> None:
    """Bind to an interface by its number; 0, for all, is one that Python's own `bind` cannot express."""
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_ETH_P_ALL), interface, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).bind(counter.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "cannot count packets")
