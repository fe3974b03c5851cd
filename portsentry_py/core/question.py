"""Questions: what counts as one thing asked. Detectors count these instead of endpoints."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

from portsentry_py.core.host_state import HostState, within
from portsentry_py.core.source_record import Attempt, Endpoint, SourceRecord
from portsentry_py.events.model import Proto, ScanType

Attempts = list[tuple[Endpoint, Attempt]]

# Where a program looks for mail, calendars and contacts of a domain: SMTP, POP3, IMAP and their TLS ports (RFC 8314),
# ManageSieve (RFC 5804), autoconfig and autodiscover over HTTP, and the ports of CalDAV and CardDAV servers.
# fmt: off
_AUTOCONFIGURATION = frozenset({
    25, 80, 110, 143, 443, 465, 587, 993, 995, 2525, 4190, 5232, 8008, 8443, 8800, 8843,
})
# fmt: on
# Kubernetes, --service-node-port-range: a load balancer checks the ports of all services at every node. A node without
# a pod of the service (externalTrafficPolicy: Local) drops or refuses the check, for as long as the service lives.
_NODE_PORTS = range(30_000, 32_768)
_MAX_CHECKED = 32
_MAX_NODES = 64
# A source that asks for more than these besides a family of ports looks for anything, and each of its ports counts.
_MAX_OTHERS = 3
# A mail program guesses at a domain and its names (mail, imap, pop3, smtp), which are few hosts of one network.
_MAX_GUESSED_HOSTS = 4
# What a client's connect may be: `unseen` until the SYN is captured, after its RST.
_CLIENT_TYPES: frozenset[ScanType] = frozenset({"connect", "unseen"})
# Home networks that have no room for a second host: one address, or both ends of a link (RFC 3021, RFC 6164).
_SINGLE_ADDRESSES = 2
_THIS_HOST = "this host"


class Question(NamedTuple):
    """One thing asked of one host: a port, an IP protocol, an ICMP type; -1 for a family of ports."""

    host: str
    proto: Proto
    port: int


class Questions:
    """Turns endpoints into questions; it knows which addresses are one host."""

    def __init__(self) -> None:
        self.set_host(HostState())

    def set_host(self, host: HostState) -> None:
        """Take the host's addresses as they are now; in a replay, single addresses of `home` are this host's."""
        own, single = host.own, [network for network in host.home if network.num_addresses <= _SINGLE_ADDRESSES]

        @lru_cache(maxsize=8192)
        def host_of(address: str) -> str:
            return _THIS_HOST if address in own or within(address, single) else address

        self.host_of = host_of
        """The host that an address belongs to."""

    def of(self, attempts: Attempts) -> AbstractSet[Question]:
        """The distinct questions of these attempts.

        All ports of automatic configuration are one question to a host, of a client that asks few hosts and for little
        else. A scanner of just these ports gets no more than them, and a raw SYN is no client's.
        """
        family: set[Question] = set()
        others: set[Question] = set()
        for endpoint, attempt in attempts:
            question = Question(self.host_of(endpoint.target), endpoint.proto, endpoint.port)
            (family if _is_guess(endpoint, attempt) else others).add(question)
        if len(others) > _MAX_OTHERS or len({one.host for one in family}) > _MAX_GUESSED_HOSTS:
            return family | others
        return others | {one._replace(port=-1) for one in family}

    def are_enough(self, attempts: Attempts, number: int) -> bool:
        """Whether these attempts are at least so many distinct questions; of a scan, few of them tell."""
        others: set[tuple[str, Proto, int]] = set()
        for endpoint, attempt in attempts:
            if not _is_guess(endpoint, attempt):
                others.add((self.host_of(endpoint.target), endpoint.proto, endpoint.port))
                if len(others) >= number and len(others) > _MAX_OTHERS:
                    return True
        return len(self.of(attempts)) >= number


def _is_guess(endpoint: Endpoint, attempt: Attempt) -> bool:
    """Whether a client that configures itself may ask for the endpoint."""
    return endpoint.port in _AUTOCONFIGURATION and endpoint.proto == "tcp" and attempt.scan_type in _CLIENT_TYPES


def look_for_services(ports: Iterable[int]) -> bool:
    """Whether these ports are those of automatic configuration and little else."""
    return sum(port not in _AUTOCONFIGURATION for port in ports) <= _MAX_OTHERS


def are_health_checks(record: SourceRecord) -> bool:
    """Whether all that the source asked for in vain looks like a load balancer's checks.

    Where no pod of any service runs, none of its checks is answered. They may be a scan as well, of at most
    `_MAX_CHECKED` ports in a range that holds nothing but NodePorts.
    """
    if len(record.unserved) > _MAX_CHECKED * _MAX_NODES:
        return False
    checked: set[int] = set()
    others: set[tuple[Proto, int]] = set()
    for endpoint, attempt in record.unserved.items():
        if is_node_port(endpoint) and attempt.scan_type in _CLIENT_TYPES:
            checked.add(endpoint.port)
        else:
            others.add((endpoint.proto, endpoint.port))
            if len(others) > _MAX_OTHERS:
                return False
    return _MAX_OTHERS < len(checked) <= _MAX_CHECKED


def is_node_port(endpoint: Endpoint) -> bool:
    """Whether a load balancer may check the endpoint."""
    return endpoint.proto == "tcp" and endpoint.port in _NODE_PORTS
