"""The stranger: a program in a network namespace of its own that scans, and asks whether ports answer.

It takes one JSON object a line and answers with one. It ends with its input, and the namespace ends with it.
"""

import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

_FIN, _SYN, _PSH, _ACK, _URG = 0x01, 0x02, 0x08, 0x10, 0x20
FLAGS = {"null": 0, "fin": _FIN, "syn": _SYN, "xmas": _FIN | _PSH | _URG, "maimon": _FIN | _ACK, "ack": _ACK}
"""The TCP flags of each raw technique, as nmap's manual has them."""
_HEADER = struct.Struct("!HHIIBBHHH")  # RFC 9293, section 3.1, without options
_OFFSET_BYTE, _WINDOW = 5 << 4, 1024
_GAP_SECONDS = 0.005
_ANSWER_SECONDS, _REPEAT_SECONDS = 0.3, 0.2
_DATAGRAM = b"portsentry-py drill"


def serve(requests: Iterator[str], answer: Callable[[str], object]) -> None:
    """Answer each request; an error of the kernel is an answer too."""
    for line in requests:
        request = json.loads(line)
        try:
            done = _reach(**request["reach"]) if "reach" in request else _probe(**request["probe"])
        except OSError as error:
            done = {"error": error.strerror or str(error)}
        answer(json.dumps(done))


def _probe(method: str, source: str, target: str, ports: list[int]) -> dict[str, Any]:
    """Send a probe to each port."""
    if method == "connect":
        _connect(source, target, ports)
    elif method == "udp":
        _datagrams(source, target, ports)
    else:
        _segments(FLAGS[method], source, target, ports)
    return {"sent": len(ports)}


def _connect(source: str, target: str, ports: list[int]) -> None:
    """Begin connections with the kernel's own packets, and end them before it repeats its SYN."""
    with ExitStack() as stack:
        for port in ports:
            one = stack.enter_context(_socket(source, socket.SOCK_STREAM))
            one.connect_ex((target, port))
            time.sleep(_GAP_SECONDS)
        time.sleep(_ANSWER_SECONDS)


def _datagrams(source: str, target: str, ports: list[int]) -> None:
    with _socket(source, socket.SOCK_DGRAM) as one:
        for port in ports:
            with suppress(OSError):  # the refusal of an earlier one
                one.sendto(_DATAGRAM, (target, port))
            time.sleep(_GAP_SECONDS)


def _segments(flags: int, source: str, target: str, ports: list[int]) -> None:
    with _socket(source, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for port in ports:
            raw.sendto(segment(source, target, port, flags), (target, 0))
            time.sleep(_GAP_SECONDS)


def segment(source: str, target: str, port: int, flags: int) -> bytes:
    """A TCP header without options; no two have the same port and sequence number, as spoofed twins have."""
    number = random.SystemRandom()
    fields = [number.randrange(1024, 65_536), port, number.getrandbits(32), 0, _OFFSET_BYTE, flags, _WINDOW, 0, 0]
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    fields[7] = _checksum(ends + struct.pack("!II", socket.IPPROTO_TCP, _HEADER.size) + _HEADER.pack(*fields))
    return _HEADER.pack(*fields)


def _checksum(data: bytes) -> int:
    """RFC 1071; the pseudo headers of both families have the same sum (RFC 9293, RFC 8200)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _reach(asks: list[tuple[str, str, str, int]], seconds: float) -> dict[str, Any]:
    """Which of (transport, source, target, port) answer in time: accept a connection, or return a datagram."""
    answered: set[int] = set()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        datagrams = []
        for number, (transport, source, target, port) in enumerate(asks):
            is_udp = transport == "udp"
            one = stack.enter_context(_socket(source, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM))
            one.connect_ex((target, port))
            event = selectors.EVENT_READ if is_udp else selectors.EVENT_WRITE
            selector.register(one, event, (number, one, is_udp))
            datagrams += [one] * is_udp
        deadline = time.monotonic() + seconds
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for one in datagrams:
                with suppress(OSError):
                    one.send(_DATAGRAM)
            for key, _ in selector.select(min(_REPEAT_SECONDS, left)):
                number, one, is_udp = key.data
                is_answer = _returned(one) if is_udp else not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                answered.update([number] * is_answer)
                if is_answer or not is_udp:
                    selector.unregister(one)
    return {"answered": sorted(answered)}


def _returned(one: socket.socket) -> bool:
    """Whether a datagram came back; a refusal is no answer, because a ban refuses too."""
    with suppress(OSError):
        return bool(one.recv(64))
    return False


def _socket(source: str, kind: int, proto: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, kind, proto)
    try:
        made.setblocking(False)
        made.bind((source, 0))
    except BaseException:
        made.close()
        raise
    return made


def _say(text: str) -> None:
    os.write(sys.stdout.fileno(), text.encode() + b"\n")


if __name__ == "__main__":
    _say(json.dumps({"ready": True}))
    serve(iter(sys.stdin.readline, ""), _say)
