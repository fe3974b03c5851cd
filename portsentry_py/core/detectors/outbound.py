"""Outbound: this host itself probes many others for what they do not serve. An alarm, never a ban."""

from portsentry_py.config.settings import Outbound
from portsentry_py.core.detectors.base import SETTLED, Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.outbound_table import MAX_OUTCOMES, Asked, OutboundTable, is_raw, is_swept
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.core.swept_ports import is_ordinary_port

# Multiples of `min_pairs`, for what programs with an operating system's stack do too: many hosts of one network (no
# client does), of one port that peers may listen on, of one port that every client uses.
_NEAR = 2
_PEERS = 4
_CLIENTS = 8
_MOST_HOSTS = MAX_OUTCOMES * 3 // 4
# In vain: at most one in so many answers. Of the peers that a torrent program asks, one in ten is there.
_ANSWERED_SHARE = 32
# Of the hosts that a monitor asks, some are down, but most answer.
_MOST_ANSWER = 2
# A client asks for the names of its servers first. A resolver asks several servers of one name.
_HOSTS_PER_NAME = 8


class OutboundDetector(Detector):
    """Counts distinct (host, port) pairs within a window that were refused or not answered.

    Args:
        settings: the thresholds.
        table: what the hosts of ours asked.
    """

    kinds = SETTLED
    direction = "outbound"

    def __init__(self, settings: Outbound, table: OutboundTable) -> None:
        self._min_pairs = settings.min_pairs
        self._window_us = settings.window_seconds * 1_000_000
        self._table = table

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        asked = self._table.of(sighting.source)
        if asked is None or asked.number("unanswered") < self._min_pairs or not self._is_scan(asked, sighting):
            return None
        return Finding("outbound", sighting, record, sighting.scan_type, False, "outbound")

    def _is_scan(self, asked: Asked, sighting: Sighting) -> bool:
        """Whether the sighting is a part of a scan: by raw packets, of many ports of a host, or of many hosts."""
        proto = sighting.proto
        if is_raw(sighting) and asked.number("raw", proto) >= self._min_pairs:
            return True
        if asked.number("ports", proto, place=sighting.target) >= self._min_pairs:
            return True
        if is_swept(sighting) and asked.number("swept", proto) >= self._min_pairs:
            in_vain = asked.number("answered", proto, sighting.port) <= _MOST_ANSWER * asked.number("swept", proto)
            return in_vain and not asked.is_cut_off(sighting, self._window_us)
        return self._is_in_vain(asked, sighting)

    def _is_in_vain(self, asked: Asked, sighting: Sighting) -> bool:
        """Whether many hosts are asked for one port, next to none answers, and the network works.

        A client has asked for their names; a program of peers asks for many ports.
        """
        key, now_us = (sighting.proto, sighting.port), sighting.time_us
        hosts = asked.number("hosts", *key)
        if is_ordinary_port(sighting.port):
            factor, is_usual = _CLIENTS, asked.lookups(now_us, self._window_us) * _HOSTS_PER_NAME >= hosts
        else:
            factor, is_usual = _PEERS, not asked.is_one_port(sighting, asked.number("unanswered", sighting.proto))
        is_many = hosts >= min(factor * self._min_pairs, _MOST_HOSTS) or self._is_one_network(asked, sighting)
        return (
            is_many
            and not is_usual
            and asked.number("answered", *key) * _ANSWERED_SHARE <= hosts
            and asked.is_online(now_us, self._window_us)
        )

    def _is_one_network(self, asked: Asked, sighting: Sighting) -> bool:
        return asked.near(sighting) >= _NEAR * self._min_pairs
