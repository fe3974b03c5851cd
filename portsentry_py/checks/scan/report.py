"""The results of a scan as rows for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator

from portsentry_py.checks.scan.model import STATES, HostResult, State, protocol_of
from portsentry_py.checks.scan.ports import ranges_of, service_name
from portsentry_py.checks.scan.scan import Scan

_SHOWN_OF_A_STATE = 25


def rows(found: HostResult, scan: Scan) -> Iterator[tuple[str, State, str]]:
    """Port with protocol, state and service, by port, less the states that too many ports have."""
    protocol, left_out = protocol_of(scan.method), dict(crowds(found))
    for port, state in found.states():
        if state not in left_out:
            yield f"{port}/{protocol}", state, service_name(port, protocol)


def crowds(found: HostResult) -> list[tuple[State, int]]:
    """States that are counted instead of shown, unless `open`: those of more than 25 ports."""
    counted = Counter(state for _, state in found.states())
    return [(state, count) for state, count in counted.most_common() if count > _SHOWN_OF_A_STATE and state != "open"]


def document(scan: Scan, seconds: float) -> dict[str, object]:
    """For `--json`. `states` has every port, as ranges; `ports` has those of the table, with their services."""
    return {
        "method": scan.method,
        "complete": scan.complete,
        "sent": scan.sent,
        "seconds": round(seconds, 3),
        "hosts": [_host(found, scan) for found in scan.results],
    }


def _host(found: HostResult, scan: Scan) -> dict[str, object]:
    of_state: dict[State, list[int]] = {state: [] for state in STATES}
    for port, state in found.states():
        of_state[state].append(port)
    return {
        "address": found.target.address,
        "source": found.target.source,
        "states": {state: ranges_of(ports) for state, ports in of_state.items() if ports},
        "ports": [
            {"port": int(port.partition("/")[0]), "state": state, "service": service}
            for port, state, service in rows(found, scan)
        ],
    }
