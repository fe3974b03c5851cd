"""Open ports: one source finds far more served ports of a host than anybody uses."""

from portsentry_py.core.detectors.base import Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.question import Questions
from portsentry_py.core.sighting import Kind, Sighting
from portsentry_py.core.source_record import SourceRecord

# Where everything answers (portspoof, a tarpit, a honeypot), a scanner is refused nothing.
_MIN_OPEN = 32
# A client that takes its files in passive mode, or a monitor of many programs, uses as many ports above these.
_MIN_WELL_KNOWN = 16
_FIRST_USER_PORT = 1024


class OpenPortsDetector(Detector):
    """Counts distinct served TCP ports of one host: a raw SYN is no client's, and no client needs 16 well-known ports.

    The answers may be forged, and a monitor may know all of these ports: the source is watched.
    """

    kinds = frozenset({Kind.ANSWERED, Kind.SERVED})

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        if len(record.opened) < _MIN_OPEN or sighting.proto != "tcp":
            return None
        host = self._questions.host_of(sighting.target)
        ports = {
            endpoint.port
            for endpoint in record.opened
            if endpoint.proto == "tcp" and self._questions.host_of(endpoint.target) == host
        }
        well_known = sum(port < _FIRST_USER_PORT for port in ports)
        if len(ports) < _MIN_OPEN or (sighting.scan_type != "syn" and well_known < _MIN_WELL_KNOWN):
            return None
        return Finding("port_scan", sighting, record, sighting.scan_type, False, "served_ports")
