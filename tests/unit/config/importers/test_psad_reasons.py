"""Every option of psad has a reason, but its default values."""

import pytest

from portsentry_py.config.importers.psad_reasons import reason_for


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("DANGER_LEVEL1", "5", ""),
        ("DANGER_LEVEL1", "6", "thresholds"),
        ("EMAIL_ALERT_DANGER_LEVEL", "1", "thresholds"),
        ("IGNORE_INTERFACES", "NONE", ""),
        ("DSHIELD_USER_ID", "0", "reports to nobody"),
        ("ENABLE_WHOIS_LOOKUPS", "Y", "looks nobody up"),
        ("MAIL_ALERT_PREFIX", "x", "write the mail"),
        ("FW_MSG_SEARCH", "DROP", "not the log of the firewall"),
        ("iptablesCmd", "/sbin/iptables", "runs none of these programs"),
        ("PSAD_DIR", "/x", "of psad's own"),
        ("EXTERNAL_SCRIPT", "x", "put it into a script"),
        ("NEW", "x", "no such option"),
    ],
)
def test_the_reason_fits_the_option(name: str, text: str, words: str) -> None:
    reason = reason_for(name, text)
    assert words in reason
    assert bool(words) == bool(reason)
