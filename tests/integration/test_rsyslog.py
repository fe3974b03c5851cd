"""A real rsyslog reads the log as the shipped snippet says, and what `outputs.syslog` sends."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.output.syslog import SyslogSink
from tests.support.build import SCANNER, evidence, log_lines, strict, syn, watch
from tests.support.needs import require_root, require_tool
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

SNIPPET = ROOT / "config/integrations/rsyslog.conf"
EVENTS = watch(strict(), syn(SCANNER, 1, 2, 3, 4, 5))
(BAN,) = [event for event in evidence(EVENTS) if event.verdict == "ban"]

StartRsyslog = Callable[[str], None]


@pytest.fixture
def start_rsyslog(tmp_path: Path) -> Iterator[StartRsyslog]:
    """Start rsyslog with this configuration; it ends with the test."""
    require_root()
    with ExitStack() as stack:

        def start(text: str) -> None:
            config = tmp_path / "rsyslog.conf"
            config.write_text(f'global(workDirectory="{tmp_path}")\n{text}', encoding="utf-8")
            words = [require_tool("rsyslogd"), "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
            with (tmp_path / "rsyslog.err").open("w", encoding="utf-8") as diagnostics:
                process = subprocess.Popen(words, stdout=diagnostics, stderr=diagnostics)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)

        yield start


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
    return port


def test_the_snippet_keeps_the_bans_and_forwards_every_line(start_rsyslog: StartRsyslog, tmp_path: Path) -> None:
    log, bans = tmp_path / "portsentry.log", tmp_path / "bans.log"
    log.touch()
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(60)
        text = SNIPPET.read_text(encoding="utf-8")
        for shipped, here in (
            ("/var/log/portsentry.log", str(log)),
            ("/var/log/portsentry-bans.log", str(bans)),
            ('port="1514"', f'port="{collector.getsockname()[1]}"'),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        start_rsyslog(text)
        with log.open("ab") as file:
            file.writelines([*log_lines(EVENTS), b"no line of the sensor\n"])
        stream, _ = collector.accept()
        with stream, stream.makefile("rb") as lines:
            forwarded = [lines.readline() for _ in EVENTS]
    assert forwarded == log_lines(EVENTS), "as they were"
    wait_for(bans.exists, "the file of the bans", evidence=(tmp_path / "rsyslog.err").read_text)
    wait_for(lambda: bans.read_text().endswith("\n"), "its line")
    assert bans.read_text() == f"{BAN.timestamp} {SCANNER} {BAN.technique} {BAN.reason}\n"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_rsyslog_understands_what_the_sensor_sends(kind: str, start_rsyslog: StartRsyslog, tmp_path: Path) -> None:
    port, received = free_port(), tmp_path / "received"
    start_rsyslog(f"""
        module(load="im{kind}")
        input(type="im{kind}" address="127.0.0.1" port="{port}" ruleset="all")
        template(name="parts" type="list") {{
            property(name="timereported" dateFormat="rfc3339") constant(value="|")
            property(name="syslogfacility-text") constant(value=".") property(name="syslogseverity-text")
            constant(value="|") property(name="app-name") constant(value="|") property(name="msgid")
            constant(value="|") property(name="msg") constant(value="\\n")
        }}
        ruleset(name="all") {{ action(type="omfile" file="{received}" template="parts") }}
    """)

    def arrived() -> bool:
        with closing(SyslogSink(f"{kind}://127.0.0.1:{port}")) as sink:
            try:
                for event in EVENTS:
                    sink.write(event)
            except OutputError:
                return False
        return received.exists()

    def whole() -> list[str]:
        """The lines; of the last one only a part may be written yet, where some were sent twice."""
        return received.read_text(encoding="ascii").split("\n")[:-1]

    wait_for(arrived, "rsyslog", evidence=(tmp_path / "rsyslog.err").read_text)
    wait_for(lambda: len(whole()) >= len(EVENTS), "all lines")
    lines = [line.split("|") for line in whole()]
    (ban,) = {tuple(line) for line in lines if line[3] == "scan"}
    assert ban[:4] == (BAN.timestamp, "authpriv.warning", "portsentry-py", "scan")
    assert ban[4].encode() + b"\n" == log_lines([BAN])[0]
    assert all(json.loads(line[4])["event_type"] == line[3] for line in lines)
