"""Run as a program: interfaces come, receive frames and go. Each line of standard input has the frames of one, as hex.

They are veth pairs, a port of a new bridge, tun and tap devices in turn. Each receives its frames as soon as it is up.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

_TUNSETIFF, _IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 1, 2, 0x1000  # linux/if_tun.h
_LIFE_SECONDS = 0.05
_ETHERNET_BYTES = 14


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _send(name: str, frames: Sequence[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((name, 0))
        for frame in frames:
            wire.send(frame)


def _pair(number: int, frames: Sequence[bytes], *options: str) -> None:
    name, peer = f"in{number}", f"out{number}"
    _ip("link", "add", name, "type", "veth", "peer", "name", peer)
    _ip("link", "set", name, *options, "up")
    _ip("link", "set", peer, "up")
    _send(peer, frames)
    time.sleep(_LIFE_SECONDS)
    _ip("link", "delete", name)


def _port(number: int, frames: Sequence[bytes]) -> None:
    bridge = f"bridge{number}"
    _ip("link", "add", bridge, "up", "type", "bridge", "mcast_snooping", "0")
    _pair(number, frames, "master", bridge)
    _ip("link", "delete", bridge)


def _device(number: int, mode: int, skipped: int, frames: Sequence[bytes]) -> None:
    device = os.open("/dev/net/tun", os.O_RDWR)
    name = f"dev{number}"
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), mode | _IFF_NO_PI))
    _ip("link", "set", name, "up")
    for frame in frames:
        os.write(device, frame[skipped:])
    time.sleep(_LIFE_SECONDS)
    os.close(device)


def _tun(number: int, frames: Sequence[bytes]) -> None:
    _device(number, _IFF_TUN, _ETHERNET_BYTES, frames)


def _tap(number: int, frames: Sequence[bytes]) -> None:
    _device(number, _IFF_TAP, 0, frames)


if __name__ == "__main__":
    kinds: list[Callable[[int, Sequence[bytes]], None]] = [_pair, _port, _tun, _tap]
    for nth, line in enumerate(sys.stdin):
        kinds[nth % len(kinds)](nth, [bytes.fromhex(word) for word in line.split()])
