"""A steady sender: each SYN has its own source. Runs on the scanner's host.

    python -m tests.lab.faults.sender IFACE ETHERNET_ADDRESS TARGET FIRST PER_SECOND [COUNT]

Prints a line when it can be ended. Sends until it is ended, or so many; then it prints how many it sent.
"""

import signal
import socket
import sys
import time
from ipaddress import IPv4Address
from itertools import count

from tests.support.frames import SYN, Ends, Link, segment

NETWORK = "10."
_NETWORK = 10 << 24
PORTS = range(8_000, 9_000)
_SOURCE_PORTS = range(1_024, 61_024)


def ends(number: int, target: int) -> Ends:
    """Source and target of SYN `number`, below 16 million: no two have the same.

    Whole networks lie between one source and the next: nobody looks like a scanner, alone or together.
    """
    source = _NETWORK | (number & 0xFF) << 16 | (number >> 8 & 0xFF) << 8 | (number >> 16) + 1
    source_port = _SOURCE_PORTS[number % len(_SOURCE_PORTS)]
    return source, source_port, target, PORTS[number * 31 % len(PORTS)]


def main(words: list[str]) -> None:
    """Send; what is late is sent at once."""
    iface, address, target, first, per_second, *most = words
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    print("sending", flush=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((iface, 0))
        link = Link(bytes.fromhex(address.replace(":", "")), wire.getsockname()[4])
        begun = time.monotonic()
        sent = 0
        for sent in count():
            if stopped or (most and sent == int(most[0])):
                break
            time.sleep(max(0.0, begun + sent / float(per_second) - time.monotonic()))
            number = int(first) + sent
            wire.send(segment(link, ends(number, int(IPv4Address(target))), SYN, number))
    print(sent)


if __name__ == "__main__":
    main(sys.argv[1:])
