"""Why an option of psad has no equivalent."""

import re

from portsentry_py.config.importers import actions

_LEVELS = {
    f"DANGER_LEVEL{level}": packets for level, packets in zip(range(1, 6), (5, 15, 150, 1500, 10_000), strict=True)
}
_HOSTS = {f"DL{level}_UNIQUE_HOSTS": hosts for level, hosts in zip(range(1, 6), (10, 20, 50, 100, 500), strict=True)}
_RANGES = {"PORT_RANGE_SCAN_THRESHOLD": 1, "PORT_RANGE_SWEEP_THRESHOLD": 0, "PROTOCOL_SCAN_THRESHOLD": 5}
_DEFAULTS = {
    **{name: str(value) for name, value in {**_LEVELS, **_HOSTS, **_RANGES}.items()},
    "IGNORE_INTERFACES": "NONE",
    "IGNORE_PROTOCOLS": "NONE",
    "EXTERNAL_NET": "any",
    "MIN_DANGER_LEVEL": "1",
    "AUTO_IDS_DANGER_LEVEL": "5",
    "ENABLE_AUTO_IDS_REGEX": "N",
}
# The first row whose words fit at the beginning of the name.
_REASONS = tuple(
    (re.compile(words), reason)
    for words, reason in (
        ("HOME_NET|IGNORE_PORTS|AUTO_IDS_DANGER_LEVEL", ""),
        ("EXTERNAL_(BLOCK_)?SCRIPT", actions.PUT_IN_A_SCRIPT),
        ("IGNORE_INTERFACES", "name the interfaces to watch in interfaces"),
        ("IGNORE_PROTOCOLS", "the sensor judges every protocol"),
        (r"\w*DANGER_LEVEL|DL\d_|PORT_RANGE|PROTOCOL_SCAN", "the profile psad has psad's own thresholds"),
        (r"\w*DSHIELD", "the sensor reports to nobody"),
        (r"\w*(WHOIS|DNS_LOOKUP|IP_INFO)", "the sensor looks nobody up"),
        (r"\w*(EMAIL|MAIL_|ALERT_ALL)", "fail2ban's actions write the mail"),
        (r"\w*REPUTATION", "the sensor has no list of bad addresses"),
        (r"\w*(SIG|SNORT|SHELLCODE|POSF|P0F|EXPECT_TCP)|ORACLE|HTTP|[A-Z]+_SERVERS", "the sensor has no Snort rules"),
        ("PSADWATCHD|DISK_|ENABLE_PSADWATCHD", "systemd watches the service, logrotate its log"),
        ("STATUS_|TOP_|ENABLE_SCAN_ARCHIVE|MIN_ARCHIVE|TRUNCATE", "portsentry-py status and the log tell this"),
        (
            r"\w*(FW_|IPT_|SYSLOG|PREFIX|JOURNALCTL|KERNEL_TIME|CONNTRACK|OVERRIDE_FW|IPTABLES|IFCFG)",
            "the sensor reads packets, not the log of the firewall",
        ),
        (r"\w+Cmd|whois\w*", "the sensor runs none of these programs"),
        (r"\w*(_DIR|_FILE|_PATTERN|_SOCK|_LOG|_ROOT|_HASH)\b", "a file or a directory of psad's own"),
        (
            "SCAN_TIMEOUT|PERSIST|ENABLE_PERSIST|CHECK_INTERVAL|IMPORT_OLD|MAX_SCAN|MAX_HOPS",
            "the sensor decides by itself what it remembers (limits, state)",
        ),
    )
)
_OTHER = "the sensor has no such option"


def reason_for(name: str, text: str) -> str:
    """Why the option is left out; empty where nothing is lost."""
    if _DEFAULTS.get(name) == text:
        return ""
    return next((reason for words, reason in _REASONS if words.match(name)), _OTHER)
