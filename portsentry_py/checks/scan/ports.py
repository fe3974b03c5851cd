"""Which ports to scan, and the names of their services."""

import socket
from array import array
from collections.abc import Iterable
from random import SystemRandom

from portsentry_py.checks.scan.model import Protocol
from portsentry_py.config.values import read_ports
from portsentry_py.errors import UsageError

DEFAULT_PORTS = "1-1024"
_ALL_WORD, _ALL_PORTS = "-", "1-65535"


def port_list(text: str) -> tuple[int, ...]:
    """The ports of `22,80,8000-8010`, in order; `-` stands for all.

    Raises:
        UsageError: a part is no port and no range.
    """
    try:
        ports = read_ports(_ALL_PORTS if text == _ALL_WORD else text.split(","))
    except ValueError as error:
        raise UsageError(f"--ports: {error}; give ports and ranges such as 22,80,8000-8010, or - for all.") from error
    if 0 in ports:
        raise UsageError("--ports: 0 is no port of a service; begin with 1.")
    return tuple(sorted(ports))


def ranges_of(ports: Iterable[int]) -> str:
    """Ports in order as text, neighbours as ranges: the form that `port_list` reads."""
    found: list[list[int]] = []
    for port in ports:
        if found and found[-1][1] == port - 1:
            found[-1][1] = port
        else:
            found.append([port, port])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def shuffled(ports: Iterable[int]) -> "array[int]":
    """The ports in an order that nobody can foresee, two bytes each."""
    mixed = array("H", ports)
    SystemRandom().shuffle(mixed)
    return mixed


def service_name(port: int, protocol: Protocol) -> str:
    """The name in /etc/services; empty if there is none."""
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return ""
