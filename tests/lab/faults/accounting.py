"""What the log says against what came over the wire: which SYNs have no line, and whether that was reported.

Pure: the capture beside the sensor and the lines of the log go in, and what does not add up comes out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.lab.faults.reference import Capture, Key, Seen
from tests.lab.faults.sender import NETWORK

Line = dict[str, Any]
Gap = tuple[float, float]

# What a child had not handed on when it died is lost with it: dumpcap's timer and ours.
_TAKEN_ALONG_SECONDS = 1.0
# So much earlier a capture that says nothing has fallen silent: it has fifteen seconds for its first line.
_UNNOTICED_SECONDS = {"stalled": 20.0}
_NEVER = float("inf")
_COUNTS = ("packets_decoded", "packets_ignored", "packets_malformed")
_UNDECODED = ("packets_dropped", "packets_missed", "packets_pending")


@dataclass(frozen=True)
class Accounting:
    """What was lost, and what of it was not reported; `wrong` is what no fault excuses."""

    came: int
    lost: list[Seen]
    unreported: list[Seen]
    wrong: list[str]
    reported: str

    def blind_seconds(self, since: float, syns: Sequence[Seen]) -> float:
        """The longest time, from `since` on, in which one SYN after the other was lost."""
        lost, longest, begun = set(self.lost), 0.0, since
        for seen in syns:
            if seen in lost:
                begun = min(begun, max(since, seen.time))
            elif begun < seen.time:
                longest, begun = max(longest, seen.time - begun), _NEVER
        return longest


def account(capture: Capture, lines: Sequence[Line], gaps: Iterable[Gap] = (), *, counted: bool = True) -> Accounting:
    """Compare them.

    Args:
        capture: of the reference capture.
        lines: all of the log, in their order.
        gaps: times (seconds since 1970) about which the sensor cannot tell by itself: it was dead.
        counted: what is lost in a gap that was reported is counted too.
    """
    statuses = [line for line in lines if line["event_type"] == "status"]
    reported = Counter(key_of(line) for line in lines if line["event_type"] == "connection")
    lost = [seen for seen in capture.syns if seen.key not in reported]
    dead = list(gaps)
    outside = [seen for seen in lost if not _within(seen, [*dead, *reported_gaps(statuses)])]
    last = statuses[-1]
    anywhere = last["packets_dropped"] + last["lines_lost"]
    of_a_live_sensor = [seen for seen in lost if not _within(seen, dead)]
    uncounted = of_a_live_sensor[anywhere + last["packets_missed"] :] if counted else []
    return Accounting(
        came=len(capture.syns),
        lost=lost,
        unreported=outside if len(outside) > anywhere else uncounted,
        wrong=[
            *_miscounted(reported, {seen.key for seen in capture.syns}),
            *(wrong for status in statuses for wrong in imbalances(status)),
        ],
        reported=_in_words(statuses, last),
    )


def _within(seen: Seen, gaps: Iterable[Gap]) -> bool:
    return any(begin <= seen.time <= end for begin, end in gaps)


def reported_gaps(statuses: Iterable[Line]) -> list[Gap]:
    """Each time in which the capture broke off, as the status lines tell it.

    A capture that broke off again without any packet does not end a gap.
    """
    found: list[Gap] = []
    begun: float | None = None
    again = (0.0, 0)
    for status in statuses:
        now = time_of(status)
        if status["state"] == "interrupted" and begun is None:
            since, packets = again
            unnoticed = now - _UNNOTICED_SECONDS.get(status["reason"], _TAKEN_ALONG_SECONDS)
            begun = min(since, unnoticed) if packets == status["packets"] else unnoticed
        elif status["state"] == "restarted" and begun is not None:
            found.append((begun, now))
            begun, again = None, (now, status["packets"])
    return [*found, (begun, _NEVER)] if begun is not None else found


def imbalances(status: Line) -> list[str]:
    """Which sums of a status line are wrong."""
    given = sum(status[name] for name in _COUNTS)
    seen = given + sum(status[name] for name in _UNDECODED)
    wrong = []
    if status["packets"] != given:
        wrong.append(f"`packets` {status['packets']} is not the sum {given} of its parts: {status}")
    if status["packets_seen"] != seen:
        wrong.append(f"`packets_seen` {status['packets_seen']} is not the sum {seen} of its parts: {status}")
    return wrong


def key_of(line: Line) -> Key:
    """The SYN that a connection line is about."""
    return line["src_ip"], line["src_port"], line["dest_ip"], line["dest_port"]


def time_of(line: Line) -> float:
    """A line's time in seconds since 1970."""
    return datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")).timestamp()


def _miscounted(reported: Counter[Key], came: set[Key]) -> list[str]:
    twice = [key for key, number in reported.items() if number > 1]
    invented = [key for key in reported if key not in came and key[0].startswith(NETWORK)]
    return [
        *([f"{len(twice)} SYNs have more than one line, as {twice[0]}"] if twice else []),
        *([f"{len(invented)} lines are about SYNs that did not come, as {invented[0]}"] if invented else []),
    ]


def _in_words(statuses: Sequence[Line], last: Line) -> str:
    """What the status lines tell of it."""
    states = [
        f"`{status['state']}` (`{status['reason']}`)"
        for status in statuses
        if status["state"] in {"interrupted", "restarted"}
    ]
    kinds = Counter(states)
    parts = [kind if number == 1 else f"{number} times {kind}" for kind, number in kinds.items()]
    counts = ("packets_dropped", "packets_missed", "packets_malformed", "lines_lost", "renewals")
    parts += [f"`{name}` {last[name]}" for name in counts if last[name]]
    return ", ".join(parts)
