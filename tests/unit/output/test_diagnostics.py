"""Diagnostics that nobody reads block neither the sensor nor its end; they are plain text."""

import logging
import os
import re
from pathlib import Path

import pytest

from portsentry_py.output.diagnostics import AsyncLogHandler, standard_error, unbuffered
from tests.support.running import run_python
from tests.support.terminal import as_terminal, terminal


def test_records_reach_the_handler_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    inner = logging.StreamHandler(unbuffered(2))
    inner.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    queued = AsyncLogHandler(inner)
    for number in range(3):
        queued.handle(logging.makeLogRecord({"msg": "wl\u00e4n%d", "args": (number,), "levelname": "ERROR"}))
    queued.close()
    assert capfd.readouterr().err == "ERROR wl\u00e4n0\nERROR wl\u00e4n1\nERROR wl\u00e4n2\n"


def test_control_characters_of_others_are_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    handler = standard_error()
    record = {"name": "capture", "levelname": "ERROR", "msg": "%s", "args": ("\x1b[2Jeth0\r",)}
    handler.handle(logging.makeLogRecord(record))
    assert capfd.readouterr().err == "ERROR:capture:?[2Jeth0?\n"


def test_a_terminal_gets_the_time_of_day() -> None:
    with as_terminal(2) as shown:
        standard_error().handle(logging.makeLogRecord({"name": "x", "levelname": "ERROR", "msg": "word"}))
    assert re.fullmatch(r"\d\d:\d\d:\d\d ERROR:x:word\r\n", shown[0])


def test_a_full_standard_error_blocks_neither_the_program_nor_its_end() -> None:
    """The program writes many times more than the pipe holds, which nobody reads, and exits."""
    script = """
        import logging
        from portsentry_py.output import async_writer
        from portsentry_py.output.diagnostics import AsyncLogHandler, unbuffered

        async_writer._CLOSE_SECONDS = 0.2
        queued = AsyncLogHandler(logging.StreamHandler(unbuffered(2)))
        logging.basicConfig(handlers=[queued])
        for number in range(2000):
            logging.getLogger("x").error("%d " + 500 * "x", number)
        queued.close()
        print("went on")
    """
    reader, writer = os.pipe()
    try:
        assert run_python(script, stderr=writer).stdout == "went on\n"
        assert os.read(reader, 1 << 20).startswith(b"0 xxx")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_is_known_through_it(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        assert not unbuffered(file.fileno()).isatty()
    with terminal() as (_, follower):
        assert unbuffered(follower).isatty()
