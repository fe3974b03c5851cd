"""Diagnostics that nobody reads must not stop the sensor, nor its end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from portsentry_py.output.diagnostics import AsyncLogHandler, unbuffered
from tests.support.paths import ROOT


def test_records_reach_the_handler_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    inner = logging.StreamHandler(unbuffered(2))
    inner.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    aside = AsyncLogHandler(inner)
    for number in range(3):
        aside.handle(logging.makeLogRecord({"msg": "wl\u00e4n%d", "args": (number,), "levelname": "ERROR"}))
    aside.close()
    assert capfd.readouterr().err == "ERROR wl\u00e4n0\nERROR wl\u00e4n1\nERROR wl\u00e4n2\n"


def test_a_full_standard_error_stops_nothing_and_not_the_end_either() -> None:
    """The program says many times more than the pipe holds, which nobody reads, and exits."""
    script = """
        import logging
        from portsentry_py.output import async_writer as unhurried
        from portsentry_py.output.diagnostics import AsyncLogHandler, unbuffered

        unhurried._CLOSE_SECONDS = 0.2
        aside = AsyncLogHandler(logging.StreamHandler(unbuffered(2)))
        logging.basicConfig(handlers=[aside])
        for number in range(2000):
            logging.getLogger("x").error("%d " + 500 * "x", number)
        aside.close()
        print("went on")
    """
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=writer,
            timeout=60,
            cwd=ROOT,
        )
        assert (done.returncode, done.stdout) == (0, b"went on\n")
        assert os.read(reader, 1 << 20).startswith(b"0 xxx")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_is_known_through_it(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        assert not unbuffered(file.fileno()).isatty()
    leader, follower = os.openpty()
    assert unbuffered(follower).isatty()
    os.close(leader)
    os.close(follower)
