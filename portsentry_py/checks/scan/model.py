"""The words and nouns of a scan."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

Method = Literal["connect", "syn", "null", "fin", "xmas", "maimon", "ack", "window", "udp", "sctp-init"]
State = Literal["open", "closed", "filtered", "open|filtered", "unfiltered"]
Protocol = Literal["tcp", "udp", "sctp"]
Family = Literal[4, 6]
Endpoint = tuple[str, int] | tuple[str, int, int, int]

METHODS: tuple[Method, ...] = get_args(Method)
STATES: tuple[State, ...] = get_args(State)
PORT_COUNT = 65_536
UNKNOWN, SILENT, _FIRST_STATE = 0, 1, 2
"""Codes of a port; each state has one from the last on."""


def protocol_of(method: Method) -> Protocol:
    """The transport protocol whose ports a method scans."""
    return "udp" if method == "udp" else "sctp" if method == "sctp-init" else "tcp"


@dataclass(frozen=True, slots=True)
class Options:
    """How to scan.

    Attributes:
        family: 4 or 6; None takes the first address of a name, IPv4 before IPv6.
        rate: the most probes per second, over all hosts.
        retries: how often a silent port is probed again at least. Once a loss is noticed, it is probed up to ten times.
        owned: the user says that the targets are theirs, so public addresses may be scanned, and addresses of
            documentation too, where they are on a network of this host.
    """

    family: Family | None = None
    rate: float = 10_000.0
    retries: int = 2
    owned: bool = False


DEFAULT_OPTIONS = Options()


class Target(NamedTuple):
    """A host to scan, and the address of this host that reaches it.

    `scope` is the interface's number of an IPv6 link-local address, else 0.
    """

    address: str
    packed: bytes
    source: str
    scope: int = 0

    @property
    def is_ipv4(self) -> bool:
        """Whether it is reached over IPv4."""
        return ":" not in self.address

    @property
    def socket_family(self) -> socket.AddressFamily:
        """The family of its sockets."""
        return socket.AF_INET if self.is_ipv4 else socket.AF_INET6

    def endpoint(self, address: str, port: int = 0) -> Endpoint:
        """This address with a port, of the host or of ours, as sockets take it."""
        return (address, port) if self.is_ipv4 else (address, port, 0, self.scope)


class Answer(NamedTuple):
    """What a reply says about a port.

    Attributes:
        target: the scanned host.
        port: the scanned port.
        attempt: which probe of the port it answers, from 0.
        state: the state that it proves.
        by_icmp: whether it is an ICMP error, which hosts send at a limited rate.
    """

    target: Target
    port: int
    attempt: int
    state: State
    by_icmp: bool = False


@dataclass(slots=True)
class HostResult:
    """The states of the ports of a host, one byte for each port.

    Attributes:
        target: the host.
        silent: the state of a port that did not answer.
        codes: indexed by the port.
    """

    target: Target
    silent: State
    codes: bytearray = field(default_factory=lambda: bytearray(PORT_COUNT), repr=False)

    def states(self) -> Iterator[tuple[int, State]]:
        """Every port whose state is known, in order."""
        for port, code in enumerate(self.codes):
            if code:
                yield port, self.silent if code == SILENT else STATES[code - _FIRST_STATE]

    def know(self, port: int, state: State) -> None:
        """Set the state of a port that answered."""
        self.codes[port] = _FIRST_STATE + STATES.index(state)
