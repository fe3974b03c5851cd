"""Probes behind tags and IPv4 options, with odd headers of TCP, other transports and odd times to live."""

from dataclasses import replace
from typing import Any

from tests.lab.attacks.attack import Sent
from tests.lab.attacks.parties import FAMILIES, FOUR, Family
from tests.lab.attacks.wire.disguises import Hides, port_of
from tests.lab.attacks.wire.ip import AUTHENTICATION, SERVICE_TAG, TAG, Packet, authentication_header, framed
from tests.lab.attacks.wire.upper import (
    ACK,
    CWR,
    ECE,
    FIN,
    PSH,
    RST,
    SCTP_COOKIE_ECHO,
    STACK_OPTIONS,
    SYN,
    URG,
    dccp,
    sctp,
    syn,
    tcp,
    udp,
    udp_lite,
)


def _tagged(*tags: tuple[int, int]) -> Hides:
    return lambda probe: [framed(probe, *tags)]


TAGS: dict[str, Hides] = {
    "0": _tagged((TAG, 0)),
    "0-0": _tagged((TAG, 0), (TAG, 0)),
    "0-0-0": _tagged((TAG, 0), (TAG, 0), (TAG, 0)),
    "0-four-times": _tagged(*[(TAG, 0)] * 4),
    "0-eight-times": _tagged(*[(TAG, 0)] * 8),
    "service-0": _tagged((SERVICE_TAG, 0)),
    "service-0-0": _tagged((SERVICE_TAG, 0), (TAG, 0)),
    "service-three-times": _tagged(*[(SERVICE_TAG, 0)] * 3),
    "0-priority": _tagged((TAG, 0xE000)),
    "0-0-options": lambda probe: [
        framed(replace(probe, options=b"\x01" * 40) if probe.family == 4 else probe, *[(TAG, 0)] * 2)
    ],
}


def _with_ip_options(options: bytes, *, long: bool = False) -> Hides:
    def made(probe: Packet) -> list[Sent]:
        whole = probe
        if long:
            whole = tcp(probe.src, probe.dst, 40_000, port_of(probe), SYN, options=STACK_OPTIONS * 2, data=bytes(40))
        return [replace(whole, options=options)]

    return made


IP_OPTIONS: dict[str, Hides] = {
    "no-operation": _with_ip_options(b"\x01" * 40),
    "no-operation-and-tcp-60": _with_ip_options(b"\x01" * 40, long=True),
    "record-route": _with_ip_options(bytes.fromhex("072704") + bytes(36) + b"\0"),
    "timestamp": _with_ip_options(bytes.fromhex("44240500") + bytes(32) + bytes(4)),
    "router-alert": _with_ip_options(bytes.fromhex("94040000")),
    "experiment": _with_ip_options(bytes.fromhex("5e28") + bytes(38)),
    "loose-route": _with_ip_options(bytes.fromhex("830704") + bytes(4) + b"\0"),
    "end-of-list": _with_ip_options(bytes(40)),
}


def _flags(flags: int, **words: Any) -> Hides:
    return lambda probe: [tcp(probe.src, probe.dst, 40_000 + port_of(probe) % 1000, port_of(probe), flags, **words)]


SEGMENTS: dict[str, Hides] = {
    "syn-data": _flags(SYN, data=bytes(100)),
    "syn-ece-cwr": _flags(SYN | ECE | CWR),
    "syn-psh-urg": _flags(SYN | PSH | URG),
    "syn-reserved": _flags(SYN, reserved=7),
    "syn-accurate-ecn": _flags(SYN | ECE | CWR, reserved=1),
    "syn-fin": _flags(SYN | FIN),
    "syn-fin-psh-urg": _flags(SYN | FIN | PSH | URG),
    "syn-rst": _flags(SYN | RST),
    "syn-sequence-0": _flags(SYN, seq=0),
    "syn-window-0": _flags(SYN, window=0),
    "syn-fast-open": _flags(SYN, options=bytes.fromhex("220a0102030405060708") + b"\x01\x01", data=bytes(8)),
    "syn-signature": _flags(SYN, options=bytes.fromhex("1312") + bytes(16) + b"\x01\x01"),
    "syn-60": _flags(SYN, options=b"\x01" * 40),
    "psh-urg": _flags(PSH | URG),
    "ece": _flags(ECE),
    "all": _flags(0xFF),
    "null": _flags(0),
    "fin": _flags(FIN),
    "xmas": _flags(FIN | PSH | URG),
    "fin-ack": _flags(FIN | ACK),
    "ack": _flags(ACK, ack=77),
    "psh-ack": _flags(PSH | ACK, ack=77, data=b"x"),
    "urg-ack": _flags(URG | ACK, ack=77),
    "syn-ack": _flags(SYN | ACK, ack=77),
    "rst": _flags(RST),
}


def _to_everybody(probe: Packet) -> list[Sent]:
    return [framed(probe, to="everybody")]


OTHERS: dict[str, tuple[Hides, tuple[Family, ...]]] = {
    "udp-lite": (lambda probe: [udp_lite(probe.src, probe.dst, 40_000, port_of(probe))], FAMILIES),
    "dccp": (lambda probe: [dccp(probe.src, probe.dst, 40_000, port_of(probe))], FAMILIES),
    "sctp-init": (lambda probe: [sctp(probe.src, probe.dst, 40_000, port_of(probe))], FAMILIES),
    "sctp-cookie": (lambda probe: [sctp(probe.src, probe.dst, 40_000, port_of(probe), SCTP_COOKIE_ECHO)], (FOUR,)),
    "ah-v4": (
        lambda probe: [
            replace(probe, proto=AUTHENTICATION, payload=authentication_header(probe.proto) + probe.payload)
        ],
        (FOUR,),
    ),
    "broadcast-frame": (_to_everybody, FAMILIES),
    "source-port-0": (lambda probe: [syn(probe.src, probe.dst, port_of(probe), src_port=0)], FAMILIES),
    "bad-checksum": (
        lambda probe: [replace(probe, payload=probe.payload[:16] + b"\xde\xad" + probe.payload[18:])],
        FAMILIES,
    ),
}


# ---- time to live


def _ttl_of(packet: Packet) -> int:
    return 20 + port_of(packet) % 80


TTLS: dict[str, Hides] = {
    "each-another": lambda probe: [replace(probe, ttl=_ttl_of(probe))],
    "one": lambda probe: [replace(probe, ttl=1)],
    "traceroute-udp": lambda probe: [udp(probe.src, probe.dst, 40_000, 33_434 + port_of(probe) % 192, ttl=20)],
    "traceroute-udp-one": lambda probe: [udp(probe.src, probe.dst, 40_000, 33_434 + port_of(probe) % 192, ttl=1)],
}
