"""The sample lines begin like the lines of the sensor."""

import json

from portsentry_py.fail2ban.samples import event_line

FROZEN = ["timestamp", "event_type", "verdict", "src_ip", "source_verified", "scan_type", "technique"]


def test_a_line_begins_with_the_frozen_keys() -> None:
    line = event_line("203.0.113.9")

    assert list(json.loads(line))[:7] == FROZEN
