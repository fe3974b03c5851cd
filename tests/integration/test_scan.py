"""The scanner beside nmap: the same states, port by port, for each method and family."""

import json
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portsentry_py.checks.scan.model import METHODS, Family, Method
from portsentry_py.checks.scan.ports import port_list
from tests.support import scan_target
from tests.support.namespaces import Lab
from tests.support.needs import unsupported

pytestmark = pytest.mark.wire

OPEN, CLOSED, DROPPED, RESET, UNREACHABLE, PROHIBITED, NO_ROUTE = PORTS = range(1000, 1007)
RULES = f"""
table inet scanned {{
    chain input {{
        type filter hook input priority 0
        meta l4proto {{ tcp, udp, sctp }} th dport {DROPPED} drop
        tcp dport {RESET} reject with tcp reset
        meta l4proto {{ tcp, udp, sctp }} th dport {UNREACHABLE} reject with icmpx port-unreachable
        meta l4proto {{ tcp, udp, sctp }} th dport {PROHIBITED} reject with icmpx admin-prohibited
        meta l4proto {{ tcp, udp, sctp }} th dport {NO_ROUTE} reject with icmpx no-route
    }}
}}
"""
_TOGETHER = 4
# Linux sends one ICMP error a second; here, the scans of all methods follow one another.
_UNLIMITED_ERRORS = "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit"
NMAP: dict[Method, str] = {
    "connect": "-sT",
    "syn": "-sS",
    "null": "-sN",
    "fin": "-sF",
    "xmas": "-sX",
    "maimon": "-sM",
    "ack": "-sA",
    "window": "-sW",
    "udp": "-sU",
    "sctp-init": "-sY",
}


@pytest.fixture
def scanned(lab: Lab) -> Lab:
    """A target with a port of each kind."""
    rules = lab.target.run("nft", "-f", "-", text=RULES)
    assert rules.returncode == 0, rules.stderr
    lab.target.set_kernel(_UNLIMITED_ERRORS)
    lab.target.serve(str(OPEN), str(CLOSED), program=Path(scan_target.__file__))
    return lab


def states_by_nmap(lab: Lab, method: Method, family: Family, ports: Iterable[int]) -> dict[int, str]:
    # nmap misses an ICMP error that comes while connect(2) is in the kernel, unless it waits for the second SYN.
    patience = ("--min-rtt-timeout", "2500ms", "--max-rtt-timeout", "5s") if method == "connect" else ()
    words = ("nmap", "-n", "-Pn", *(("-6",) if family == 6 else ()), NMAP[method], *patience, "-oG", "-")
    done = lab.scanner.run(*words, "-p", ",".join(map(str, ports)), address(lab, family))
    assert done.returncode == 0, done.stderr
    return {int(port): state for port, state in re.findall(r"(\d+)/([a-z|]+)/[a-z]+//", done.stdout)}


def states_by_us(lab: Lab, method: Method, family: Family, ports: Iterable[int], *words: str) -> dict[int, str]:
    scan = (sys.executable, "-m", "portsentry_py", "scan", "--i-own-this", "--json", "--method", method, *words)
    done = lab.scanner.run(*scan, "-p", ",".join(map(str, ports)), address(lab, family))
    assert done.returncode == 0, done.stderr
    (host,) = json.loads(done.stdout)["hosts"]
    return {port: state for state, text in host["states"].items() for port in port_list(text)}


def address(lab: Lab, family: Family) -> str:
    return (lab.target.ipv4 if family == 4 else lab.target.ipv6)[0]


def compare(lab: Lab) -> None:
    """Every method and family, by both scanners, a few at once."""

    def both(method: Method, family: Family) -> tuple[dict[int, str], dict[int, str]]:
        ports = (*PORTS, scan_target.DNS_PORT)
        return states_by_us(lab, method, family, ports), states_by_nmap(lab, method, family, ports)

    cases: list[tuple[Method, Family]] = [(method, family) for method in METHODS for family in (4, 6)]
    with ThreadPoolExecutor(_TOGETHER) as pool:
        found = dict(zip(cases, pool.map(both, *zip(*cases, strict=True)), strict=True))
    differing = [
        (*case, port, ours.get(port), theirs.get(port))
        for case, (ours, theirs) in found.items()
        for port in ours | theirs
        if ours.get(port) != theirs.get(port)
    ]
    assert differing == []
    for (method, _), (ours, _) in found.items():
        assert len(ours) == len(PORTS) + 1, method
    syn, udp, sctp = (found[method, 4][0] for method in ("syn", "udp", "sctp-init"))
    assert (syn[OPEN], syn[CLOSED], syn[DROPPED], syn[RESET]) == ("open", "closed", "filtered", "closed")
    assert (udp[OPEN], udp[CLOSED], udp[DROPPED], udp[53]) == ("open", "closed", "open|filtered", "open")
    assert (sctp[OPEN], sctp[CLOSED], sctp[PROHIBITED]) == ("open", "closed", "filtered")


def test_both_scanners_see_the_same_states(scanned: Lab) -> None:
    compare(scanned)


@pytest.mark.slow
def test_both_scanners_see_the_same_states_over_a_wire_that_delays_and_loses(scanned: Lab) -> None:
    if not Path("/dev/net/tun").exists():
        unsupported("there is no /dev/net/tun; load the module tun.")
    scanned.damage()
    compare(scanned)


@pytest.mark.parametrize("family", [4, 6])
def test_closed_udp_ports_are_closed_where_the_kernel_limits_its_errors(lab: Lab, family: Family) -> None:
    ports = range(3000, 3012)
    assert states_by_us(lab, "udp", family, ports) == dict.fromkeys(ports, "closed")
