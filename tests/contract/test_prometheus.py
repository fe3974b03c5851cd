"""The alert rules and the metrics agree, and promtool holds the rules to their unit tests."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.support import metrics_reference
from tests.support.needs import require_tool
from tests.support.paths import ROOT
from tests.support.running import ran

RULES = ROOT / "config/prometheus/portsentry-rules.yaml"
UNIT_TESTS = Path(__file__).with_name("prometheus") / "portsentry-rules.test.yaml"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def test_the_rules_hold_their_unit_tests() -> None:
    promtool = require_tool("promtool")
    for words in (("check", "rules", RULES), ("test", "rules", UNIT_TESTS)):
        done = ran(promtool, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_raised_and_not_raised_in_a_unit_test() -> None:
    names = [rule["alert"] for rule in rules()]
    quiet, troubled = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    assert [one["alertname"] for one in quiet["alert_rule_test"]] == names
    raised = [sample["labels"] for sample in troubled["promql_expr_test"][0]["exp_samples"]]
    assert [re.findall(r'alertname="(\w+)"', labels) for labels in raised] == [[name] for name in names]


def test_the_rules_name_metrics_and_labels_that_exist() -> None:
    known = metrics_reference.labels()
    for rule in rules():
        for name, _, matched in re.findall(r"(portsentry_\w+)(\{([^}]*)\})?", rule["expr"]):
            assert name in known
            assert set(re.findall(r"(\w+)=", matched)) <= known[name]
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= {"instance", "output"}
