"""Scans from networks of known scanners."""

from tests.scenarios.conversations import syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import SCANNER, Sent, in_time

CENSYS = "167.94.138.35"


def both() -> list[Sent]:
    """The known scanner and a stranger send the same."""
    return in_time(*(syn_scan_of(src, range(20, 40), at=at) for at, src in enumerate((CENSYS, SCANNER))))


@scenario(
    Named(CENSYS, "ban", "port_scan", "syn", "ports_in_window"),
    Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"),
)
def known_scanner() -> list[Sent]:
    """A scanner of Censys and a stranger scan twenty ports.

    Both are banned: a name decides nothing by itself. The lines about the former have `src_known`.
    """
    return both()


@scenario(
    Named(CENSYS, "watch", "port_scan", "syn", "known_scanner"),
    Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"),
    config="known_scanners: watch\n",
)
def known_scanner_watched() -> list[Sent]:
    """The same, and the operator watches known scanners.

    The stranger alone is banned.
    """
    return both()
