"""The sample lines are as the sensor writes them."""

from __future__ import annotations

import json

from portsentry_py.fail2ban.samples import event_line


def test_the_lines_begin_as_the_contract_says() -> None:
    line = event_line("203.0.113.9")

    assert list(json.loads(line))[:7] == [
        "timestamp",
        "event_type",
        "verdict",
        "src_ip",
        "source_verified",
        "scan_type",
        "technique",
    ]
