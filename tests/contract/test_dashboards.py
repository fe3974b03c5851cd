"""The dashboards for Grafana: whole, free of one installation's names, and about metrics and keys that exist."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from portsentry_py.events.model import EVENT_CLASSES
from tests.support import metrics_reference
from tests.support.grafana_schema import complaints
from tests.support.needs import require_tool
from tests.support.paths import ROOT
from tests.support.running import ran

FOLDER = ROOT / "config/grafana"
KINDS = ("loki", "prometheus")
COLUMNS = 24
PANELS = {"row", "stat", "timeseries", "bargauge", "table", "logs"}
LABELS = {"job", "event_type", "verdict"}
_OF_EVERY_CLIENT = {"portsentry_process_resident_memory_bytes": {"instance"}}
# What Grafana fills in before it asks.
_FILLED = {"$__rate_interval": "5m", "$__interval": "5m", "$__range": "1h", "$instance": ".*"}


def dashboard(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    return found


def targets(kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for panel in dashboard(kind)["panels"]:
        for target in panel.get("targets", ()):
            yield panel, target


def test_there_is_one_for_each_kind_of_data() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(KINDS)
    assert len({dashboard(kind)["uid"] for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_belongs_to_no_installation(kind: str) -> None:
    whole = dashboard(kind)
    assert whole["id"] is None
    assert "__inputs" not in whole
    variable = whole["templating"]["list"][0]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", kind)
    sources = [panel["datasource"] for panel in whole["panels"] if panel["type"] != "row"]
    sources += [target["datasource"] for _, target in targets(kind)]
    sources += [one["datasource"] for one in whole["templating"]["list"] if one["type"] == "query"]
    assert sources == [{"type": kind, "uid": "${datasource}"}] * len(sources)
    variables = {one["name"] for one in whole["templating"]["list"]} | {"__rate_interval", "__interval", "__range"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(whole))) <= variables


@pytest.mark.parametrize("kind", KINDS)
def test_grafanas_own_schema_knows_every_key_and_value(kind: str) -> None:
    assert complaints(dashboard(kind)) == []


def test_a_key_or_a_word_that_grafana_does_not_know_is_found() -> None:
    whole = dashboard("prometheus")
    panel = next(one for one in whole["panels"] if one["type"] == "timeseries")
    panel["options"]["legend"]["displayMode"] = "shown"
    panel["fieldConfig"]["defaults"]["custom"]["lineColour"] = "red"
    panel["gridPos"]["w"] = "12"
    whole["refresh"] = 3
    wrong = " ".join(complaints(whole))
    for words in ("'shown' is no", "lineColour: unknown", "w: '12' is no int", ".refresh: 3"):
        assert words in wrong


@pytest.mark.parametrize("kind", KINDS)
def test_its_panels_have_an_identity_and_a_place_of_their_own(kind: str) -> None:
    panels = dashboard(kind)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= PANELS
    assert all(panel["title"] for panel in panels)
    for panel in panels:
        places = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(places)) == len(places)
        assert bool(places) == (panel["type"] != "row")
    boxes = [panel["gridPos"] for panel in panels]
    assert all(box["x"] + box["w"] <= COLUMNS for box in boxes)
    for one, other in combinations(boxes, 2):
        assert not all(
            one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh")
        )


def test_promtool_understands_every_query(tmp_path: Path) -> None:
    queries = [target["expr"] for _, target in targets("prometheus")]
    for variable, value in _FILLED.items():
        queries = [query.replace(variable, value) for query in queries]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = ran(require_tool("promtool"), "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 20


def test_every_metric_is_on_the_dashboard_with_labels_that_it_has() -> None:
    known = {**metrics_reference.labels(), **_OF_EVERY_CLIENT}
    used: set[str] = set()
    for panel, target in targets("prometheus"):
        for name, matched in re.findall(r"(portsentry_\w+)\{([^}]*)\}", target["expr"]):
            used.add(name)
            assert set(re.findall(r"(\w+)[=!]", matched)) <= known[name] | {"instance"}, panel["title"]
        assert set(re.findall(r"portsentry_\w+", target["expr"])) <= used, f"{panel['title']}: without the instance"
    unused = set(metrics_reference.labels()) - used
    assert {re.sub("_(sum|count)$", "", name) for name in unused} <= {
        "portsentry_build_info",
        "portsentry_ban_line_delay_seconds",
    }


def test_the_queries_to_loki_name_keys_of_the_line() -> None:
    keys = {item.name for one in EVENT_CLASSES for item in fields(one)}
    for panel, target in targets("loki"):
        query = target["expr"]
        assert set(re.findall(r'(\w+)="\$?[\w.]+"', re.findall(r"\{([^}]*)\}", query)[0])) <= LABELS, panel["title"]
        for extracted in re.findall(r"\| json ((?:\w+=\"\w+\"(?:, )?)+)", query):
            assert set(re.findall(r'="(\w+)"', extracted)) <= keys, panel["title"]
        for opening, closing in ("()", "[]", "{}"):
            assert query.count(opening) == query.count(closing)
