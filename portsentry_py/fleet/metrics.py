"""The metrics of the fleet: a file for node_exporter. No label holds an address or a host."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median_low
from typing import get_args

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from portsentry_py.errors import OutputError
from portsentry_py.fleet.refusals import Refusal
from portsentry_py.fleet.snapshot import Snapshot
from portsentry_py.output.metrics import counter, gauge, value
from portsentry_py.output.metrics_file import replace_file

# A host sends its list every five minutes, and in a fleet of more than 300 hosts one of them a second does.
_SILENT_US, _SILENT_US_PER_HOST = 900_000_000, 3_000_000
_SECOND_US = 1e6


class _Metrics(Collector):
    def __init__(self, found: Snapshot) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        return families(self._found)


def families(found: Snapshot) -> Iterator[Metric]:
    """All metrics of a snapshot."""
    heard = [peer for peer in found.peers.values() if peer.heard_us]
    silent_us = max(_SILENT_US, len(found.peers) * _SILENT_US_PER_HOST)
    alive = sum(found.written_us - peer.heard_us <= silent_us for peer in heard)
    yield value("fleet_connected", "1 while the host has a connection to a broker, else 0", bool(found.broker))
    peers = gauge("fleet_peers", "other hosts of the fleet, by whether they were heard lately", ("state",))
    peers.add_metric(("heard",), alive)
    peers.add_metric(("silent",), len(found.peers) - alive)
    yield peers
    yield value("fleet_bans_active", "bans of other hosts that this host accepts", found.accepted)
    yield value("fleet_sources_reported", "sources that other hosts ban, accepted or not", len(found.sources))
    sweeps = gauge("fleet_sweeps_active", "sources that asked many hosts in vain, by verdict", ("verdict",))
    watched = sum(one.is_doubtful for one in found.sweeps.values())
    sweeps.add_metric(("ban",), len(found.sweeps) - watched)
    sweeps.add_metric(("watch",), watched)
    yield sweeps
    yield value("fleet_sources_counted", "sources of which a first contact is counted", found.counted)
    left_out = sum(peer.left_out for peer in heard)
    yield counter("fleet_contacts_left_out", "first contacts that other hosts had no room for", (), {(): left_out})
    yield counter("fleet_refused", "what was refused of others, by the cause", ("reason",), _refused(found))
    clock = gauge("fleet_clock_offset_seconds", "how far the clocks of other hosts are ahead", ("rank",))
    offsets = sorted(peer.offset_us / _SECOND_US for peer in heard) or [0.0]
    for rank, offset in (("lowest", offsets[0]), ("median", median_low(offsets)), ("highest", offsets[-1])):
        clock.add_metric((rank,), offset)
    yield clock
    lags = [peer.lag_us / _SECOND_US for peer in heard]
    yield value("fleet_lag_seconds", "the longest lag of a host behind its own fastest message", max(lags, default=0))


def _refused(found: Snapshot) -> dict[tuple[str, ...], int]:
    """The causes that every fleet has from the start: a rate needs the zero before the first."""
    counts: dict[tuple[str, ...], int] = {(why,): 0 for why in get_args(Refusal)}
    for refused in (*(peer.refused for peer in found.peers.values()), *found.refused.values()):
        for why, count in refused.items():
            counts[why,] = counts.get((why,), 0) + count
    return counts


def write_textfile(path: Path, found: Snapshot) -> None:
    """Replace the file.

    Raises:
        OutputError: it cannot be written.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(found))
    try:
        replace_file(path, generate_latest(registry))
    except OSError as error:
        raise OutputError(
            f"fleet.textfile: cannot write {path} ({error.strerror}); let the service's user write its folder, and see "
            "ReadWritePaths= of the unit."
        ) from error
