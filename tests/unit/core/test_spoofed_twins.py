"""Spoofed twins: equal probes from several networks."""

import pytest

from portsentry_py.core.packet import ACK, SYN, TCP, UDP, Packet
from portsentry_py.core.source_record import Attempt
from portsentry_py.core.spoofed_twins import SpoofedTwins
from portsentry_py.events.model import ScanType
from tests.support.build import FRIEND, HOST, HOST6, SCANNER, SCANNER6

STRANGER = "198.51.99.9"
HOUR_US = 3_600_000_000


def probe(source: str, port: int = 22, *, seq: int = 77, proto: int = TCP, flags: int = SYN, at_us: int = 0) -> Packet:
    target = HOST6 if ":" in source else HOST
    return Packet(at_us, source, target, proto, src_port=50_000, dest_port=port, flags=flags, seq=seq)


def with_twins(*probes: Packet, scan_type: ScanType = "syn") -> list[int]:
    """How many probes of each source have a twin in the end, in the order of the sources."""
    twins = SpoofedTwins()
    attempts: dict[str, list[Attempt]] = {}
    for one in probes:
        attempt = Attempt(one.time_us, one.time_us, scan_type)
        attempts.setdefault(one.src, []).append(attempt)
        twins.note(one, scan_type, attempt)
    return [sum(attempt.has_twin for attempt in mine) for mine in attempts.values()]


def test_a_probe_has_as_many_twins_as_others_sent_equal_ones() -> None:
    stranger = probe(STRANGER, seq=78)
    assert with_twins(probe(SCANNER), probe(SCANNER, 23), probe(FRIEND), stranger) == [1, 1, 0]
    assert with_twins(*(probe(SCANNER, port) for port in range(8)), probe(FRIEND), probe(STRANGER)) == [2, 1, 1]
    assert with_twins(probe(FRIEND), probe(STRANGER), *(probe(SCANNER, port) for port in range(8))) == [1, 1, 2]


def test_the_order_of_the_probes_says_nothing() -> None:
    sent = [probe(source, port) for port in range(200) for source in (SCANNER, FRIEND, STRANGER)]
    for step in (7, 67, 211):  # as prime as any to 600: each probe once
        assert min(with_twins(*(sent[nth * step % 600] for nth in range(600)))) > 190


@pytest.mark.parametrize(
    ("first", "second"), [(SCANNER, "203.0.113.10"), (SCANNER6, "2001:db8:bad::10"), (SCANNER, SCANNER)]
)
def test_equal_probes_of_one_network_are_no_twins(first: str, second: str) -> None:
    """A second address is the scanner's own."""
    assert not any(with_twins(probe(first), probe(second, 23)))


def test_equal_probes_to_different_targets_or_from_different_ports_are_no_twins() -> None:
    for other in (probe(FRIEND)._replace(dst="192.0.2.11"), probe(FRIEND)._replace(src_port=50_001)):
        assert not any(with_twins(probe(SCANNER), other))


def test_an_hour_later_an_equal_probe_is_no_twin() -> None:
    assert with_twins(probe(SCANNER), probe(FRIEND, at_us=HOUR_US)) == [1, 1]
    assert with_twins(probe(SCANNER), probe(FRIEND, at_us=HOUR_US + 1)) == [0, 0]


def test_a_packet_without_a_sequence_number_of_its_own_has_no_twin() -> None:
    """All clients send a DNS server that has moved the same query, from the same port."""
    for pair in (
        [probe(source, proto=UDP, flags=0) for source in (SCANNER, FRIEND)],
        [probe(source, flags=ACK) for source in (SCANNER, FRIEND)],
        [probe(source, seq=0) for source in (SCANNER, FRIEND)],
    ):
        assert not any(with_twins(*pair))


def test_a_probe_that_only_a_refusal_shows_has_twins() -> None:
    assert with_twins(probe(SCANNER, flags=0), probe(FRIEND, flags=0), scan_type="unseen") == [1, 1]


def test_more_networks_than_nmap_takes_are_not_counted() -> None:
    forged = [probe(f"10.{nth}.0.1") for nth in range(129)]
    assert with_twins(*forged, probe(SCANNER))[-1] == 0


def test_the_latest_16_probes_without_a_twin_may_get_one() -> None:
    sent = [probe(SCANNER, port) for port in range(100)]
    assert with_twins(*sent, *(probe(FRIEND, port) for port in range(100))) == [16, 100]
