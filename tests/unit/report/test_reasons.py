"""Every word of `reason` has a rule, and each rule leads to a heading of the docs."""

import re
from typing import get_args

import pytest

from portsentry_py.config.settings import Settings
from portsentry_py.events.model import Reason
from portsentry_py.report.reasons import RULES, UNKNOWN
from tests.support.paths import DOCS
from tests.support.setting_keys import keys

HEADINGS = re.findall(r"^## (.*)$", (DOCS / "detection.md").read_text("utf-8"), re.MULTILINE)
KEYS = {".".join(path[: nth + 1]) for path, _ in keys(Settings) for nth in range(len(path))}


def test_every_reason_has_a_rule() -> None:
    assert list(RULES) == list(get_args(Reason))


@pytest.mark.parametrize("rule", [*RULES.values(), UNKNOWN])
def test_a_rule_is_in_sentences_and_leads_to_the_docs(rule: object) -> None:
    assert isinstance(rule, type(UNKNOWN))
    assert rule.heading in HEADINGS
    assert rule.page.endswith("#" + rule.heading.lower().replace(" ", "-"))
    for text in (rule.sentence, rule.change):
        assert text.endswith(".")
        assert text[0].isupper() or text[0] == "`"
        for named in re.findall(r"`([a-z_.]+)[:`]", text):
            assert named in KEYS | {"source_verified"}, named
