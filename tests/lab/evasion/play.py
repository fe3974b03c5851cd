"""Plays the rows: those between namespaces before one sensor, the others as captures."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.attacks import live, tape
from tests.lab.attacks.attack import Attack
from tests.lab.attacks.parties import FOUR, SIX
from tests.lab.evasion import nmap_rows, other_rows
from tests.lab.evasion.row import Row, Seen, party, ports_of

ROWS: tuple[Row, ...] = (*nmap_rows.rows(), *other_rows.rows())
# Here all rows come from few networks within minutes, which the budget of bans and the limit of lines are there for.
_SETTINGS = {
    "bans": {"unverified_per_minute": 100_000, "network_per_minute": 100_000},
    "lines": {"scans_per_second": 10_000},
}


def played(rows: Sequence[Row]) -> Iterator[Seen]:
    """What the sensor says about each row."""
    live_rows = [row for row in rows if row.live]
    if live_rows:
        with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
            yield from _live(live_rows, Path(folder))
    yield from (_replayed(row) for row in rows if row.replayed)


def _live(rows: Sequence[Row], folder: Path) -> Iterator[Seen]:
    attack = Attack("evasion", "The scan is not seen.", lambda _stage: None, way="live", settings=_SETTINGS)
    sources = []
    with live.staged(attack, folder) as wire:
        sensor = wire.start()
        for number, row in enumerate(rows, start=1):
            one = party(wire, number, row.family)
            sources.append(one.source)
            assert row.live is not None
            row.live(one)
        if not wire.settle():
            raise AssertionError(f"the sensor does not see what is sent last\n{sensor.evidence()}")
        lines = [line for line in sensor.lines() if line["event_type"] in {"scan", "trap"}]
        learned = wire.learned_ports()
    for number, (row, source) in enumerate(zip(rows, sources, strict=True), start=1):
        told = len(learned & {*ports_of(number)}) if row.has_ports else None
        yield Seen(row, tuple(line for line in lines if line["src_ip"] == source), told)


def _replayed(row: Row) -> Seen:
    assert row.replayed is not None
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        seen = tape.observe(Attack("evasion", "The scan is not seen.", row.replayed), Path(folder))
    return Seen(row, tuple(line for line in seen.evidence if line["src_ip"] in {FOUR.attacker, SIX.attacker}))
