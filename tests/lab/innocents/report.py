"""The host-days as a page: how many, who was banned in them and by which evidence, and how sure that is."""

import inspect
import json
from collections import Counter
from collections.abc import Sequence

from tests.lab.innocents.host_day import HABITS, Outcome, name_of
from tests.lab.support.intervals import share, upper_bound
from tests.lab.support.tables import count, table

PAGE = "innocents.md"
_HEAD = """# Innocents

Written by `make innocents`: ordinary days of a host, made by chance from a seed and judged by the core with its default
settings, in simulated time. Each day has a host with a role (web, mail, telephone, recorder, VPN ...), in a public
network or behind NAT, with a firewall that refuses or drops, and with or without a socket table to look at; and five to
twelve habits of visitors, servers and neighbours from the table below, with their own addresses, times and numbers.
A third of the days lose up to a tenth of their packets, a third have packets up to 20 ms late, and a third have each
packet twice, as a capture of a VLAN and its parent has them. Nobody in them is a scanner. The exit code is 1 if one of
them is banned. One kind is known and has no rule: a server that calls us
back (a chat server that checks for open proxies, a file server with data), where the sensor reads no socket table and
lost the SYN of our call to it. What is left of that call is a SYN-ACK, which any scanner can send.
`python -m tests.lab.innocents --first N --days 1` plays the day of number N again.
"""
_MOST_LINES = 60
_KEYS = (
    *("verdict", "src_ip", "source_verified", "scan_type", "technique", "reason", "ports", "ports_sample", "hosts"),
    *("attempts", "closed", "open", "touches", "first_seen", "last_seen"),
)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The page."""
    parts = [_HEAD, summary(outcomes), "## By habit\n", _by_habit(outcomes), "## Each ban\n", _bans(outcomes)]
    return "\n".join(parts).rstrip() + "\n"


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures in a few sentences."""
    bans = sum(len(one.bans) for one in outcomes)
    days = sum(bool(one.bans) for one in outcomes)
    scans = [one.scanner_banned for one in outcomes if one.scanner_banned is not None]
    return (
        f"{count(len(outcomes))} host-days with {count(sum(one.packets for one in outcomes))} packets: {bans} bans of "
        f"innocents, on {days} days. With 95 % confidence (exact, one-sided), such a day has a ban in less than "
        f"{100 * upper_bound(days, len(outcomes)):.2f} % of the cases.\n\n"
        f"To see that the days hide nobody, a SYN scan of forty ports was added to {len(scans)} of them: "
        f"{share(sum(scans), len(scans))} banned.\n"
    )


def evidence(line: str) -> str:
    """What matters in a line."""
    record = json.loads(line)
    return json.dumps({key: record[key] for key in _KEYS if key in record})


def _by_habit(outcomes: Sequence[Outcome]) -> str:
    days = Counter(habit for one in outcomes for habit in one.habits)
    watched = Counter(habit for one in outcomes for habit in one.watched)
    bans = Counter(habit for one in outcomes for ban in one.bans for habit in ban.habits)
    with_bans = Counter(habit for one in outcomes for habit in {habit for ban in one.bans for habit in ban.habits})
    rows = [
        (
            name,
            _about(inspect.getdoc(habit) or ""),
            days[name],
            bans[name],
            f"{100 * upper_bound(with_bans[name], days[name]):.1f} %" if days[name] else "-",
            watched[name],
        )
        for habit in HABITS
        for name in [name_of(habit)]
    ]
    return table(("habit", "what happens", "host-days", "bans", "days with a ban, at most (95 %)", "watched"), rows)


def _about(docstring: str) -> str:
    return " ".join(docstring.split())


def _bans(outcomes: Sequence[Outcome]) -> str:
    bans = [ban for one in outcomes for ban in one.bans]
    if not bans:
        return "Nobody was banned.\n"
    rows = [(ban.day, ", ".join(ban.habits), f"`{evidence(ban.line)}`") for ban in bans[:_MOST_LINES]]
    rest = f"\nAnd {len(bans) - _MOST_LINES} more.\n" if len(bans) > _MOST_LINES else ""
    return table(("day", "habit", "evidence"), rows) + rest
