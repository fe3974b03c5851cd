"""What the sources of a network, or the users of a tool, probed together."""

from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.core.group_table import GroupLimits, GroupPorts, GroupTable
from portsentry_py.core.host_state import network_of
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import Counts, SourceRecord
from portsentry_py.events.model import Direction, Proto
from tests.support.build import HOST, HOST6, SECOND_US, START_US, no_deadline
from tests.support.sightings import sighting

NEIGHBOURS = ("203.0.113.1", "203.0.113.2")
NETWORK = "203.0.113.0/24"
LIMITS = GroupLimits(max_ports=4, network_window_us=60 * SECOND_US, tool_window_us=6 * SECOND_US)


def table(*sightings: Sighting, tool: bool = False, max_groups: int = 16) -> GroupTable:
    made = GroupTable(max_groups)
    made.set_limits(LIMITS)
    for one in sightings:
        record = SourceRecord(one.source, one.direction, START_US, START_US, probes=1)
        record.tools = Counts({"zmap": 1} if tool else {})
        made.update(one, record)
    return made


def probe(
    port: int,
    source: str = NEIGHBOURS[0],
    *,
    at: float = 0,
    kind: Kind = Kind.PROBE,
    proto: Proto = "tcp",
    direction: Direction = "inbound",
) -> Sighting:
    return sighting(kind, port, source=source, at=at, proto=proto, direction=direction)


def sources(ports: GroupPorts | None) -> dict[int, str]:
    return {port: source for (_, port), (source, _) in ports.items()} if ports else {}


def test_a_port_belongs_to_the_first_source_that_probed_it() -> None:
    first, second = NEIGHBOURS
    ports = table(probe(1, first), probe(2, second), probe(1, second, at=1)).peek((NETWORK, HOST))
    assert sources(ports) == {2: second, 1: first}


def test_targets_and_groups_are_counted_apart() -> None:
    groups = table(probe(1), probe(2, "198.51.100.7"), tool=True)
    assert sources(groups.peek((NETWORK, HOST))) == {1: NEIGHBOURS[0]}
    assert sources(groups.peek(("zmap", HOST))) == {1: NEIGHBOURS[0], 2: "198.51.100.7"}
    assert groups.peek((NETWORK, HOST6)) is groups.peek(("masscan", HOST)) is None


def test_an_ipv6_network_counts_in_its_56_and_its_48() -> None:
    first, near, far = "2001:db8:bad:1::/64", "2001:db8:bad:2::/64", "2001:db8:bad:100::/64"
    groups = table(*(probe(port)._replace(source=source) for port, source in ((1, first), (2, near), (3, far))))
    assert sources(groups.peek(("2001:db8:bad::/56", HOST))) == {1: first, 2: near}
    assert sources(groups.peek(("2001:db8:bad::/48", HOST))) == {1: first, 2: near, 3: far}
    assert groups.peek((first, HOST)) is None


def test_a_group_knows_that_one_source_has_all_of_its_ports() -> None:
    first, second = NEIGHBOURS
    groups = table(probe(1, first), probe(2, first), probe(2, second))
    ports = groups.peek((NETWORK, HOST))
    assert ports is not None
    assert ports.only == first, "the port is the first one's"
    groups.update(probe(3, second), SourceRecord(second, "inbound", START_US, START_US))
    assert not ports.only


def test_a_port_that_answers_is_retracted() -> None:
    ports = table(probe(1), probe(2), probe(1, kind=Kind.ANSWERED)).peek((NETWORK, HOST))
    assert sources(ports) == {2: NEIGHBOURS[0]}


def test_ports_are_forgotten_after_the_window_or_when_they_are_too_many() -> None:
    groups = table(*(probe(port, at=port) for port in range(1, 9)), tool=True)
    assert list(sources(groups.peek((NETWORK, HOST)))) == [5, 6, 7, 8]
    late = table(probe(1), probe(2, at=5), probe(3, at=7), tool=True)
    assert list(sources(late.peek(("zmap", HOST)))) == [2, 3]
    assert list(sources(late.peek((NETWORK, HOST)))) == [1, 2, 3]


def test_groups_are_bounded() -> None:
    groups = table(*(probe(1, f"10.0.{net}.1") for net in range(20)))
    assert [bool(groups.peek((f"10.0.{net}.0/24", HOST))) for net in range(20)] == [False] * 4 + [True] * 16


def test_nothing_else_is_counted() -> None:
    others = [
        probe(1, kind=Kind.REFUSED),
        probe(1, kind=Kind.SERVED),
        probe(1, proto="icmp"),
        probe(1, direction="outbound"),
    ]
    assert table(*others).peek((NETWORK, HOST)) is None


def test_nothing_is_counted_where_no_detector_reads_it() -> None:
    groups = table()
    groups.set_limits(None)
    groups.update(probe(1), SourceRecord(NEIGHBOURS[0], "inbound", START_US, START_US))
    assert groups.peek((NETWORK, HOST)) is None


sightings = st.builds(
    probe,
    st.integers(0, 9),
    st.sampled_from([*NEIGHBOURS, "198.51.100.7"]),
    at=st.integers(-100, 100),
    kind=st.sampled_from(list(Kind)),
    proto=st.sampled_from(["tcp", "udp", "icmp"]),
    direction=st.sampled_from(["inbound", "outbound"]),
)


@no_deadline
@given(st.lists(sightings, max_size=100))
def test_whatever_is_seen_a_group_holds_few_ports_of_its_own_sources_within_the_window(seen: list[Sighting]) -> None:
    groups = table(*seen, tool=True, max_groups=2)
    assert len(groups._groups) <= 2
    for (group, _), ports in groups._groups.items():
        window_us = LIMITS.tool_window_us if group == "zmap" else LIMITS.network_window_us
        times_us = [time_us for _, time_us in ports.values()]
        assert len(ports) <= LIMITS.max_ports
        assert not ports.only or {source for source, _ in ports.values()} <= {ports.only}
        assert not times_us or abs(times_us[-1] - times_us[0]) <= window_us
        assert group == "zmap" or {network_of(source) for source, _ in ports.values()} <= {group}
