"""Log lines that the shipped filter must match, and others that it must not match."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import get_args

from portsentry_py.events.model import Technique
from portsentry_py.fail2ban.pack import NETWORK_MODE

_PARTS = ("trap", "sweep", "slow")
_OF_OTHERS = ("fleet", "fleet_sweep")
_TECHNIQUES = tuple(word for word in get_args(Technique) if word not in {"trap", *_OF_OTHERS, "none"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One log line, what it can have banned, and the modes that must match it.

    Every sample has an address and networks of its own. So the output of fail2ban-regex shows which line
    matched, and that the filter took nothing else in the line for the source.

    Attributes:
        name: what the line is.
        address: the address of the source.
        line: the line.
        modes: the modes that must match it.
        network: the network that mode `network` bans.
        source: what the other modes ban, if it is not the address: the /64 of an IPv6 source.
    """

    name: str
    address: str
    line: str
    modes: frozenset[str] = frozenset()
    network: str = ""
    source: str = ""

    def banned_in(self, mode: str, ipv6: str = "network") -> str:
        """The address or network that a match in this mode bans, with this value of the parameter `ipv6`."""
        if mode == NETWORK_MODE:
            return self.network
        return (ipv6 == "network" and self.source) or self.address


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
    known: str = "",
    group: str = "",
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
        **({"src_known": known} if known else {}),
        **({"group_net": group} if group else {}),
        "schema": 1,
    }
    return json.dumps(keys, separators=(", ", ": ") if spaced else (",", ":"))


def modes_for(event_type: str, verdict: str, verified: bool, technique: str) -> frozenset[str]:
    """The modes that must match such a line. This states the contract of the filter a second time."""
    if event_type not in ("scan", "trap", "fleet") or technique == "outbound" or verdict not in ("ban", "watch"):
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
        *_classes("198.18.%d.9", "198.18.%d.0/24"),
        *_classes("2001:db8:0:%x::9", "2001:db8:0:%x::/64"),
        *_groups(),
        *_of_others(),
        *_hostile(),
        *_hostile_networks(),
        *_hostile_keys(),
        *_shared_networks(),
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
            network if ":" in network else "",
        )


def _of_others() -> Iterator[Sample]:
    """What hosts of the operator know together, in the log of the fleet."""
    classes = product(("ban", "watch", "none"), (False, True), _OF_OTHERS)
    for number, (verdict, verified, technique) in enumerate(classes, start=200):
        for address, network in ((f"198.18.{number}.9", f"198.18.{number}.0/24"), (f"2001:db8:0:{number:x}::9", "")):
            net = network or address.replace("::9", "::/64")
            line = event_line(address, "fleet", verdict, verified=verified, technique=technique, network=net)
            source = "" if network else net
            yield Sample(
                f"of others, {technique}, {verdict}, {address}",
                address,
                line,
                modes_for("fleet", verdict, verified, technique),
                net,
                source,
            )


def _groups() -> Iterator[Sample]:
    """The networks that scan together: mode `network` bans them, and the other modes the source."""
    modes = modes_for("scan", "ban", False, "distributed")
    rows = (
        ("198.51.100.200", "198.51.100.0/24", "198.51.100.0/24", ""),
        ("2001:db8:21::9", "2001:db8:21::/64", "2001:db8:21::/56", "2001:db8:21::/64"),
        ("2001:db8:22::9", "2001:db8:22::/64", "2001:db8:22::/48", "2001:db8:22::/64"),
        ("2001:db8:23::9", "2001:db8:23::9/128", "2001:db8:23::/64", ""),
        ("2001:db8:25:1234:1:2:3:9", "2001:db8:25:1234::/64", "2001:db8:25:1200::/56", "2001:db8:25:1234::/64"),
        ("fd00::17:1:2:3:9", "fd00:0:0:17::/64", "fd00::/56", "fd00:0:0:17::/64"),
        ("fd00::2117:1:2:3:9", "fd00:0:0:2117::/64", "fd00:0:0:2100::/56", "fd00:0:0:2117::/64"),
    )
    for address, network, group, source in rows:
        line = event_line(address, technique="distributed", network=network, group=group)
        yield Sample(f"the group {group}", address, line, modes, group, source)
    line = event_line(
        "2001:db8:26::9", technique="distributed", network="2001:db8:26::/64", known="censys", group="2001:db8:26::/56"
    )
    yield Sample("a known scanner", "2001:db8:26::9", line, modes, "2001:db8:26::/56", "2001:db8:26::/64")
    line = event_line("2001:db8:24::9", network="2001:db8:24::9/128")
    yield Sample("a neighbour of ours", "2001:db8:24::9", line, modes_for("scan", "ban", False, "port_scan"))


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


_NO_NETWORKS = {
    "198.51.%d.9": (
        "192.0.2.0/24",
        "198.51.N.0/8",
        "198.51.N.0/25",
        "0.0.0.0/0",
        "::/0",
        "2001:db8:3::/64",
        "198.51.N.9",
        "::ffff:c000:200/64",
        "scanner.example/24",
        "[192.0.2.0]/24",
        "$(reboot)/24",
    ),
    "2001:db8:5:%d::9": (
        "::/0",
        "::/64",
        "2001:db8:4::/48",
        "2001:db8:4::/64",
        "2001:db8:5:ff00::/56",
        "2001:db8:5:ff00::/64",
        "2001:db8:5::/47",
        "2001:db8:5:N::/47",
        "2001:db8:5:N::/63",
        "2001:db8:5:N::/65",
        "2001:db8:5:N::9/128",
        "2001:db8:5:N::9",
        "2001:db8:5:N::/640",
        "fe80::/64",
        "198.19.3.0/24",
        "198.19.3.0/64",
        "::ffff:c000:200/64",
        "0::ffff:c000:200/64",
        "::ffff:192.0.2.0/64",
        "2001:DB8:5:N::/64",
        "fe80::1%eth0/64",
        "scanner.example/64",
        "[2001:db8:5:N::]/64",
        "$(reboot)/64",
    ),
}


def _hostile_networks() -> Iterator[Sample]:
    """Networks that our sensor never writes, as `src_net` and as `group_net`: nobody is banned with them.

    Some belong to strangers, as in a torn line. N stands for the number of the source.
    """
    modes = modes_for("scan", "ban", False, "distributed") - {NETWORK_MODE}
    for address_format, baits in _NO_NETWORKS.items():
        for number, form in enumerate(baits, start=1):
            address, bait = address_format % number, form.replace("N", str(number))
            line = event_line(address, technique="distributed", network=bait)
            yield Sample(f"{address} of the network {bait}", address, line, modes, bait)
            address, bait = address_format % (100 + number), form.replace("N", str(100 + number))
            network, source = address.removesuffix("9") + "0/24", ""
            if ":" in address:
                network = source = address.replace("::9", "::/64")
            line = event_line(address, technique="distributed", network=network, group=bait)
            yield Sample(f"{address} of the group {bait}", address, line, modes, bait, source)


def _hostile_keys() -> Iterator[Sample]:
    """Lines with the network at a wrong place, so that only the address is banned, or with two networks."""
    modes = modes_for("scan", "ban", False, "distributed")
    whole = event_line("2001:db8:6::9", technique="distributed", network="2001:db8:6::/64")
    key = ',"src_net":"2001:db8:6::/64"'
    lines = {
        "absent, as in a line of an older sensor": "",
        "no text": ',"src_net":["2001:db8:6::/64"]',
        "behind an improper one": ',"src_net":"2001:db8:6::/63"' + key,
        "inside an object": ',"via":{"a":1' + key + "}",
        "behind an object": ',"via":{}' + key,
        "behind an escaped quote": ',"note":"\\""' + key,
        "inside a text": ',"note":"x\\",\\"src_net\\":\\"2001:db8:6::/64\\""',
        "behind too many keys": 41 * ',"a":1' + key,
        "spaced": key.replace(":", ": ", 1),
        "with a blank behind it": key.replace('/64"', '/64 "'),
    }
    for number, (name, keys) in enumerate(lines.items(), start=1):
        network = f"2001:db8:6:{number}::/64"
        line = whole.replace(key, keys).replace("2001:db8:6:", f"2001:db8:6:{number}:")
        yield Sample(f"a network {name}", network.replace("::/64", "::9"), line, modes - {NETWORK_MODE}, network)
    for key, address, network, group in (
        ("src_net", "198.19.1.9", "198.19.1.0/24", ""),
        ("src_net", "2001:db8:7:1::9", "2001:db8:7:1::/64", ""),
        ("group_net", "198.19.2.9", "198.18.200.0/24", "198.19.2.0/24"),
        ("group_net", "2001:db8:7:2::9", "2001:db8:7:2::/64", "2001:db8:7::/56"),
    ):
        line = event_line(address, technique="distributed", network=network, group=group)
        line = line.replace(
            ',"schema"', f',"{key}":"{"2001:db8:7::/48" if ":" in address else "198.19.3.0/24"}","schema"'
        )
        yield Sample(
            f"the first {key} of {address}", address, line, modes, group or network, network if ":" in network else ""
        )


def _shared_networks() -> Iterator[Sample]:
    """Networks whose addresses are different people: only the address is banned."""
    modes = modes_for("scan", "ban", False, "distributed") - {NETWORK_MODE}
    for address, network in (
        ("fe80::9", "fe80::/64"),
        ("64:ff9b::c633:6409", "64:ff9b::/64"),
        ("2001:0:c633:6409::9", "2001:0:c633:6409::/64"),
    ):
        line = event_line(address, technique="distributed", network=network)
        yield Sample(f"a neighbour in {network}", address, line, modes, network)
