"""A host whose name servers do not answer is noticed, without waiting as long as fail2ban would."""

import pytest

from portsentry_py.checks import names


@pytest.mark.parametrize(("look_up", "is_slow"), [("import time; time.sleep(60)", True), ("", False), ("1/0", False)])
def test_a_look_up_that_takes_long_is_slow(look_up: str, monkeypatch: pytest.MonkeyPatch, *, is_slow: bool) -> None:
    monkeypatch.setattr(names, "_LOOK_UP", look_up)
    # Python itself takes a while to start on a busy machine.
    monkeypatch.setattr(names, "_LONGEST_SECONDS", 0.2 if is_slow else 60)
    assert names.own_name_is_slow() is is_slow
