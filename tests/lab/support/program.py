"""What the command lines of the lab's programs share."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import MEASUREMENTS


def parser(name: str, usage: str) -> argparse.ArgumentParser:
    """The parser of `python -m tests.lab.NAME`, with its output; the usage is the module's docstring."""
    made = argparse.ArgumentParser(
        prog=f"python -m tests.lab.{name}", description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=MEASUREMENTS, help="default: docs/measurements"
    )
    made.add_argument("--print-only", action="store_true", help="write no page")
    return made


def begin(made: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `output` is None if nothing is to be written. SIGTERM ends like an exit."""
    arguments = made.parse_args(words)
    if arguments.print_only:
        arguments.output = None
    # So that the contexts are left, and with them what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return arguments


@contextmanager
def workers(count: int | None) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the work; what has not begun when the block is left is dropped, so that SIGTERM ends it."""
    pool = ProcessPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def need_root(made: argparse.ArgumentParser) -> None:
    """Refuse to go on as an ordinary user."""
    if os.geteuid() != 0:
        made.error("needs root: it makes network namespaces")
