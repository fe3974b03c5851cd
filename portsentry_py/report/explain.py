"""Everything about one source on one screen: in sentences, each below a heading."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from ipaddress import ip_network

from portsentry_py.config.settings import Network, Settings
from portsentry_py.events.model import EvidenceEvent, Reason, to_record
from portsentry_py.fail2ban.jails import Fail2banState, JailBan
from portsentry_py.report.reasons import RULES, UNKNOWN
from portsentry_py.report.source_lines import SourceLines
from portsentry_py.report.terminal import duration
from portsentry_py.state.sources import KnownSource

Section = tuple[str, list[str]]
"""A heading and its sentences."""
_DETECTION_PROBABILITY = 0.99  # of the sequential test


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a source.

    Attributes:
        network: the source: an address, or a network of several.
        known: what the state file has of it.
        visits: days with sessions, oldest first.
        state_note: why the state file says nothing; empty if it does.
        protection: why this host must not ban it now; None if it may.
    """

    network: Network
    settings: Settings
    lines: SourceLines
    fail2ban: Fail2banState
    known: KnownSource | None = None
    visits: tuple[date, ...] = ()
    state_note: str = ""
    protection: Reason | None = None

    @property
    def name(self) -> str:
        """The address, or the network of several."""
        single = self.network.prefixlen == self.network.max_prefixlen
        return str(self.network.network_address) if single else str(self.network)


def explain(facts: Facts) -> list[Section]:
    """The sections, from top to bottom."""
    line = facts.lines.deciding
    rule = RULES.get(line.reason, UNKNOWN) if line else None
    sections = [
        ("verdict", [_verdict(facts, line)]),
        ("rule", [f"{line.reason}: {rule.sentence}", f"See {rule.page}."] if line and rule else []),
        ("counted", list(_counted(facts, line))),
        ("for it", list(_for_it(facts, line))),
        ("protected", [_protected(facts)]),
        ("fail2ban", list(_fail2ban(facts))),
        ("to change", [rule.change] if rule else []),
    ]
    return [section for section in sections if section[1]]


def as_object(facts: Facts, capture: dict[str, object] | None = None) -> dict[str, object]:
    """The same facts for programs. Each key is always there; None means that nothing is known.

    Args:
        facts: what is known.
        capture: its packets in a capture, if one was read.
    """
    line = facts.lines.deciding
    rule = RULES.get(line.reason, UNKNOWN) if line else None
    return {
        "source": facts.name,
        "verdict": line.verdict if line else "none",
        "reason": line.reason if line else None,
        "rule": rule.sentence if rule else None,
        "page": rule.page if rule else None,
        "threshold": threshold(line, facts.settings) if line else None,
        "change": rule.change if rule else None,
        "deciding": to_record(line) if line else None,
        "lines": [to_record(one) for one in facts.lines.lines],
        "connections": dict(facts.lines.outcomes),
        "state": {"note": facts.state_note or None, "known": asdict(facts.known) if facts.known else None},
        "visits": [day.isoformat() for day in facts.visits],
        "mitigating": list(_for_it(facts, line)),
        "protected": facts.protection,
        "fail2ban": {
            "standing": facts.fail2ban.standing,
            "note": facts.fail2ban.note or None,
            "bans": [{"jail": jail, **_ban(ban)} for jail, ban in _held(facts)],
        },
        "capture": capture,
    }


def _ban(ban: JailBan) -> dict[str, object]:
    names = ("address", "banned_at", "ends_at", "ban_seconds", "left_seconds", "permanent")
    return {name: getattr(ban, name) for name in names}


def _verdict(facts: Facts, line: EvidenceEvent | None) -> str:
    if line is None:
        since = f" since {facts.lines.first_line}" if facts.lines.first_line else ""
        return f"none: {facts.lines.path} has no scan or trap line about {facts.name}{since}."
    return f"{line.verdict}, for {line.technique} ({line.scan_type}) at {line.timestamp}, event_id {line.event_id}."


def _counted(facts: Facts, line: EvidenceEvent | None) -> Iterator[str]:
    if line is not None:
        yield threshold(line, facts.settings)
        sample = ", ".join(map(str, line.ports_sample))
        yield f"Unserved ports: {line.ports}" + (f", the latest {sample}." if sample else ".")
        yield (
            f"{line.attempts} probes of {line.hosts} addresses of ours, {line.closed} ports refused, "
            f"{line.score} points, from {line.first_seen} to {line.last_seen}."
        )
    elif facts.known is not None:
        known = facts.known
        sample = ", ".join(map(str, known.sample))
        yield f"Below every threshold: {known.attempts} probes, the latest at the ports {sample}."
    if facts.lines.outcomes:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in facts.lines.outcomes.most_common())
        yield f"Connection lines: {counts}."
    if facts.state_note:
        yield facts.state_note


def threshold(line: EvidenceEvent, settings: Settings) -> str:
    """What was counted, and at which number it is a scan."""
    of = settings.detectors
    if line.reason == "served_ports":
        return f"{line.open} served ports; 32 asked with a raw SYN, or of which 16 are well known, make a scan."
    if line.technique == "trap":
        return f"{line.touches or 0} touches of trap ports; the {settings.traps.ban_on} one bans (traps.ban_on)."
    if line.technique == "outbound":
        least, window = of.outbound.min_pairs, of.outbound.window_seconds
        return f"{line.ports} ports; {least} pairs of address and port within {window} s raise the alarm."
    if settings.profile != "default":
        return f"{line.ports} ports; the rule of the profile {settings.profile} counts."
    if line.technique == "sweep":
        return (
            f"{line.hosts} addresses; {of.sweep.min_pairs} pairs of address and port over {of.sweep.min_hosts} "
            f"addresses within {of.sweep.window_seconds} s make a sweep (detectors.sweep)."
        )
    if line.technique == "stealth":
        return (
            f"{line.ports} ports; {of.stealth.min_ports} with impossible flags within {of.stealth.window_seconds} s "
            "make a scan (detectors.stealth)."
        )
    if line.technique == "slow":
        odds = round(_DETECTION_PROBABILITY / of.slow.alpha)
        return f"{line.ports} ports; odds of {odds} to 1 over all first contacts make a scan (detectors.slow)."
    if line.technique == "distributed":
        return (
            f"Together with others of {line.group_net or line.src_net}: {of.distributed.min_ports} ports of one "
            f"address by {of.distributed.min_sources} sources within {of.distributed.window_seconds} s make a scan "
            "(detectors.distributed)."
        )
    least = of.port_scan.min_protocols if line.scan_type == "ipproto" else of.port_scan.min_ports
    return (
        f"{line.ports} {'protocols' if line.scan_type == 'ipproto' else 'ports'}; {least} of one host within "
        f"{of.port_scan.window_seconds} s make a scan (detectors.port_scan)."
    )


def _for_it(facts: Facts, line: EvidenceEvent | None) -> Iterator[str]:
    verified = line.source_verified if line else bool(facts.known and facts.known.verified)
    if verified:
        yield "Nothing can be forged here: it proved that it receives what this host sends."
    else:
        yield "It did not prove its address, so somebody may send in its name."
    if facts.visits:
        yield f"It had sessions on {len(facts.visits)} days, the last on {facts.visits[-1]}."
    opened = max(line.open if line else 0, facts.known.open if facts.known else 0)
    if opened:
        yield f"{opened} of its attempts were at served ports."
    if facts.known and facts.known.checks:
        yield f"At {facts.known.checks} served ports it looks like a health check."
    if facts.known and facts.known.mimicked:
        yield "Others sent the same probes at the same time."
    if line and line.src_known:
        yield f"Its network is that of a known scanner, {line.src_known}, which says so in public."


def _protected(facts: Facts) -> str:
    if facts.protection is None:
        return "Nothing protects it now: no entry of the allowlist or `ignore`, no role for this host."
    return f"{facts.protection}: {RULES[facts.protection].sentence}"


def _fail2ban(facts: Facts) -> Iterator[str]:
    if facts.fail2ban.note:
        yield facts.fail2ban.note
    held = _held(facts)
    for name, ban in held:
        yield f"Jail {name} bans {ban.address} {_until(ban)}."
    if facts.fail2ban.standing == "answers" and not held:
        yield "No jail of ours bans it now."


def _held(facts: Facts) -> list[tuple[str, JailBan]]:
    """The bans that hit the source, each with its jail."""
    return [(jail.name, ban) for jail in facts.fail2ban.jails for ban in jail.bans if _hits(ban, facts.network)]


def _hits(ban: JailBan, network: Network) -> bool:
    banned = ip_network(ban.address)
    return banned.version == network.version and banned.overlaps(network)


def _until(ban: JailBan) -> str:
    if ban.permanent:
        return "for ever"
    if ban.ends_at is None:
        return "until a time that fail2ban does not tell"
    left = f" ({duration(ban.left_seconds)} left)" if ban.left_seconds is not None else ""
    return f"until {ban.ends_at}{left}"
