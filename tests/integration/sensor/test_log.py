"""A log that cannot be written: the sensor goes on watching, and ends at SIGTERM."""

import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.disk import frozen, small_disk
from tests.support.namespaces import IFACE, Lab
from tests.support.scanning import PORTS, nmap
from tests.support.sensor import RUN, Sensor

pytestmark = pytest.mark.wire

TINY_PIPE = 4096


def scan(lab: Lab) -> None:
    nmap(lab.scanner, "-sS", "-p", PORTS, lab.target.ipv4[0])


def test_a_frozen_log_gets_what_was_seen_meanwhile(lab: Lab, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        sensor = Sensor(lab.target, tmp_path, log=disk / "log")
        try:
            sensor.wait_until_ready()
            with frozen(disk):
                before = sensor.log.read_bytes()
                scan(lab)
                sensor.wait_for_diagnostics("has stood still")
                assert sensor.log.read_bytes() == before
            sensor.wait_for_diagnostics("goes on after")
            sensor.wait_for_line("the scanner", event_type="scan", src_ip=lab.scanner.ipv4[0], verdict="ban")
            assert sensor.stop() == 0
        finally:
            sensor.stop()
        last = sensor.lines()[-1]
        assert (last["state"], last["packets_dropped"], last["lines_lost"]) == ("stopped", 0, 0)


def test_a_pipe_that_nobody_reads_stops_neither_the_capture_nor_its_end(lab: Lab, tmp_path: Path) -> None:
    """Standard output and error are one pipe, as under Docker; a pipe of 4 KiB is full after six lines."""
    config = tmp_path / "portsentry.yaml"
    config.write_text(f"state: {tmp_path / 'state'}\n", encoding="utf-8")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, TINY_PIPE)
    with os.fdopen(reader, "rb") as pipe:
        command = (sys.executable, *RUN, "run", "-c", str(config), "-i", IFACE, "--log", "-")
        with os.fdopen(writer, "w") as end:
            process = lab.target.start(*command, stdout=end.fileno(), stderr=end)
        try:
            read_until(pipe, b'"state":"started"')
            for _ in range(3):
                scan(lab)
            read_until(pipe, b'"event_type":"scan","verdict":"ban"')
            for _ in range(3):
                scan(lab)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
        lines = pipe.read().split(b"\n")[:-1]
    assert all(json.loads(line) for line in lines if line.startswith(b"{"))


def read_until(pipe: BinaryIO, text: bytes) -> None:
    """Read lines up to the first one that contains the text."""
    line = b""
    while text not in line:
        line = pipe.readline()
        assert line, "the sensor ended"
