"""Events from reports and sightings: the last step of the core."""

from hashlib import blake2s
from itertools import islice

from portsentry_py.config.settings import KnownScanner
from portsentry_py.core.host_state import network_of
from portsentry_py.core.scan_tracker import Report
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord
from portsentry_py.events.model import ConnectionEvent, EvidenceEvent, Outcome, utc

_SAMPLE = 16
_OUTCOMES: dict[Kind, Outcome] = {
    Kind.REFUSED: "refused",
    Kind.SILENT: "unanswered",
    Kind.TRAPPED: "answered",
    Kind.ANSWERED: "answered",
    Kind.SERVED: "served",
}


def evidence_event(report: Report, known: KnownScanner | None = None) -> EvidenceEvent:
    """The `scan` or `trap` line of a report on a source that may be a known scanner."""
    judgement = report.judgement
    finding = judgement.finding
    record, sighting = finding.record, finding.sighting
    return finding.series.event_class(
        timestamp=utc(report.time_us),
        verdict=judgement.verdict,
        src_ip=record.address,
        source_verified=record.verified,
        scan_type=finding.scan_type,
        technique=finding.technique,
        state=report.state,
        direction=record.direction,
        dest_ip=sighting.target,
        dest_port=sighting.port,
        proto=sighting.proto,
        ports=record.ports,
        ports_sample=_sample(record, sighting),
        hosts=len(record.targets),
        first_seen=utc(report.first_us),
        last_seen=utc(max(record.last_us, report.first_us)),
        attempts=record.attempts,
        closed=record.closed,
        open=len(record.opened),
        touches=record.trap_touches or None,
        score=record.score,
        tool=record.tool,
        src_net=_network_of(record),
        src_known=known,
        group_net=finding.group or None,
        reason=judgement.reason,
        in_iface=sighting.packet.in_iface or None,
        vlan=sighting.packet.vlan or None,
        event_id=_event_id(record.source, report),
    )


def connection_event(sighting: Sighting, suppressed: int) -> ConnectionEvent:
    """The `connection` line of an attempt whose outcome is known; it has the time of the first packet."""
    packet = sighting.packet
    return ConnectionEvent(
        timestamp=utc(packet.time_us),
        verdict="none",
        src_ip=packet.src,
        source_verified=False,
        scan_type=sighting.scan_type,
        technique="none",
        direction=sighting.direction,
        src_port=packet.src_port,
        dest_ip=sighting.target,
        dest_port=sighting.port,
        proto=sighting.proto,
        outcome=_OUTCOMES[sighting.kind],
        suppressed=suppressed,
        in_iface=packet.in_iface or None,
        vlan=packet.vlan or None,
    )


def _network_of(record: SourceRecord) -> str:
    """The network of the source. An IPv6 address that is a source by itself has one of its own."""
    if ":" not in record.address:
        return network_of(record.address)
    return f"{record.source}/128" if record.source == record.address else record.source


def _sample(record: SourceRecord, sighting: Sighting) -> tuple[int, ...]:
    latest = islice(reversed(record.unserved), _SAMPLE)
    return tuple(sorted({pair.port for pair in latest if pair.target == sighting.target}))


def _event_id(source: str, report: Report) -> str:
    kind = report.judgement.finding.series.event_class.event_type
    return blake2s(f"{source} {kind} {report.first_us}".encode(), digest_size=8).hexdigest()
