"""`tail`: the log as it is written, in readable lines."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, get_args

import click

from portsentry_py.cli.options import command, config_option, flag, log_option, networks, option
from portsentry_py.config.loader import load
from portsentry_py.config.settings import KnownScanner
from portsentry_py.errors import ReaderGone
from portsentry_py.events.model import EVENT_CLASSES, Event, Technique, Verdict, moment
from portsentry_py.events.readable import Part, readable
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.line_filter import ANY_SCANNER, LineFilter
from portsentry_py.report.log_reader import log_path, read_event
from portsentry_py.text import printable

_POLL_SECONDS = 0.25
_LONGEST_SHOWN = 200


class _Line(NamedTuple):
    """A line of the log; `event` is None if it is not the sensor's."""

    text: bytes
    event: Event | None


def _words(*words: str) -> click.Choice[str]:
    return click.Choice(words)


@command()
@config_option
@log_option
@option("-n", "--lines", type=click.IntRange(0, 100_000), default=10, help="Lines of the past to begin with.")
@option(
    "--verdict",
    multiple=True,
    type=_words(*get_args(Verdict)),
    show_default="all",
    help="Lines with this verdict; may be repeated.",
)
@option(
    "--event-type",
    multiple=True,
    type=_words(*(kind.event_type for kind in EVENT_CLASSES)),
    show_default="all",
    help="Lines of this event type; may be repeated.",
)
@option("--net", multiple=True, show_default="all", help="Lines about sources in this network; may be repeated.")
@option(
    "--technique",
    multiple=True,
    type=_words(*get_args(Technique)),
    show_default="all",
    help="Lines of this detector; may be repeated.",
)
@option(
    "--known",
    multiple=True,
    type=_words(ANY_SCANNER, *get_args(KnownScanner)),
    show_default="all lines",
    help=f"Lines about this known scanner, or `{ANY_SCANNER}`; may be repeated.",
)
@flag("--utc", help="Show times in UTC, not in local time.")
@flag("--json", "as_json", help="Print the lines as they are in the log.")
@flag("--once", help="End after the lines of the past.")
def tail(
    *,
    config: Path | None,
    log: str | None,
    lines: int,
    verdict: tuple[str, ...],
    event_type: tuple[str, ...],
    net: tuple[str, ...],
    technique: tuple[str, ...],
    known: tuple[str, ...],
    utc: bool,
    as_json: bool,
    once: bool,
) -> None:
    """Follow the log in readable lines, until Ctrl-C.

    The last lines come first. A line that is not the sensor's has a question mark; --json and filters leave it out.
    """
    wanted = LineFilter(
        frozenset(verdict), frozenset(event_type), frozenset(technique), frozenset(known), networks("--net", net)
    )
    path = log_path(log or load(config).log)
    with closing(LogFollower(path)) as follower, suppress(KeyboardInterrupt), _reader_may_leave():
        for line in deque(_taken(follower, wanted, as_json=as_json), maxlen=lines):
            _show(line, utc=utc, as_json=as_json)
        while not once:
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
            for line in _taken(follower, wanted, as_json=as_json):
                _show(line, utc=utc, as_json=as_json)


def _taken(follower: LogFollower, wanted: LineFilter, *, as_json: bool) -> Iterator[_Line]:
    for text in follower.lines():
        try:
            event = read_event(text)
        except (ValueError, RecursionError):
            if wanted.takes_all and not as_json and text:
                yield _Line(text, None)
            continue
        if wanted.takes(event):
            yield _Line(text, event)


def _show(line: _Line, *, utc: bool, as_json: bool) -> None:
    if as_json:
        click.echo(line.text)
        return
    if line.event is None:
        parts: list[Part] = [(f"? {printable(line.text[:_LONGEST_SHOWN].decode('ascii', 'replace'))}", "dim")]
    else:
        parts = readable(line.event, _moment(line.event.timestamp, utc=utc))
    click.echo("".join(_styled(*part) for part in parts), color=False if "NO_COLOR" in os.environ else None)


def _styled(text: str, style: str) -> str:
    """The text in its style; `echo` removes that where standard output is no terminal."""
    colors = {"red", "yellow"}.intersection(style.split())
    return click.style(text, fg=colors.pop() if colors else None, bold="bold" in style, dim="dim" in style)


def _moment(timestamp: str, *, utc: bool) -> str:
    if utc:
        return timestamp[:19] + "Z"
    return moment(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End without a word when the reader of standard output has read enough (`| head`)."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        # What is left in the buffer goes nowhere, so that the end of the program does not fail on it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGone(str(error)) from error
