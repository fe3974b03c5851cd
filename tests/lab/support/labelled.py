"""The truth table of a directory of labelled captures: `index.csv`, a row a capture."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network, summarize_address_range
from pathlib import Path

from portsentry_py.config.settings import Network

# What an index calls a scan, and the words of the line that name it rightly.
TYPES: dict[str, frozenset[str]] = {
    "window": frozenset({"ack"}),  # nothing on the wire tells them apart
    "sctp-init": frozenset({"sctp_init"}),
    "sctp-cookie": frozenset({"sctp_cookie"}),
    "sctp-sweep": frozenset({"sctp_init"}),
    "ip-protocol": frozenset({"ipproto"}),
    "ip-protocol-sweep": frozenset({"ipproto"}),
    "icmp-sweep": frozenset({"icmp"}),
    "ping-sweep": frozenset({"icmp", "mixed"}),  # nmap's default asks with ICMP, SYN and ACK
    **dict.fromkeys(("arp-sweep", "horizontal", "block", "slow", "decoy", "fragmented", "os", "version"), frozenset()),
}


@dataclass(frozen=True)
class Capture:
    path: Path
    name: str
    label: str
    strength: str
    scan_types: tuple[str, ...]
    scanners: frozenset[str]
    home: tuple[Network, ...]
    from_others: bool = False

    @property
    def right_types(self) -> frozenset[str]:
        """The words of `scan_type` that name this scan; empty where any will do."""
        words: set[str] = set()
        for kind in self.scan_types:
            if kind.startswith("custom:"):
                words.add("odd_flags")
            else:
                words |= TYPES.get(kind, frozenset({kind}))
        if self.from_others and "syn" in words:
            # Somebody else's capture: which system call made the SYNs is not known, and both words are right.
            words.add("connect")
        return frozenset(words | {"mixed"}) if len(words) > 1 else frozenset(words)


def read(directory: Path) -> list[Capture]:
    """Every row of `index.csv` in the directory."""
    with (directory / "index.csv").open(encoding="utf-8", newline="") as file:
        return [_capture(directory, row) for row in csv.DictReader(file)]


def _capture(directory: Path, row: dict[str, str]) -> Capture:
    return Capture(
        path=directory / row["file"],
        name=row["file"],
        label=row["label"],
        strength=row["strength"],
        scan_types=tuple(filter(None, row["scan_types"].partition(" (")[0].split(";"))),
        scanners=frozenset(_words(row["scanner_ips"])),
        from_others=bool(row["commit"]),
        home=tuple(network for word in _words(row["target_ips"]) for network in _networks(word)),
    )


def _words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(";") if word.strip()]


def _networks(word: str) -> Iterator[Network]:
    """An address, a network, or nmap's range of last parts (192.0.2.1-9); words are passed over."""
    first, dash, last = word.partition("-")
    try:
        if not dash:
            yield ip_network(word, strict=False)
        else:
            separator = ":" if ":" in first else "."
            start = ip_address(first)
            end = ip_address(first.rpartition(separator)[0] + separator + last)
            yield from summarize_address_range(start, end)
    except ValueError:
        return
