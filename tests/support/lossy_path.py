"""A wire that delays each frame and loses one in ten, between two taps. Standard library only.

lossy_path.py LEFT RIGHT    makes the taps with these names; it ends with them

Its kernel need not have netem. A tap may be moved to another network namespace. After a loss that concerns a scanned
port, the packets about this port pass for some seconds: a scanner that probes twice gets its answer, so no test depends
on luck, however many scanners there are.
"""

import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import sys
import time

DELAY_SECONDS, LOSS = 0.05, 0.1
_SEED = 16
# A scanner probes a silent port again within this time.
_SPARED_SECONDS = 15.0
_MOST_BYTES = 65_536
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x2, 0x1000  # linux/if_tun.h
_ETHERNET_BYTES, _IPV6_BYTES, _ICMP_BYTES = 14, 40, 8
_WITH_PORTS = {6, 17, 132}
_UNREACHABLE = {(1, 3), (58, 1)}


def scanned_port(packet: bytes) -> int | None:
    """The lower port of a packet from its IP header on, or of the one that an ICMP error quotes.

    Scanners send from high ports.
    """
    if packet[:1] and packet[0] >> 4 == 4:
        protocol, payload = packet[9], packet[(packet[0] & 15) * 4 :]
    elif packet[:1] and packet[0] >> 4 == 6:
        protocol, payload = packet[6], packet[_IPV6_BYTES:]
    else:
        return None
    if protocol in _WITH_PORTS:
        source, destination = struct.unpack_from("!HH", payload)
        return min(int(source), int(destination))
    return scanned_port(payload[_ICMP_BYTES:]) if (protocol, payload[0]) in _UNREACHABLE else None


class Losses:
    """Which packets are lost: a tenth by a seeded generator, and never two of a port within some seconds."""

    def __init__(self) -> None:
        self._random = random.Random(_SEED)
        self._spared_until: dict[int, float] = {}

    def loses(self, port: int | None, now: float) -> bool:
        """Whether the next packet about this port is lost, at a time in seconds."""
        if port is None or now < self._spared_until.get(port, 0.0):
            return False
        lost = self._random.random() < LOSS
        if lost:
            self._spared_until[port] = now + _SPARED_SECONDS
        return lost


def _tap(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return end


def main(left_name: str, right_name: str) -> None:
    """Forward until the end."""
    left, right = _tap(left_name), _tap(right_name)
    others = {left: right, right: left}
    selector, losses, order = selectors.DefaultSelector(), Losses(), itertools.count()
    for end in others:
        selector.register(end, selectors.EVENT_READ)
    waiting: list[tuple[float, int, int, bytes]] = []
    print("ready", flush=True)
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for key, _ in selector.select(patience):
            frame = os.read(key.fd, _MOST_BYTES)
            now = time.monotonic()
            if not losses.loses(scanned_port(frame[_ETHERNET_BYTES:]), now):
                heapq.heappush(waiting, (now + DELAY_SECONDS, next(order), others[key.fd], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(waiting)
            try:
                os.write(end, frame)
            except OSError:  # the interface is not up yet
                continue


if __name__ == "__main__":
    main(*sys.argv[1:])
