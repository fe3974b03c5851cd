"""Scans from a host of the lab, with nmap."""

from tests.support.namespaces import IFACE, Host, Lab

PORTS = "1-150"
# Names are not asked, nothing is pinged first, and ports that a ban hides do not make the scan wait.
_OPTIONS = ("-n", "-Pn", "-T4", "--max-retries", "1", "--min-rate", "100", "--host-timeout", "60s")


def nmap(scanner: Host, *words: str) -> None:
    """Scan, with these options too."""
    done = scanner.run("nmap", *_OPTIONS, *words)
    assert done.returncode == 0, done.stderr


def scan_from(scanner: Host, source: str, *words: str) -> None:
    """Scan from one of the scanner's addresses, past its own routing."""
    nmap(scanner, "--send-ip", "-e", IFACE, "-S", source, *words)


def forge(lab: Lab, source: str, *options: str) -> None:
    """Scan forty ports of the target in somebody else's name, with further options of nmap."""
    target = lab.target.ipv4[0]
    # nmap sends from addresses of the host alone. No neighbour must hear that this one moved here: the target
    # is looked up before, and never again.
    assert lab.scanner.reaches(target, 80)
    lab.scanner.run("ip", "neigh", "change", target, "dev", IFACE, "nud", "permanent")
    lab.scanner.run("ip", "addr", "add", f"{source}/32", "dev", "lo")
    scan_from(lab.scanner, source, "-sS", *options, "-p", "1-40", target)
