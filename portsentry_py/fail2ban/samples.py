"""Log lines that the shipped filter must match, and others that it must not match."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import get_args

from portsentry_py.events.model import Technique
from portsentry_py.fail2ban.pack import NETWORK_MODE

_PARTS = ("trap", "sweep", "slow")
_TECHNIQUES = tuple(word for word in get_args(Technique) if word not in {"trap", "none"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One log line, the address and network that it can have banned, and the modes that must match it.

    Every sample has an address and a network of its own. So the output of fail2ban-regex shows which line
    matched, and that the filter took nothing else in the line for the source.
    """

    name: str
    address: str
    line: str
    modes: frozenset[str] = frozenset()
    network: str = ""

    def banned_in(self, mode: str) -> str:
        """The address or network that a match in this mode bans."""
        return self.network if mode == NETWORK_MODE else self.address


def event_line(
    address: str,
    event_type: str = "scan",
    verdict: str = "ban",
    *,
    verified: bool | None = False,
    technique: str = "port_scan",
    direction: str = "inbound",
    spaced: bool = False,
    timestamp: str = "2026-11-20T08:41:57.408980Z",
    network: str = "203.0.113.0/24",
) -> str:
    """A line as the sensor writes it; arguments can make it a wrong one."""
    keys: dict[str, object] = {
        "timestamp": timestamp,
        "event_type": event_type,
        "verdict": verdict,
        "src_ip": address,
        "source_verified": verified,
        "scan_type": "syn",
        "technique": technique,
        "state": "new",
        "direction": direction,
        "dest_ip": "198.18.0.1",
        "dest_port": 23,
        "ports_sample": [21, 22, 23],
        "first_seen": "2026-11-20T08:41:50.000000Z",
        "src_net": network,
        "schema": 1,
    }
    return json.dumps(keys, separators=(", ", ": ") if spaced else (",", ":"))


def modes_for(event_type: str, verdict: str, verified: bool, technique: str) -> frozenset[str]:
    """The modes that must match such a line. This states the contract of the filter a second time."""
    if event_type not in ("scan", "trap") or technique == "outbound" or verdict not in ("ban", "watch"):
        return frozenset()
    if verdict == "watch":
        return frozenset({"aggressive"})
    modes = {"normal", "aggressive", technique if technique in _PARTS else "scan"}
    if verified:
        modes.add("strict")
    if technique == "distributed":
        modes.add(NETWORK_MODE)
    return frozenset(modes)


def samples() -> list[Sample]:
    """Every class of line that the sensor writes, over IPv4 and IPv6, and the hostile ones."""
    return [
        *_classes("203.0.113.%d", "198.18.%d.0/24"),
        *_classes("2001:db8::%x", "2001:db8:0:%x::/64"),
        *_hostile(),
        *_hostile_networks(),
    ]


def _classes(address_format: str, network_format: str) -> Iterator[Sample]:
    decided = ("ban", "watch", "ignore")
    classes = [
        *product(("scan",), decided, (False, True), _TECHNIQUES),
        *product(("trap",), decided, (False, True), ("trap",)),
        *product(("connection",), ("none",), (False, True), ("none",)),
    ]
    for number, (event_type, verdict, verified, technique) in enumerate(classes, start=1):
        address, network = address_format % number, network_format % number
        yield Sample(
            " ".join((event_type, verdict, "verified" if verified else "unverified", technique, address)),
            address,
            event_line(address, event_type, verdict, verified=verified, technique=technique, network=network),
            modes_for(event_type, verdict, verified, technique),
            network,
        )


def _hostile() -> Iterator[Sample]:
    """Named deceptions, with an address of 192.0.2.0/24 as bait."""
    whole = event_line("192.0.2.1")
    undated = event_line("192.0.2.1", timestamp="")
    connection = event_line("198.51.100.1", "connection", "none", technique="none")
    deceptions = {
        "tail of a cut line, from the date's end": whole[whole.index('","event_type"') :],
        "tail of a cut line, from the comma": whole[whole.index(',"event_type"') :],
        "tail of a cut line, from the source": whole[whole.index('"src_ip"') :],
        "no date": "{" + whole[whole.index('"event_type"') :],
        "date without a zone": event_line("192.0.2.1", timestamp="2026-11-20T08:41:57.408980"),
        "date of no calendar": event_line("192.0.2.1", timestamp="2026-13-45T08:41:57.408980Z"),
        "text before the object": "Nov 20 08:41:57 host sensor: " + whole,
        "a second object on a line": connection + whole,
        "an object inside a later value": connection[:-1] + ',"note":"' + whole + '"}',
        "a dateless object inside a later value": connection[:-1] + ',"note":"' + undated + '"}',
        "another object's keys repeated": connection[:-1] + whole[whole.index(',"event_type"') :],
        "blanks after the separators": event_line("192.0.2.1", spaced=True),
        "another order of keys": whole.replace('"event_type":"scan",', "").replace(
            '"src_ip"', '"event_type":"scan","src_ip"'
        ),
        "source written as a network": event_line("192.0.2.1/8"),
        "source in brackets": event_line("[192.0.2.1]"),
        "source that is a host name": event_line("scanner.example"),
        "source mapped into IPv6": event_line("::ffff:192.0.2.1"),
        "source mapped into IPv6, in capitals": event_line("::FFFF:192.0.2.1"),
        "source mapped into IPv6, in hexadecimal": event_line("::ffff:c000:201"),
        "source mapped into IPv6, at full length": event_line("0:0:0:0:0:ffff:192.0.2.1"),
        "source mapped into IPv6, with zeros": event_line("0000::ffff:c000:201"),
        "verdict that only begins like one": event_line("192.0.2.1", verdict="banned"),
        "verdict in capitals": event_line("192.0.2.1", verdict="BAN"),
        "event that only begins like one": event_line("192.0.2.1", event_type="scanned"),
        "scan without a verdict": event_line("192.0.2.1", verdict="none"),
        "proof of the source missing": event_line("192.0.2.1", verified=None),
        "scan by this host, whatever the technique": event_line("192.0.2.1", direction="outbound"),
        "text of the C portsentry": "2026-11-20T08:41:57.408980Z Scan from: [192.0.2.1] (192.0.2.1)",
        "status": '{"timestamp":"2026-11-20T08:41:57.408980Z","event_type":"status","verdict":"none"'
        ',"src_ip":"192.0.2.1","source_verified":true,"scan_type":"syn","technique":"port_scan"}',
    }
    for number, (name, line) in enumerate(deceptions.items(), start=1):
        bait, bait_in_hex = f"192.0.2.{number}", f"c000:{0x200 + number:x}"
        yield Sample(name, bait, line.replace("192.0.2.1", bait).replace("c000:201", bait_in_hex))
    second = event_line("198.51.100.2")[:-1] + ',"src_ip":"192.0.2.253","via":{"src_ip":"192.0.2.254"}}'
    yield Sample("first of several sources", "198.51.100.2", second, modes_for("scan", "ban", False, "port_scan"))


def _hostile_networks() -> Iterator[Sample]:
    """Lines of a distributed scan with networks that our sensor never writes."""
    baits = {
        "wider than a /24": "192.0.2.0/8",
        "everything": "0.0.0.0/0",
        "everything over IPv6": "::/0",
        "wider than a /64": "2001:db8::/32",
        "an address": "192.0.2.9",
        "mapped into IPv6": "::ffff:c000:200/64",
        "a host name": "scanner.example/24",
        "in brackets": "[192.0.2.0]/24",
        "a shell command": "$(reboot)/24",
    }
    for number, (name, bait) in enumerate(baits.items(), start=1):
        source = f"198.51.100.{100 + number}"
        line = event_line(source, technique="distributed", network=bait)
        modes = modes_for("scan", "ban", False, "distributed") - {NETWORK_MODE}
        yield Sample(f"network {name}", source, line, modes, bait)
    two = event_line("198.51.100.121", technique="distributed", network="198.19.1.0/24")
    two = two.replace(',"schema"', ',"src_net":"198.19.2.0/24","schema"')
    modes = modes_for("scan", "ban", False, "distributed")
    yield Sample("first of several networks", "198.51.100.121", two, modes, "198.19.1.0/24")
