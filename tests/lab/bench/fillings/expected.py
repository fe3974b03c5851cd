"""Tables of what this host asked others, and of what may be their answers."""

from collections.abc import Iterator
from dataclasses import replace

from portsentry_py.config.settings import Limits
from portsentry_py.core import expectation, outbound_table
from portsentry_py.core.pipeline import Pipeline
from tests.lab.bench.fillings.engine import PART, SIZES, again, each, feed, instead, small_engine
from tests.lab.bench.fillings.table import fixed, of_parts, per_flow
from tests.lab.bench.lines import HOSTS, LATE_US, Sender

REFUSED = range(expectation._MAX_LATE_PORTS + expectation._SCAN_PORTS)
EXCUSED = range(expectation._MAX_EXCUSED)


def _asked(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    """The flows are there before, and as many others behind: all to one address."""
    engine, numbers = small_engine(sender, max_flows=limits.max_flows), range(limits.max_flows)
    before, behind = (each(numbers, sender.ask_again) for _ in range(2))
    return instead(engine, before, each(numbers, lambda nth: sender.ask(nth, LATE_US)), behind)


def _servers(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SERVERS"), SIZES["_MAX_SERVERS"], sender.question)


def _contacts(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_CONTACTS"), SIZES["_MAX_CONTACTS"], sender.ask)


def _late(sender: Sender, limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, max_flows=limits.max_flows), limits.max_flows, sender.late)


def _refused(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    engine = small_engine(sender, but="_MAX_REFUSED")
    return again(engine, SIZES["_MAX_REFUSED"], lambda nth: sender.late(nth, REFUSED))


def _sockets(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SOCKETS"), SIZES["_MAX_SOCKETS"], sender.send)


def _reflectors(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    def answers(nth: int) -> list[str]:
        return [sender.datagram(sender.source(nth), sender.target()) for _ in range(4)]

    return again(small_engine(sender, but="_MAX_REFLECTORS"), SIZES["_MAX_REFLECTORS"], answers)


def _excused(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    """A part of the sources, as many streams as can be of each."""
    engine = small_engine(sender, but="_MAX_EXCUSED_SOURCES")
    for numbers in (range(1), range(1, SIZES["_MAX_EXCUSED_SOURCES"] // PART)):
        yield feed(engine, each(numbers, lambda nth: sender.stream(nth, EXCUSED)))


def _unasked(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_SWEEPS"), SIZES["_MAX_SWEEPS"], sender.sweep)


def _outcomes(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    """Every host of ours asks as much as is kept."""
    engine, most = small_engine(sender, but="_MAX_SOURCES"), outbound_table.MAX_OUTCOMES
    yield feed(engine, sender.look_up(0, 1), sender.scan(0, range(1)))
    names = each(range(HOSTS), lambda host: sender.look_up(host, most))
    yield feed(engine, names, each(range(HOSTS), lambda host: sender.scan(host, range(host * most, (host + 1) * most))))


def _answering(sender: Sender, _limits: Limits) -> Iterator[Pipeline]:
    return again(small_engine(sender, but="_MAX_KNOWN"), SIZES["_MAX_KNOWN"], sender.ask)


EXPECTED = (
    per_flow("addresses that we asked", "_flows.expected._queried", _asked),
    per_flow("addresses whose late packets we reset, and their ports", "_flows.expected._late", _late),
    fixed("sockets of ours that sent a datagram", "_MAX_SOCKETS", "_flows.expected._sockets", _sockets, version=6),
    replace(
        fixed(
            "sources that may be reflectors",
            "_MAX_REFLECTORS",
            "_flows.expected.reflection._reflectors",
            _reflectors,
            version=6,
        ),
        inside=("_Crowd._ones", "_Crowd._packets"),
    ),
    of_parts(
        "ports that are excused",
        SIZES["_MAX_EXCUSED_SOURCES"],
        expectation._MAX_EXCUSED,
        "_flows.expected._excused._excused",
        _excused,
        share=PART,
        held_in="things",
    ),
    of_parts(
        "unasked datagrams between client ports",
        SIZES["_MAX_SWEEPS"],
        expectation._MAX_SWEPT,
        "_flows.expected._unasked",
        _unasked,
    ),
    of_parts(
        "outcomes of what our hosts asked others, and their names",
        SIZES["_MAX_SOURCES"],
        outbound_table.MAX_OUTCOMES,
        "_detection._outbound._hosts",
        _outcomes,
        *("Asked._outcomes", "Asked._counts", "Asked._lookups"),
        share=SIZES["_MAX_SOURCES"] // HOSTS,
    ),
    fixed(
        "hosts that answered us, and their ports",
        "_MAX_KNOWN",
        "_detection._outbound._known_hosts",
        _answering,
        "_detection._outbound._known_ports",
        version=6,
    ),
    fixed("servers that answered us", "_MAX_SERVERS", "_flows.expected._servers", _servers, version=6),
    fixed("networks of peers", "_MAX_CONTACTS", "_flows.expected._contact_networks", _contacts, version=6),
    fixed("peers of connections", "_MAX_CONTACTS", "_flows.expected._contacts", _contacts, version=6),
    of_parts(
        "reply-looking probes that we refused",
        SIZES["_MAX_REFUSED"],
        expectation._SCAN_PORTS,
        "_flows.expected._refused",
        _refused,
        "_Refused.probes",
        held_in="probes",
    ),
)
