"""Floods of packets, of which the tables hold only a part."""

from ipaddress import ip_address

from portsentry_py.core.packet import SYN
from tests.scenarios.conversations import syn_scan_of
from tests.scenarios.scenario import Named, scenario
from tests.support.build import HOST, MSS_OPTION, SCANNER, Sent, in_time, tcp


@scenario(
    Named(SCANNER, "ban", "port_scan", "syn", "ports_in_window"),
    config="limits:\n  max_sources: 2000\n  max_flows: 4096\nlines:\n  per_second: 1\n",
    committed=False,
)
def scan_in_a_flood() -> list[Sent]:
    """A SYN scan of 100 ports hides in SYNs from 50,000 sources to one port; only 2,000 are remembered.

    The scanner is banned and nobody else is named. The capture is large: it is made when it is needed.
    """
    flood = [
        tcp(
            str(ip_address(0x01000000 + nth * 7919 % 50_000 * 74_207)),
            HOST,
            1024 + nth * 7919 % 64_000,
            80,
            SYN,
            at=nth * 0.0004,
            seq=nth * 74_207,
            options=MSS_OPTION,
        )
        for nth in range(50_000)
    ]
    return in_time(flood, syn_scan_of(SCANNER, range(100, 200), every=0.2))
