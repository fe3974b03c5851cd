"""A forged reply proves nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.checks.scan.cookies import FIRST_SOURCE_PORT, MAX_ATTEMPTS, Cookies
from portsentry_py.checks.scan.model import METHODS, Method, protocol_of
from portsentry_py.checks.scan.replies import Reply
from portsentry_py.core.packet import ACK, ICMP, RST, SCTP, SYN, TCP, UDP

HOST = bytes([10, 0, 0, 1])
RAW = [method for method in METHODS if method != "connect"]
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}


def answer(method: Method, port: int, attempt: int, cookies: Cookies, extra: int = 0) -> Reply:
    """What a host answers that got the probe."""
    source_port, number = cookies.of(HOST, port, attempt)
    protocol = NUMBERS[protocol_of(method)]
    if method in {"maimon", "ack", "window"}:
        return Reply(HOST, HOST, protocol, port, source_port, RST, number=number)
    if protocol == TCP:
        return Reply(HOST, HOST, protocol, port, source_port, RST | ACK, 0, (number + extra) & 0xFFFFFFFF)
    return Reply(HOST, HOST, protocol, port, source_port, 0, number)


@given(
    st.sampled_from(RAW), st.integers(1, 65_535), st.integers(0, MAX_ATTEMPTS - 1), st.binary(min_size=1, max_size=32)
)
def test_an_answer_names_its_probe(method: Method, port: int, attempt: int, secret: bytes) -> None:
    cookies = Cookies(method, secret)
    source_port, number = cookies.of(HOST, port, attempt)
    assert FIRST_SOURCE_PORT <= source_port <= 65_535
    assert 0 < number <= 0xFFFFFFFF
    earlier = {cookies.of(HOST, port, other)[0] for other in range(attempt)}
    if source_port not in earlier:
        assert cookies.attempt_of(answer(method, port, attempt, cookies)) == attempt
        assert cookies.attempt_of(answer(method, port, attempt, cookies, extra=1)) == attempt


@pytest.mark.parametrize("method", RAW)
def test_an_answer_with_another_secret_is_forged(method: Method) -> None:
    ours, others = Cookies(method, b"ours"), Cookies(method, b"others")
    assert {ours.attempt_of(answer(method, port, 0, others)) for port in range(1, 200)} == {None}


@pytest.mark.parametrize("method", [method for method in RAW if method != "udp"])
def test_a_guessed_source_port_is_not_enough(method: Method) -> None:
    cookies = Cookies(method, b"secret")
    genuine = answer(method, 22, 0, cookies)
    assert cookies.attempt_of(genuine._replace(number=1, acknowledged=1)) is None
    if protocol_of(method) == "tcp":
        assert cookies.attempt_of(genuine._replace(kind=SYN)) is None
        assert cookies.attempt_of(genuine._replace(kind=RST, number=1)) is None


@pytest.mark.parametrize("method", RAW)
def test_an_error_must_quote_the_probe(method: Method) -> None:
    cookies = Cookies(method, b"secret")
    source_port, number = cookies.of(HOST, 22, 1)
    genuine = Reply(b"rout", HOST, ICMP, 22, source_port, 0x303, number)
    assert cookies.attempt_of(genuine) == 1
    assert cookies.attempt_of(genuine._replace(number=number ^ 1)) is None
    assert cookies.attempt_of(genuine._replace(source_port=source_port ^ 1)) is None
