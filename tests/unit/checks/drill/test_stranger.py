"""The stranger sends what it is asked to send, and says which ports answer."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from portsentry_py.checks.drill import stranger as module
from portsentry_py.checks.drill.addresses import Target
from portsentry_py.checks.drill.responder import Ports, responding
from portsentry_py.checks.drill.stranger import FLAGS, segment, serve
from tests.support.needs import require_root

_V4, _V6 = "127.0.0.1", "::1"


def answers(*requests: object) -> list[dict[str, Any]]:
    said: list[str] = []
    serve(iter([json.dumps(one) for one in requests]), said.append)
    return [json.loads(one) for one in said]


def probe(method: str, target: str, *ports: int) -> dict[str, Any]:
    (answer,) = answers({"probe": {"method": method, "source": target, "target": target, "ports": ports}})
    return answer


@pytest.fixture
def ports() -> Iterator[Ports]:
    with responding([Target(_V4, "lo"), Target(_V6, "lo")]) as found:
        yield found


def test_open_ports_answer_and_closed_ones_do_not(ports: Ports) -> None:
    with socket.create_server((_V4, 0)) as closed:
        free = closed.getsockname()[1]
    asks = [
        ["tcp", _V4, _V4, ports[4, "tcp"]],
        ["tcp", _V4, _V4, free],
        ["udp", _V4, _V4, ports[4, "udp"]],
        ["tcp", _V6, _V6, ports[6, "tcp"]],
        ["udp", _V6, _V6, ports[6, "udp"]],
    ]
    silent = ["udp", _V4, _V4, free]
    first, second = answers({"reach": {"asks": asks, "seconds": 60}}, {"reach": {"asks": [silent], "seconds": 0.5}})
    assert (first, second) == ({"answered": [0, 2, 3, 4]}, {"answered": []})


def test_no_request_ends_the_program() -> None:
    bad, good = ({"reach": {"asks": [["tcp", one, _V4, 9]], "seconds": 0.1}} for one in ("192.0.2.55", _V4))
    first, second = answers(bad, good)
    assert first == {"error": "Cannot assign requested address"}
    assert second == {"answered": []}


@pytest.mark.parametrize("target", [_V4, _V6])
def test_a_connection_begins_for_each_port(target: str) -> None:
    with socket.create_server((target, 0), family=socket.AF_INET6 if ":" in target else socket.AF_INET) as server:
        server.settimeout(60)
        assert probe("connect", target, server.getsockname()[1]) == {"sent": 1}
        server.accept()[0].close()


def test_a_datagram_goes_to_each_port_though_others_refuse() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((_V4, 0))
        one.settimeout(60)
        assert probe("udp", _V4, 1, 2, 3, one.getsockname()[1]) == {"sent": 4}
        assert one.recv(100)


@pytest.mark.parametrize("target", [_V4, _V6])
@pytest.mark.parametrize("method", FLAGS)
def test_a_segment_with_the_flags_of_the_method_arrives(method: str, target: str) -> None:
    require_root()
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as receiver:
        receiver.bind((target, 0))
        receiver.settimeout(60)
        assert probe(method, target, 7) == {"sent": 1}
        while True:
            packet = receiver.recv(2000)
            header = packet[20:] if family == socket.AF_INET else packet
            if struct.unpack_from("!H", header, 2) == (7,) and struct.unpack_from("!H", header, 14) == (1024,):
                break
    assert header[13] == FLAGS[method]


def test_the_checksum_is_that_of_the_rfc() -> None:
    """Over pseudo header and segment, the sum with its checksum is all ones (RFC 9293, section 3.1)."""
    for source, target, family in ((_V4, "127.0.0.2", socket.AF_INET), ("2001:db8::1", _V6, socket.AF_INET6)):
        sent = segment(source, target, 80, FLAGS["syn"])
        ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
        assert module._checksum(ends + struct.pack("!II", 6, len(sent)) + sent) == 0


def test_no_two_segments_share_port_and_number() -> None:
    heads = {segment(_V4, _V4, 80, 2)[:8] for _ in range(100)}
    assert len(heads) == 100


def test_the_program_ends_with_its_input() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", module.__file__],
        input=json.dumps({"reach": {"asks": [], "seconds": 0}}) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [json.loads(one) for one in done.stdout.splitlines()] == [{"ready": True}, {"answered": []}]
