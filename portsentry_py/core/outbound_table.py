"""What each host of ours asked of others lately, and what came back: Sightings in, for scans by this host."""

from collections import Counter, OrderedDict, deque
from typing import NamedTuple

from portsentry_py.core.fingerprints import tool_of
from portsentry_py.core.host_state import network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Endpoint
from portsentry_py.core.swept_ports import is_swept_port
from portsentry_py.events.model import Proto

MAX_OUTCOMES = 1024
_MAX_SOURCES = 128
_MAX_KNOWN = 32_768
_OUTCOMES = frozenset({Kind.ANSWERED, Kind.REFUSED, Kind.SILENT})
_ARRIVALS = frozenset({Kind.PROBE, Kind.SERVED})
# A share of the unanswered attempts that is "on one port".
_ONE_PORT_PERCENT = 80
_DNS = 53


class Count(NamedTuple):
    """What is counted: distinct endpoints of one kind, for a transport and, where given, a port and a place.

    `what` is one of:
        `unanswered`, `refused`: all that got no answer, or a refusal; the former also by transport.
        `raw`: unanswered, and the probe is none of an operating system's stack.
        `swept`: unanswered, on hosts that never answered, at ports that clients do not use.
        `hosts`: unanswered, on hosts that never answered; of one port.
        `near`: the same, in one /24 or IPv6 /64, the `place`.
        `ports`: unanswered, at ports that never answered; of one host, the `place`.
        `answered`: answered; of one port.
    """

    what: str
    proto: Proto | None = None
    port: int = 0
    place: str = ""


class _Outcome(NamedTuple):
    time_us: int
    counts: tuple[Count, ...]


class Asked:
    """The outcomes of one host's attempts within the window, bounded: the latest one of each endpoint."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[Endpoint, _Outcome] = OrderedDict()
        self._counts: Counter[Count] = Counter()
        self._answered_us: int | None = None
        self._lookups: deque[int] = deque(maxlen=MAX_OUTCOMES)
        self.heard_us: int | None = None
        """When somebody outside last sent a first packet to the host."""

    def __len__(self) -> int:
        return len(self._outcomes)

    def note(self, endpoint: Endpoint, outcome: _Outcome, window_us: int) -> None:
        """Note an outcome, and forget those before the window."""
        if endpoint in self._outcomes:
            self._forget(endpoint)
        self._outcomes[endpoint] = outcome
        self._counts.update(outcome.counts)
        while len(self._outcomes) > MAX_OUTCOMES or abs(outcome.time_us - self._oldest.time_us) > window_us:
            self._forget(next(iter(self._outcomes)))

    def answer(self, answered: Sighting) -> None:
        """Somebody answered the host."""
        self._answered_us = answered.time_us
        if answered.port == _DNS:
            self._lookups.append(answered.time_us)

    def lookups(self, now_us: int, window_us: int) -> int:
        """How many questions for names were answered within the window."""
        while self._lookups and abs(now_us - self._lookups[0]) > window_us:
            self._lookups.popleft()
        return len(self._lookups)

    @property
    def _oldest(self) -> _Outcome:
        return next(iter(self._outcomes.values()))

    def _forget(self, endpoint: Endpoint) -> None:
        for count in self._outcomes.pop(endpoint).counts:
            self._counts[count] -= 1
            if not self._counts[count]:
                del self._counts[count]

    def number(self, what: str, proto: Proto | None = None, port: int = 0, place: str = "") -> int:
        """How many of that kind; see Count."""
        return self._counts[Count(what, proto, port, place)]

    def near(self, sighting: Sighting) -> int:
        """The number of `near` in the network of the sighting's target."""
        return self.number("near", sighting.proto, sighting.port, network_of(sighting.target))

    def is_online(self, now_us: int, window_us: int) -> bool:
        """Whether anything came back, or in, within the window."""
        times_us = (self._answered_us, self.heard_us)
        return any(time_us is not None and abs(now_us - time_us) <= window_us for time_us in times_us)

    def is_cut_off(self, sighting: Sighting, window_us: int) -> bool:
        """Whether the network of the host seems broken: nothing is answered that was, or whatever it asks for.

        Refusals are answers, unless a router at hand sends them for everybody.
        """
        unanswered = self.number("unanswered")
        if self.is_online(sighting.time_us, window_us) or 2 * self.number("refused") > unanswered:
            return False
        is_new = self._answered_us is None and sighting.proto == "tcp"
        return not (is_new and self.is_one_port(sighting, unanswered))

    def is_one_port(self, sighting: Sighting, unanswered: int) -> bool:
        """Whether nearly all of the unanswered attempts were on the sighting's port."""
        return 100 * self.number("hosts", sighting.proto, sighting.port) >= _ONE_PORT_PERCENT * unanswered


class OutboundTable:
    """The outcomes for each host of ours, and who ever answered; bounded in hosts, outcomes and answers.

    A host or a port that answered before is none that a scanner looks for: a monitor knows its hosts.
    """

    def __init__(self) -> None:
        self._hosts: LruTable[str, Asked] = LruTable(_MAX_SOURCES)
        self._known_hosts: LruTable[str, bool] = LruTable(_MAX_KNOWN)  # sets with an order
        self._known_ports: LruTable[Endpoint, bool] = LruTable(_MAX_KNOWN)
        self._window_us = 0

    def set_window(self, window_us: int) -> None:
        """Take the time for which outcomes are kept."""
        self._window_us = window_us

    def of(self, source: str) -> Asked | None:
        """What a host of ours asked; None if nothing."""
        return self._hosts.peek(source)

    def update(self, sighting: Sighting) -> None:
        """Write a sighting of either direction."""
        if sighting.direction == "inbound":
            asked = self._hosts.peek(sighting.target)
            if asked is not None and sighting.kind in _ARRIVALS:
                asked.heard_us = sighting.time_us
        elif sighting.kind in _OUTCOMES:
            self._note(sighting)

    def _note(self, sighting: Sighting) -> None:
        asked = self._hosts.touch(sighting.source)
        if asked is None:
            asked = Asked()
            self._hosts.put(sighting.source, asked)
        endpoint = Endpoint(sighting.target, sighting.proto, sighting.port)
        if sighting.kind is Kind.ANSWERED:
            asked.answer(sighting)
            self._known_hosts.put(sighting.target, True)
            self._known_ports.put(endpoint, True)
        asked.note(endpoint, _Outcome(sighting.time_us, tuple(self._counts(sighting, endpoint))), self._window_us)

    def _counts(self, sighting: Sighting, endpoint: Endpoint) -> list[Count]:
        target, proto, port = endpoint
        if sighting.kind is Kind.ANSWERED:
            return [Count("answered", proto, port)]
        counts = [Count("unanswered"), Count("unanswered", proto)]
        if sighting.kind is Kind.REFUSED:
            counts.append(Count("refused"))
        if is_raw(sighting):
            counts.append(Count("raw", proto))
        if endpoint not in self._known_ports:
            counts.append(Count("ports", proto, place=target))
        if target not in self._known_hosts:
            counts.append(Count("hosts", proto, port))
            counts.append(Count("near", proto, port, network_of(target)))
            if is_swept(sighting):
                counts.append(Count("swept", proto))
        return counts


def is_raw(sighting: Sighting) -> bool:
    """Whether no stack of an operating system made the probe: a TCP segment without its options, or a tool's mark."""
    return sighting.scan_type != "connect" if sighting.proto == "tcp" else tool_of(sighting.packet) is not None


def is_swept(sighting: Sighting) -> bool:
    """Whether clients and peer-to-peer programs do not ask many hosts for this."""
    return sighting.proto not in {"tcp", "udp"} or is_swept_port(sighting.port)
