"""An event as a person reads it: one line, in parts that each have a style."""

from portsentry_py.events.model import ConnectionEvent, Event, EvidenceEvent, FleetEvent, StatusEvent

Part = tuple[str, str]
"""A text and its style: `bold red`, `yellow`, `dim`, or none."""

STYLES = {"ban": "bold red", "watch": "yellow", "ignore": "dim", "none": "dim"}


def readable(event: Event, moment: str) -> list[Part]:
    """The parts of the line; `moment` is its time in the form that the reader wants."""
    when = (f"{moment} ", "dim")
    if isinstance(event, EvidenceEvent):
        return [when, (f"{event.verdict:<6} ", STYLES.get(event.verdict, "")), (_evidence(event), "")]
    if isinstance(event, FleetEvent):
        return [when, (f"{event.verdict:<6} ", STYLES.get(event.verdict, "")), (_fleet(event), "")]
    if isinstance(event, ConnectionEvent):
        return [when, (_connection(event), "dim")]
    if isinstance(event, StatusEvent):
        return [when, (f"sensor {event.state} ({event.reason}), {event.packets} packets seen", "")]
    return [when, ("a line of a newer version of the sensor", "dim")]


def _evidence(event: EvidenceEvent) -> str:
    tool = f", tool {event.tool}" if event.tool else ""
    known = f", known scanner {event.src_known}" if event.src_known else ""
    country, number = event.src_country or "", f"AS{event.src_asn}" if event.src_asn else ""
    source = " ".join(filter(None, (event.src_ip, country, number)))
    target = f"{event.hosts} hosts, last {event.dest_ip}" if event.hosts > 1 else f"{event.dest_ip}, last"
    return (
        f"{source} {event.event_type} {event.scan_type} {event.technique} ({event.state}): "
        f"{event.ports} ports of {target} {event.dest_port}/{event.proto}{tool}{known}; {event.reason}"
    )


def _fleet(event: FleetEvent) -> str:
    hosts = ", ".join(event.reporters)
    evidence = event.evidence if event.technique == "fleet" else event.technique
    port = f" of port {event.dest_port}" if event.dest_port is not None else ""
    return f"{event.src_ip} {event.event_type} {event.scan_type} {evidence}{port} ({event.state}): of {hosts}"


def _connection(event: ConnectionEvent) -> str:
    return f"-      {event.src_ip}:{event.src_port} to {event.dest_ip} {event.dest_port}/{event.proto} {event.outcome}"
