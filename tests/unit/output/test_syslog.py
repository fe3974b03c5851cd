"""Lines as RFC 5424 messages, over datagrams and streams."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portsentry_py.errors import OutputError
from portsentry_py.events.model import Event, to_record
from portsentry_py.output.syslog import SyslogSink, rfc5424
from tests.support.build import SCANNER, connection_events, evidence, strict, syn, watch
from tests.support.waiting import wait_for

# The header of RFC 5424, without structured data.
MESSAGE = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>[!-~]{1,255}) "
    r"(?P<app>[!-~]{1,48}) (?P<pid>\d+) (?P<id>[!-~]{1,32}) - (?P<text>\{.*\})"
)


def is_whole(message: bytes, event: Event) -> bool:
    found = MESSAGE.fullmatch(message.decode("ascii"))
    return found is not None and json.loads(found["text"]) == to_record(event)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(30)
        yield made


def frame(stream: socket.socket) -> bytes:
    """One message of a stream, by its length."""
    digits = b""
    while (one := stream.recv(1)) != b" ":
        assert one.isdigit()
        digits += one
    message = b""
    while len(message) < int(digits):
        message += stream.recv(int(digits) - len(message))
    return message


def test_a_ban_is_a_warning_and_a_watched_source_a_notice() -> None:
    events = watch(strict(), syn(SCANNER, 11, 1, 2, 3, 4))
    severities = {event.verdict: int(rfc5424(event, "h", 1)[1:3]) - 80 for event in evidence(events)}
    assert severities == {"watch": 5, "ban": 4}
    assert rfc5424(connection_events(1)[0], "h", 1).startswith(b"<86>1 ")


def test_the_name_of_the_host_is_what_a_header_may_hold() -> None:
    (event,) = connection_events(1)
    for host, word in (("web1", b"web1"), ("wéb 1\n", b"wb1"), ("", b"-"), ("x" * 300, b"x" * 255)):
        message = rfc5424(event, host, 7)
        assert message.split(b" ")[2:5] == [word, b"portsentry-py", b"7"]
        assert is_whole(message, event)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_hold_one_line_each(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.settimeout(30)
        server.bind((address, 0))
        host = f"[{address}]" if ":" in address else address
        with closing(SyslogSink(f"udp://{host}:{server.getsockname()[1]}")) as sink:
            for event in connection_events():
                sink.write(event)
                assert is_whole(server.recv(65_536), event)


def test_a_local_socket_takes_datagrams(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(30)
        server.bind(str(tmp_path / "log"))
        (event,) = connection_events(1)
        with closing(SyslogSink(f"unix:{tmp_path / 'log'}")) as sink:
            sink.write(event)
        assert is_whole(server.recv(65_536), event)


def test_a_stream_has_counted_frames_and_is_opened_again(listener: socket.socket) -> None:
    first, second, third = connection_events(3)
    with closing(SyslogSink(f"tcp://localhost:{listener.getsockname()[1]}")) as sink:
        sink.write(first)
        stream, _ = listener.accept()
        sink.write(second)
        with stream:
            assert is_whole(frame(stream), first)
            assert is_whole(frame(stream), second)
        sink.write(third)  # the server has closed the first stream
        stream, _ = listener.accept()
        with stream:
            assert is_whole(frame(stream), third)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_server_that_is_away_is_tried_again(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    (event,) = connection_events(1)

    def refused() -> bool:
        try:
            sink.write(event)
        except OutputError as error:
            return "takes no lines (Connection refused); start it" in str(error)
        return False  # the kernel tells of a datagram only later

    with closing(SyslogSink(f"{kind}://127.0.0.1:{port}")) as sink:
        wait_for(refused, "the refusal")
        if kind == "tcp":
            with socket.create_server(("127.0.0.1", port)) as server:
                sink.write(event)
                stream, _ = server.accept()
                with stream:
                    assert is_whole(frame(stream), event)


def test_a_name_that_does_not_resolve_is_reported() -> None:
    with closing(SyslogSink("udp://log.invalid:514")) as sink, pytest.raises(OutputError, match="takes no lines"):
        sink.write(connection_events(1)[0])
