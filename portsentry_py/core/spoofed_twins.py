"""Spoofed twins: equal probes from several networks, of which one at most has sent them (nmap -D)."""

from dataclasses import dataclass, field

from portsentry_py.core.host_state import network_of
from portsentry_py.core.lru_table import LruTable
from portsentry_py.core.packet import SYN, TCP, Packet
from portsentry_py.core.source_record import Attempt
from portsentry_py.events.model import ScanType

_MAX_ROUNDS = 8_192
_MAX_NETWORKS = 129  # nmap takes 128 decoys, and is one itself
_MAX_UNPAIRED = 16
# nmap waits five minutes between two probes (-T0). Later ones that are equal are of a tool that never varies them.
_ROUND_US = 3_600_000_000


@dataclass(slots=True)
class _Round:
    """The probes to one target from one source port with one sequence number.

    Attributes:
        last_us: the time of the latest probe.
        counts: the probes of each network.
        total: their sum.
        leader: the network that sent more than all others together, if `unpaired` holds any.
        unpaired: its latest attempts that are one too many.
    """

    last_us: int
    counts: dict[str, int] = field(default_factory=dict)
    total: int = 0
    leader: str = ""
    unpaired: tuple[Attempt, ...] = ()


class SpoofedTwins:
    """Pairs each probe with one of another network that is equal but for its source and port.

    The same port is not needed: packets of a fast scan arrive out of order. Who wants to pass for a victim of such a
    scan has to forge a probe for each of their own.
    """

    def __init__(self) -> None:
        self._rounds: LruTable[tuple[str, int, int], _Round] = LruTable(_MAX_ROUNDS)

    def note(self, probe: Packet, scan_type: ScanType, attempt: Attempt) -> None:
        """A probe and the attempt that it is; marks the attempts that have a twin now.

        A second address in the same network is the scanner's own, and no reason for doubt.
        """
        is_syn = probe.flags & SYN or scan_type == "unseen"
        if probe.proto != TCP or not is_syn or not probe.seq:
            return
        sent, network = self._round(probe), network_of(probe.src)
        if network not in sent.counts and len(sent.counts) == _MAX_NETWORKS:
            return
        count = sent.counts[network] = sent.counts.get(network, 0) + 1
        sent.total += 1
        if network != sent.leader and sent.unpaired:
            paired, *others = sent.unpaired
            paired.has_twin, sent.unpaired = True, tuple(others)
        if 2 * count <= sent.total:
            attempt.has_twin = True
        else:
            sent.leader = network
            sent.unpaired = (*sent.unpaired[1 - _MAX_UNPAIRED :], attempt)

    def _round(self, probe: Packet) -> _Round:
        key = (probe.dst, probe.src_port, probe.seq)
        sent = self._rounds.touch(key)
        if sent is None or abs(probe.time_us - sent.last_us) > _ROUND_US:
            sent = _Round(probe.time_us)
            self._rounds.put(key, sent)
        sent.last_us = probe.time_us
        return sent
