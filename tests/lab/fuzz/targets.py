"""The targets by name. Nothing of the sensor is imported here: the fuzzer has to be there first."""

from typing import NamedTuple

from tests.support.paths import PACKAGE


class Target(NamedTuple):
    """What is fuzzed, and how.

    Attributes:
        about: what goes in.
        inputs: tried without other wish; 0: until the time is over.
        seconds: the longest time for them.
        longest: bytes of an input.
        modules: those of the sensor whose branches guide the search; none: nothing guides it.
    """

    about: str
    inputs: int
    seconds: int
    longest: int
    modules: frozenset[str] = frozenset()


_CORE = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in (PACKAGE / "core").rglob("[a-z]*.py")}

TARGETS = {
    "columns": Target("lines of tshark's", 10_000_000, 3600, 2048, frozenset(_CORE | {"events.model"})),
    "configuration": Target(
        "configuration files", 0, 600, 4096, frozenset({"config.document", "config.loader", "config.values"})
    ),
    "status": Target(
        "logs, and fail2ban's answers",
        0,
        600,
        16_384,
        frozenset({"report.log_reader", "report.overview", "report.terminal", "fail2ban.jails"}),
    ),
    "jail": Target("log lines before fail2ban's filter", 0, 600, 16_384),
    "captures": Target("capture files before tshark", 0, 600, 65_536),
    "output": Target("what a program in tshark's place says", 0, 300, 65_536),
}
