"""Fingerprints of scanners: which tool sent a probe, by what it writes into the headers.

A fingerprint can be forged or switched off, so it names a tool and decides nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address

from portsentry_py.core.packet import ACK, FIN, ICMP, RST, SYN, TCP, Packet
from portsentry_py.events.model import Tool

_ZMAP_IP_ID = 54_321
_NMAP_WINDOWS = frozenset({1024, 2048, 3072, 4096})
_NMAP_OS_TIMESTAMP = bytes.fromhex("080affffffff")
_BARE_HEADER = 20
_MSS_HEADER = 24
_MSS_1460 = bytes.fromhex("020405b4")
_HPING_WINDOW = 512
_UNICORNSCAN_WINDOW = 16_384
_UNICORNSCAN_OPTIONS = bytes.fromhex("020405b40402080a")


@lru_cache(maxsize=4096)
def _address(text: str) -> int:
    """An IPv4 address as a number; 0 for IPv6, because no tool folds its addresses into 32 bits."""
    return 0 if ":" in text else int(ip_address(text))


def _masscan(packet: Packet) -> bool:
    return (
        packet.flags == SYN
        and packet.ip_id != 0
        and packet.ip_id == (_address(packet.dst) ^ packet.dest_port ^ packet.seq) & 0xFFFF
    )


def _zmap(packet: Packet) -> bool:
    return packet.ip_id == _ZMAP_IP_ID and (packet.proto != TCP or packet.flags == SYN)


def _mirai(packet: Packet) -> bool:
    return packet.flags == SYN and packet.seq != 0 and packet.seq == _address(packet.dst)


def _nmap_probe(packet: Packet) -> bool:
    if packet.window not in _NMAP_WINDOWS:
        return False
    if packet.flags & SYN:
        is_answer = packet.flags & (FIN | RST | ACK) == ACK
        return not is_answer and packet.header_bytes == _MSS_HEADER and packet.options == _MSS_1460
    return not packet.flags & ACK and packet.header_bytes == _BARE_HEADER


def _nmap_os(packet: Packet) -> bool:
    return _NMAP_OS_TIMESTAMP in packet.options


def _hping3(packet: Packet) -> bool:
    return packet.proto == TCP and packet.window == _HPING_WINDOW and packet.header_bytes == _BARE_HEADER


def _unicornscan(packet: Packet) -> bool:
    return (
        packet.flags == SYN and packet.options.startswith(_UNICORNSCAN_OPTIONS) and packet.window == _UNICORNSCAN_WINDOW
    )


# Tool, rule, source of the rule. The first rule that matches names the tool.
FINGERPRINTS: tuple[tuple[Tool, Callable[[Packet], bool], str], ...] = (
    ("mirai", _mirai, "Antonakakis et al., USENIX Security 2017: sequence number = destination address"),
    ("zmap", _zmap, "Durumeric et al., USENIX Security 2013: IP identification 54321"),
    ("masscan", _masscan, "masscan README: identification = address xor port xor sequence number"),
    ("nmap", _nmap_probe, "nmap 7, measured: window 1024 to 4096; MSS 1460 as the only option, none without SYN"),
    ("nmap", _nmap_os, "nmap's manual, OS detection, T1 to T7: timestamp option with the value 0xffffffff"),
    ("unicornscan", _unicornscan, "unicornscan 0.4.7 default SYN: MSS, SACK, timestamps, window 16384"),
    ("hping3", _hping3, "hping3 default: window 512 and no option"),
)


def tool_of(packet: Packet) -> Tool | None:
    """The tool whose fingerprint the probe carries; None if none is known."""
    if packet.proto not in {TCP, ICMP}:
        return "zmap" if packet.ip_id == _ZMAP_IP_ID else None
    # The fingerprints of these tools differ from probe to probe; those of the others can be cached.
    is_syn = packet.flags == SYN  # those of other segments are told by the headers alone
    if is_syn and _mirai(packet):
        return "mirai"
    if packet.ip_id == _ZMAP_IP_ID and _zmap(packet):
        return "zmap"
    if is_syn and _masscan(packet):
        return "masscan"
    return _by_headers(packet.proto, packet.flags, packet.window, packet.header_bytes, packet.options)


@lru_cache(maxsize=4096)
def _by_headers(proto: int, flags: int, window: int, header_bytes: int, options: bytes) -> Tool | None:
    probe = Packet(0, "", "", proto, flags=flags, window=window, header_bytes=header_bytes, options=options)
    return next((name for name, rule, _ in FINGERPRINTS if rule(probe)), None)
