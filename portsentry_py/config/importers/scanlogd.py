"""scanlogd's params.h: its options are compiled in."""

import re

from portsentry_py.config.importers.imported import Imported, Note
from portsentry_py.config.importers.source import Source

LINE = re.compile(r"#\s*(define|undef)\s+(\w+)\s*(.*)")
_INTERFACE = re.compile(r'"([\w.:@-]{1,15})"', re.ASCII)
# What the profile has.
_DEFAULTS = {
    "PORT_WEIGHT_PRIV": "3",
    "PORT_WEIGHT_HIGH": "1",
    "SCAN_MIN_COUNT": "7",
    "SCAN_MAX_COUNT": "(SCAN_MIN_COUNT*PORT_WEIGHT_PRIV)",
    "SCAN_WEIGHT_THRESHOLD": "SCAN_MAX_COUNT",
    "SCAN_DELAY_THRESHOLD": "(CLK_TCK*3)",
}
_REASONS = (
    (re.compile("SCANLOGD_DEVICE"), "not the name of an interface; name it in interfaces"),
    (re.compile("SCANLOGD_(USER|CHROOT)"), "the service has the user portsentry"),
    (re.compile("SCANLOGD_(PROMISC|PCAP_FILTER)"), "the sensor chooses what it captures"),
    (re.compile("LOG_|SYSLOG_"), "the lines are JSON in a file, with rate limits of their own (lines)"),
    (re.compile("LIST_|HASH_"), "the tables of the sensor have bounds of their own (limits)"),
    (re.compile("PORT_|SCAN_"), "the profile scanlogd has scanlogd's own thresholds"),
)


def read(source: Source) -> Imported:
    """The profile, and the interface.

    Raises:
        InputError: never; what is no option is C.
    """
    settings: dict[str, object] = {"profile": "scanlogd"}
    notes = [Note("scanlogd", source.path.name, "it bans nobody; switch off the jail that reads its lines")]
    for number, line in enumerate(source.text.splitlines(), start=1):
        found = LINE.match(line.strip())
        if found is None or found[1] == "undef":
            continue
        name, value = found[2], found[3].partition("/*")[0].strip()
        interface = _INTERFACE.fullmatch(value)
        if name == "SCANLOGD_DEVICE" and interface:
            settings["interfaces"] = ["any" if interface[1] == "all" else interface[1]]
        elif "".join(value.split()) != _DEFAULTS.get(name):
            notes += [Note(name, source.place(number), reason) for words, reason in _REASONS if words.match(name)][:1]
    return Imported(settings, notes=tuple(notes))
