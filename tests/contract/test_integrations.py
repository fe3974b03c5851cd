"""The snippets for programs that ship logs agree with the line, with each other and with the table of the docs."""

import re
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

import pytest
import yaml

from portsentry_py.config.settings import DEFAULT_LOG
from portsentry_py.events.model import EVENT_CLASSES, utc
from tests.support.paths import DOCS, ROOT

FOLDER = ROOT / "config/integrations"
LABELS = {"event_type", "verdict"}
KEYS = list(dict.fromkeys(["timestamp", "event_type", *(item.name for one in EVENT_CLASSES for item in fields(one))]))


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def read(name: str) -> Any:
    return yaml.safe_load(text(name))


def mapping() -> dict[str, tuple[str, str]]:
    """The table of the docs: the names of each key in EVE and in ECS, empty where there is none."""
    page = (DOCS / "integrations.md").read_text(encoding="utf-8").partition("\n## EVE and ECS\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (?:`([\w.@]+)`)?[^|]*\| (?:`([\w.@]+)`)?[^|]*\|$", page, re.MULTILINE)
    return {key: (eve, ecs) for key, eve, ecs in rows}


def test_the_table_has_every_key_of_the_line_in_order() -> None:
    assert list(mapping()) == KEYS


def test_a_key_has_the_name_that_eve_has_for_it() -> None:
    """So that what reads Suricata's log reads ours."""
    assert {key: eve for key, (eve, _) in mapping().items() if eve not in {"", key}} == {}


def test_filebeat_gives_the_keys_the_names_of_the_table() -> None:
    (source,) = read("filebeat.yml")["filebeat.inputs"]
    assert source["parsers"][0]["ndjson"]["target"] == "portsentry"
    processors = {name: one for step in read("filebeat.yml")["processors"] for name, one in step.items()}
    renamed = {one["from"].removeprefix("portsentry."): one["to"] for one in processors["rename"]["fields"]}
    assert processors["timestamp"]["field"] == "portsentry.timestamp"
    assert {"timestamp": "@timestamp", **renamed} == {key: ecs for key, (_, ecs) in mapping().items() if ecs}


def test_the_layouts_of_time_read_the_times_of_the_line() -> None:
    moment = utc(1_795_000_000_123_456)
    processors = {name: one for step in read("filebeat.yml")["processors"] for name, one in step.items()}
    (layout,) = processors["timestamp"]["layouts"]
    # Go's reference time, each of its fields at the place where the line has it.
    assert re.sub(r"\d", "0", layout) == re.sub(r"\d", "0", moment)
    (form,) = re.findall(r"Time_Format +(\S+)", text("fluent-bit-parsers.conf"))
    found = datetime.strptime(moment, form.replace("%L", "%f")).replace(tzinfo=timezone.utc)
    assert found.isoformat() == moment.replace("Z", "+00:00")
    for name in ("promtail.yaml", "alloy.alloy"):
        assert "RFC3339Nano" in text(name)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_every_snippet_reads_the_log_of_the_sensor(name: str) -> None:
    if name != "fluent-bit-parsers.conf":
        assert DEFAULT_LOG in text(name)
    assert f"({'../config/integrations/' + name})" in (DOCS / "integrations.md").read_text(encoding="utf-8")


def test_loki_gets_few_labels() -> None:
    """A label with addresses would make a stream for each scanner."""
    (job,) = read("promtail.yaml")["scrape_configs"]
    stages = {name: one for stage in job["pipeline_stages"] for name, one in stage.items()}
    assert set(stages["labels"]) == LABELS
    assert {key: key for key in (*LABELS, "timestamp")} == stages["json"]["expressions"]
    assert set(job["static_configs"][0]["labels"]) == {"job", "__path__"}
    labels = read("vector.yaml")["sinks"]["loki"]["labels"]
    assert {name: re.sub(r"[{} ]", "", value) for name, value in labels.items()} == {
        "job": "portsentry",
        **{name: name for name in LABELS},
    }
    (keys,) = re.findall(r"Label_Keys +(\S+)", text("fluent-bit.conf"))
    assert {key.removeprefix("$") for key in keys.split(",")} == LABELS
    (values,) = re.findall(r"values = \{(.*)\}", text("alloy.alloy"))
    assert set(re.findall(r"(\w+) = ", values)) == LABELS


def test_fluent_bit_finds_its_parser() -> None:
    (parser,) = re.findall(r"^    Parser +(\S+)", text("fluent-bit.conf"), re.MULTILINE)
    assert re.findall(r"Name +(\S+)", text("fluent-bit-parsers.conf")) == [parser]
    assert "Parsers_File  fluent-bit-parsers.conf" in text("fluent-bit.conf")


def test_the_parts_of_alloy_are_connected() -> None:
    """Each component that is named is defined, and braces match."""
    alloy = re.sub(r"^//.*$", "", text("alloy.alloy"), flags=re.MULTILINE)
    assert [alloy.count(one) for one in "{["] == [alloy.count(one) for one in "}]"]
    defined = {".".join(parts) for parts in re.findall(r'^(\S+) "(\w+)" \{', alloy, re.MULTILINE)}
    assert set(re.findall(r"(\w+\.[\w.]+)\.(?:receiver|targets)", alloy)) <= defined
    assert len(defined) == 6
