"""Who takes part in the scenarios, and the conversations that they are made of."""

import dataclasses
from collections.abc import Iterable
from zlib import crc32

from portsentry_py.core.packet import ACK, FIN, RST, SYN
from tests.support.build import HOST, MSS_OPTION, STACK_OPTIONS, Sent, fin_ack, rst, syn_ack, tcp

OFFICE = "198.51.100.40"
RESOLVER = "198.51.100.53"
TIME_SERVER = "198.51.100.123"
GATEWAY = "192.0.2.1"
WEB_SERVER = "198.51.100.80"
# Six sources of six networks.
SIX = ("203.0.113.9", "198.51.100.20", "198.18.3.3", "198.18.4.4", "198.18.5.5", "198.18.6.6")
SERVED_BYTES = 1200
DAY_SECONDS = 86_400


def call(
    src: str, port: int, *, at: float, dst: str = HOST, src_port: int = 0, options: bytes = STACK_OPTIONS, ttl: int = 57
) -> Sent:
    """A SYN with a sequence number of its own, as a stack sends it."""
    chosen = crc32(f"{src} {dst} {port} {at}".encode())
    return tcp(src, dst, src_port or 32_768 + chosen % 28_000, port, SYN, at=at, seq=chosen, options=options, ttl=ttl)


def served(asked: Sent, *, read: int = SERVED_BYTES, lasts: float = 0.2) -> list[Sent]:
    """The session that a SYN opens: SYN-ACK, and FIN from both sides after this many bytes."""
    closed = fin_ack(asked, ack=5001 + read, after=lasts)
    last = tcp(asked.dst, asked.src, asked.dest_port, asked.src_port, FIN | ACK, seq=5001 + read)
    return [asked, syn_ack(asked), closed, dataclasses.replace(last, time_us=closed.time_us + 900)]


def closed(asked: Sent) -> list[Sent]:
    """A SYN and the RST of a closed port."""
    return [asked, rst(asked)]


def half_open(asked: Sent) -> list[Sent]:
    """A SYN to a served port from somebody whose kernel knows nothing of it: it resets the SYN-ACK."""
    reset = tcp(asked.src, asked.dst, asked.src_port, asked.dest_port, RST, seq=asked.seq + 1, ttl=asked.ttl)
    return [asked, syn_ack(asked), dataclasses.replace(reset, time_us=asked.later(0.03).time_us)]


def syn_scan_of(
    src: str,
    ports: Iterable[int],
    *,
    at: float = 0.0,
    every: float = 0.05,
    serves: tuple[int, ...] = (22, 443),
    ttl: int = 44,
) -> list[Sent]:
    """Nmap's SYN scan: one source port, one sequence number, and what the host answers."""
    src_port, seq = 33_000 + crc32(src.encode()) % 30_000, crc32(f"{src} {at}".encode())
    packets: list[Sent] = []
    for nth, port in enumerate(ports):
        probe = tcp(src, HOST, src_port, port, SYN, at=at + nth * every, seq=seq, options=MSS_OPTION, ttl=ttl)
        packets += half_open(probe) if port in serves else closed(probe)
    return packets


def bare_reset(asked: Sent, *, after: float = 0.001) -> Sent:
    """How a stack answers a segment with ACK that belongs to nothing: RST, with the number acknowledged."""
    acknowledged = int.from_bytes(asked.payload[8:12], "big")
    answer = tcp(asked.dst, asked.src, asked.dest_port, asked.src_port, RST, seq=acknowledged)
    return dataclasses.replace(answer, time_us=asked.later(after).time_us)


def flatten(conversations: Iterable[list[Sent]]) -> list[Sent]:
    return [packet for some in conversations for packet in some]


def client_port(nth: int, lowest: int = 1024) -> int:
    """Ports spread as clients choose them, no two alike."""
    return lowest + nth * 7919 % (64_000 - lowest + 1023)


def peer(nth: int) -> str:
    """Some host of the Internet, each of a network of its own."""
    return f"198.18.{nth % 256}.{nth * 37 % 250 + 1}"
