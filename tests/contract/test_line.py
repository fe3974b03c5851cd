"""The schema, the dataclasses, the documentation and the filter agree on the line."""

import dataclasses
import json
import re
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config.settings import Settings, Traps
from portsentry_py.core.decode import canonical_address
from portsentry_py.core.detectors.profiles import PROFILES, Tables
from portsentry_py.core.group_table import GroupTable
from portsentry_py.core.outbound_table import OutboundTable
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.question import Questions
from portsentry_py.events import schema
from portsentry_py.events.model import EVENT_CLASSES, SCHEMA_VERSION, Event, SourceEvent, to_record
from portsentry_py.fleet.change import Change
from portsentry_py.fleet.line import line as fleet_line
from portsentry_py.fleet.messages import Ban
from portsentry_py.sensor.replay import Replay
from portsentry_py.sensor.status_reporter import status_event
from tests.support.any_event import INTERFACE, events_of
from tests.support.build import (
    FRIEND,
    SCANNER,
    SCANNER6,
    US,
    Sent,
    connect,
    evidence,
    in_time,
    log_lines,
    lost,
    micros,
    no_deadline,
    refused,
    strict,
    syn,
    syn_ack,
    udp,
    visit,
    watch,
    with_cells,
    write_pcapng,
    xmas,
)
from tests.support.needs import require_tool
from tests.support.paths import PACKAGE, ROOT
from tests.support.schema import validate
from tests.support.traffic import conversations

FROZEN = ["timestamp", "event_type", "verdict", "src_ip", "source_verified", "scan_type", "technique"]
# The pattern of the shipped filter, without fail2ban's own words.
BANNABLE = re.compile(
    r'^\{"timestamp":"[^"]+","event_type":"(scan|trap|fleet)","verdict":"ban","src_ip":"(?P<address>[0-9a-f:.]+)",'
    r'"source_verified":(true|false),"scan_type":"\w+","technique":"\w+"[,}]'
)


def keys(event_class: type[Event]) -> list[str]:
    """The keys of a line in their order; `event_type` is the class and no field."""
    first, *others = (item.name for item in dataclasses.fields(event_class))
    return [first, "event_type", *others]


@cache
def documented() -> dict[str, list[str]]:
    """The keys in the first column of each table of docs/events.md, by event type."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        _, header, table = body.partition("| key | type |")
        if header:
            names = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
            found |= dict.fromkeys(title.split(" and "), names)  # `scan and trap` share a table
    return found


def test_the_committed_schema_is_the_one_of_the_dataclasses() -> None:
    committed = PACKAGE / "events/event.schema.json"
    assert committed.read_text(encoding="utf-8") == schema.text(), (
        "write it: python -m portsentry_py.events.schema > portsentry_py/events/event.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text()))


@pytest.mark.parametrize("event_class", EVENT_CLASSES)
def test_dataclass_schema_and_documentation_have_the_same_keys_in_the_same_order(event_class: type[Event]) -> None:
    parts = {part["title"]: part for part in schema.schema()["oneOf"]}
    assert list(parts[event_class.event_type]["properties"]) == keys(event_class)
    assert documented()[event_class.event_type] == keys(event_class)


def test_the_documentation_has_no_other_event() -> None:
    assert set(documented()) == {event_class.event_type for event_class in EVENT_CLASSES}


@pytest.mark.parametrize("event_class", EVENT_CLASSES)
def test_the_frozen_keys_come_first_and_the_schema_last(event_class: type[Event]) -> None:
    names = keys(event_class)
    frozen = FROZEN if issubclass(event_class, SourceEvent) else FROZEN[:3]
    assert names[: len(frozen)] == frozen
    assert names[-1] == "schema"
    assert len(set(names)) == len(names)
    assert SCHEMA_VERSION == 1


@pytest.mark.parametrize("event_class", EVENT_CLASSES)
def test_no_value_can_be_free_text(event_class: type[Event]) -> None:
    """Only the sensor itself or the operator may choose a text."""
    part = next(part for part in schema.schema()["oneOf"] if part["title"] == event_class.event_type)
    free = {
        name for name, shape in part["properties"].items() if shape.get("type") == "string" and "pattern" not in shape
    }
    assert free <= {"in_iface", "version"}


@pytest.mark.parametrize("profile", [profile for profile in PROFILES if profile != "default"])
def test_every_profile_writes_documented_words(profile: str) -> None:
    """The default profile is in every other test of this file."""
    settings = strict(profile=profile, traps=Traps(tcp=frozenset({21})))
    events = watch(settings, refused(syn(SCANNER, *range(1, 60), every=0.001)))
    assert evidence(events)
    for line in log_lines(events):
        validate(line)


def detectors() -> set[type]:
    """Every class in detectors/ that a profile runs."""
    return {
        type(one)
        for profile in PROFILES.values()
        for one in profile(Settings(), Tables(GroupTable(16), OutboundTable(), Questions()))
    }


def test_every_detector_is_in_some_profile() -> None:
    files = {path.stem for path in (PACKAGE / "core/detectors").rglob("[a-z]*.py")}
    assert {one.__module__.rpartition(".")[2] for one in detectors()} == files - {"base", "profiles"}


LATE = connect(FRIEND, 1, 2, 3, 4)
STRAY = syn("169.254.9.9", 1, 2, 3, 4)
TRAFFIC: dict[str, tuple[Settings, list[Sent]]] = {
    "scan and trap": (strict(), refused(syn(SCANNER, *range(11, 40)), syn(SCANNER, 23, at=9, src_port=9))),
    "ipv6 connect": (strict(), refused(connect(SCANNER6, *range(100, 120)))),
    "xmas over vlan": (strict(), [dataclasses.replace(one, vlan=9) for one in xmas(SCANNER, *range(5))]),
    "ignored": (strict(ignore=(ip_network("203.0.113.0/24"),)), refused(syn(SCANNER, *range(11, 40)))),
    "everything": (
        strict(connections="all"),
        in_time(visit(FRIEND, 80, 443), udp(SCANNER, 19, 161), syn(SCANNER, 1, 2), syn("169.254.9.9", 1, 2, 3, 4)),
    ),
    "answered late": (strict(), [*LATE, *map(syn_ack, LATE)]),
}


@cache
def every_event() -> list[Event]:
    found: list[Event] = []
    for settings, traffic in TRAFFIC.values():
        pipeline = Pipeline(settings, US)
        found += [*watch(pipeline, traffic), *pipeline.finish(), *pipeline.advance(micros(500))]
        found.append(status_event(pipeline, micros(500), "stopped", "signal", loss=lost(3), restarts=1, lines_lost=2))
    ban = Ban(SCANNER, 32, True, "port_scan", "syn", micros(600))
    return [*found, fleet_line(Change(True, ban, ("web1", "web2"), micros(600)), "ban", micros(500))]


def test_every_event_type_occurs() -> None:
    assert {type(event) for event in every_event()} == set(EVENT_CLASSES)


def test_every_line_keeps_the_schema_in_its_order() -> None:
    order = {event_class.event_type: keys(event_class) for event_class in EVENT_CLASSES}
    for line in log_lines(every_event()):
        record = validate(line)
        assert list(record) == [name for name in order[record["event_type"]] if name in record]


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "maybe"},
        {"src_ip": "evil.example\n"},
        {"timestamp": "2026-11-20T08:41:57Z"},
        {"dest_port": 70_000},
        {"comment": "hello"},
        {"schema": 2},
    ],
)
def test_the_schema_refuses_a_wrong_line(change: dict[str, object]) -> None:
    record = validate(log_lines(evidence(every_event()))[0])
    with pytest.raises(jsonschema.ValidationError):
        validate(json.dumps({**record, **change}).encode())


def test_the_filter_matches_the_bans_and_nothing_else() -> None:
    events = every_event()
    banned = 0
    for event, line in zip(events, log_lines(events), strict=True):
        match = BANNABLE.match(line.decode("ascii"))
        bans = event.event_type in {"scan", "trap", "fleet"} and getattr(event, "verdict", "") == "ban"
        assert bool(match) is bans
        if match:
            banned += 1
            assert match["address"] == getattr(event, "src_ip", None)
    assert banned


@no_deadline
@given(conversations())
def test_any_traffic_gives_lines_that_keep_the_contract(traffic: list[Sent]) -> None:
    for line in log_lines(watch(strict(connections="all"), traffic)):
        record = validate(line)
        assert bool(BANNABLE.match(line.decode("ascii"))) is (record["verdict"] == "ban")


# Interface names that a capture file may hold; a kernel accepts none of them.
HOSTILE = (
    'eth0","verdict":"ban","src_ip":"192.0.2.1',
    'x\n{"timestamp":"2026-11-20T11:42:18.830560Z","event_type":"scan","verdict":"ban"}',
    "x\r\ny",
    "a\tb",
    "\x1b[2J\x1b[31m",
    "x\0y",
    "x\x7f\x9b",
    "wl\u00e4n0",
    "\u2028\u2029\ufeff",
    "\\u000a",
    "a" * 300,
)
NAMES = st.sampled_from([*HOSTILE, "", "eth0", "br-1.7@x:2", "a,b"]) | st.text(max_size=70)
NAME = re.compile(INTERFACE)
NUMBERS = st.integers().map(str) | st.sampled_from(["", "0", "4095", "4096", "-1", "7,8", "\u0663", "1_0", "v"])


def one_line(line: bytes) -> dict[str, Any]:
    """The content of one line, in which no text is chosen by an outsider."""
    assert line.endswith(b"\n")
    assert re.fullmatch(rb"[\x20-\x7e]+", line[:-1]), line
    record = validate(line)
    assert json.dumps(record, separators=(",", ":")).encode() + b"\n" == line, "no blanks, no second spelling"
    names = keys(next(one for one in EVENT_CLASSES if one.event_type == record["event_type"]))
    assert list(record) == [name for name in names if name in record]
    for name in {"src_ip", "dest_ip"} & set(record):
        assert canonical_address(record[name]) == record[name]
    if "src_net" in record:
        network = ip_network(record["src_net"])
        assert network.prefixlen in ({24} if network.version == 4 else {64, 128})
    assert NAME.fullmatch(record.get("in_iface", "none"))
    assert 1 <= record.get("vlan", 1) <= 4095
    return record


@no_deadline
@given(st.one_of([events_of(event_class) for event_class in EVENT_CLASSES]))
def test_any_event_is_one_line_with_its_content(event: Event) -> None:
    (line,) = log_lines([event])
    record = one_line(line)
    assert record == to_record(event)
    assert bool(BANNABLE.match(line.decode("ascii"))) is (
        event.event_type in {"scan", "trap", "fleet"} and record["verdict"] == "ban"
    )


@no_deadline
@given(conversations(), NAMES, st.integers(0, 4095))
def test_no_interface_name_or_vlan_can_write_a_line(traffic: list[Sent], name: str, vlan: int) -> None:
    tagged = [dataclasses.replace(sent, iface=name.replace("\t", " "), vlan=vlan) for sent in traffic]
    for line in log_lines(watch(strict(connections="all"), tagged)):
        record = one_line(line)
        assert record.get("vlan", 0) in {0, vlan}
        assert record.get("in_iface", "") in {"", name.rsplit(",", 1)[-1].strip()}


@no_deadline
@given(conversations(), st.lists(st.tuples(NAMES, NUMBERS, NUMBERS), min_size=1, max_size=9))
def test_no_column_can_write_a_line(traffic: list[Sent], oddities: list[tuple[str, str, str]]) -> None:
    """Tshark may print any text in the place of a name or a number."""
    rows = []
    for nth, sent in enumerate(traffic):
        name, vlan, number = oddities[nth % len(oddities)]
        rows.append(with_cells(sent.line, iface=name, vlan=vlan))
        rows.append(with_cells(sent.line, proto=number, data="0800090900000000"))
    for line in log_lines(watch(strict(connections="all"), rows)):
        one_line(line)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_capture_file_cannot_write_into_the_log(tmp_path: Path, name: str) -> None:
    """The real tshark prints the name of the interface as the file has it."""
    require_tool("tshark")
    scan = [dataclasses.replace(sent, vlan=4095) for sent in syn(SCANNER, *range(20, 40))]
    path = write_pcapng(tmp_path / "x.pcapng", name, scan)
    replay = Replay(Settings(), (), find_tools(), lambda *_: None)
    records = [one_line(line) for line in log_lines(replay.events([path]))]
    assert {record["event_type"] for record in records} >= {"connection", "scan", "status"}
    assert {record.get("src_ip", SCANNER) for record in records} == {SCANNER}
    assert {record.get("vlan", 4095) for record in records} == {4095}


def test_the_shipped_filter_is_anchored_on_the_frozen_keys() -> None:
    text = (ROOT / "fail2ban" / "filter.d" / "portsentry-py.conf").read_text(encoding="utf-8")
    (failregex,) = re.findall(r"^failregex\s*=\s*(.*)$", text, flags=re.MULTILINE)
    positions = [failregex.find(f'"{name}":') for name in FROZEN]
    assert positions == sorted(positions)
    assert positions[0] == len(r"^\{")
