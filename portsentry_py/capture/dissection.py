"""Packets as pyshark dissects them: `dissection.py` reads tshark's PDML and prints one JSON list for each packet.

A program of its own, because it runs in the sandbox: what strangers sent is parsed here a second time.
"""

import json
import sys
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from pyshark.packet.packet import Packet
from pyshark.tshark.output_parser.tshark_xml import packet_from_xml_packet

_LONGEST_PACKET = 8 << 20  # of PDML: a packet of 64 KiB that is all options
_LONGEST_TEXT = 100
_NETWORK_LAYERS = ("ip", "ipv6")
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
# What a sender says of itself, and what it asks for: the layer, the field, and its name in the text.
_TOLD = (
    *(("http", "request_method", ""), ("http", "request_uri", ""), ("http", "host", "host ")),
    *(("http", "user_agent", "agent "), ("dns", "qry_name", "name "), ("mdns", "qry_name", "name ")),
    *(("tls", "handshake_extensions_server_name", "server name "), ("ssh", "protocol", "")),
    *(("sip", "request_line", ""), ("snmp", "community", "community "), ("rdp", "rt_cookie", "cookie ")),
    *(("ftp", "request", ""), ("smtp", "req_command", ""), ("data", "data", "data ")),
)


def _packets(stream: BinaryIO) -> Iterator[bytes | None]:
    """The PDML of each packet; None for one that is too long."""
    parts: list[bytes] = []
    size = 0
    for line in stream:
        if line.startswith(b"<packet>"):
            parts, size = [], 0
        size += len(line)
        if size <= _LONGEST_PACKET:
            parts.append(line)
        if line.startswith(b"</packet>"):
            yield b"".join(parts) if size <= _LONGEST_PACKET else None


def _row(packet: Packet) -> list[str | None]:
    """Time, source, port, destination, port, protocol, flags or type, hops left, window, length, text."""
    layers = [layer.layer_name for layer in packet.layers]
    at = next((number for number, name in enumerate(layers) if name in _NETWORK_LAYERS), None)
    network = packet.layers[at] if at is not None else None
    inside = packet.layers[at + 1 :] if at is not None else []
    transport = next((layer for layer in inside if layer.layer_name not in {*_NETWORK_LAYERS, "ipv6.hopopts"}), None)
    protocol = transport.layer_name if transport else layers[-1]
    return [
        str(packet.frame_info.time_epoch),
        _text(network, "src"),
        _text(transport, "srcport"),
        _text(network, "dst"),
        _text(transport, "dstport"),
        f"{protocol}/{layers[-1]}" if layers[-1] not in {protocol, "DATA", "data"} else protocol,
        _flags(transport),
        _text(network, "ttl") or _text(network, "hlim"),
        _text(transport, "window_size_value"),
        str(packet.length),
        " ".join(chain.from_iterable(_told(layer) for layer in inside))[:_LONGEST_TEXT],
    ]


def _flags(layer: object) -> str:
    """The flags of TCP; the type and code of ICMP."""
    number = _text(layer, "flags")
    if number and getattr(layer, "layer_name", "") == "tcp":
        bits = int(number, 0)
        return " ".join(name for bit, name in enumerate(_TCP_FLAGS) if bits >> bit & 1)
    kind = _text(layer, "type")
    return f"type {kind}/{_text(layer, 'code')}" if kind else ""


def _told(layer: object) -> Iterator[str]:
    for name, field, title in _TOLD:
        if getattr(layer, "layer_name", "").lower() == name and (value := _text(layer, field)):
            yield f"{title}{value}"


def _text(layer: object, field: str) -> str | None:
    value = getattr(layer, field, None)
    return None if value is None else str(value)[:_LONGEST_TEXT]


if __name__ == "__main__":
    for content in _packets(sys.stdin.buffer):
        row = None
        if content is not None:
            try:
                row = _row(packet_from_xml_packet(content))
            except Exception:  # noqa: BLE001 - pyshark fails in many ways; the next packet may be sound
                row = None
        json.dump(row, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()
