"""What was refused, of whom and why: counted, and reported in one line an hour for each cause."""

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from portsentry_py.events.model import Reason

_Message = Literal["too_large", "malformed", "unknown_host", "flood", "contacts", "future", "old", "replayed"]
_Ban = Literal["expired", "not_public", "fleet_allowlist", "quota_new", "quota_active", "capped", "full"]
Refusal = Literal[_Message, _Ban]
_QUIET_US = 3_600_000_000
UNKNOWN = "?"
FLEET = "*"
"""What several hosts report together is no host's own fault."""
_WORDS: dict[Refusal | Reason, str] = {
    "too_large": "a message that is too long",
    "malformed": "a message that is none of ours",
    "unknown_host": "a message of a host that is not in the roster",
    "flood": "more messages than a host can have to send; some are not read",
    "contacts": "more contacts than a host of a fleet of this size reports; some are not counted",
    "future": "a message from the future: compare the clocks",
    "old": "a live message that is old: compare the clocks",
    "replayed": "a message that is older than another one of this host",
    "expired": "a ban that is over",
    "not_public": "a ban of an address that is not public; `site` can permit it",
    "fleet_allowlist": "a ban of an address on the allowlist of the fleet",
    "quota_new": "more new bans than new_per_minute permits; it is muted",
    "quota_active": "more bans than max_active permits; it is muted",
    "capped": "a ban that is longer than max_ban_seconds; it was shortened",
    "full": "more bans than this host can hold",
}


class Refusals:
    """Counts of each cause for each host; names that are not in the roster count as one."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._reported: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str], str] = {}

    def add(self, host: str, why: Refusal | Reason, now_us: int, example: str = "") -> None:
        """Count one; `example` is a source in canonical form."""
        key = (host, why)
        self.counts[key] += 1
        if now_us - self._reported.get(key, -_QUIET_US) >= _QUIET_US:
            self._reported[key] = now_us
            text = _WORDS.get(why, f"a ban of an address that must never be banned here ({why})")
            self._waiting[key] = f"{host}: {text}{f', such as {example}' if example else ''}."

    def sentences(self) -> Iterator[str]:
        """One sentence for each cause that is new, or was not reported for an hour."""
        waiting, self._waiting = self._waiting, {}
        yield from waiting.values()
