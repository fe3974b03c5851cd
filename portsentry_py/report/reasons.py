"""What each word of `reason` means, where the docs say more, and what would change the verdict."""

from typing import NamedTuple

from portsentry_py.events.model import Reason

_PAGE = "docs/detection.md"
# What an operator can do about a source that was banned on enough evidence.
_OTHERWISE = (
    "An entry on the allowlist or in `ignore` protects it. Ports that others may ask for belong in `served`. "
    "Higher thresholds (`detectors`) or another `profile` ask for more evidence."
)
_NEVER = "Nothing that it does: it is banned only when it is no longer what protects it."
_FORGED = "Proof of its address (`source_verified`) at two ports of the scan makes it a ban."
_MORE = "Evidence of another kind bans it: ports that refuse, or another technique."


class Rule(NamedTuple):
    """A rule: one sentence about the source, a heading of docs/detection.md, and what would change the verdict."""

    sentence: str
    heading: str
    change: str

    @property
    def page(self) -> str:
        """Where the docs explain it."""
        return f"{_PAGE}#{self.heading.lower().replace(' ', '-')}"


RULES: dict[Reason, Rule] = {
    "ports_in_window": Rule(
        "It asked for more ports (or protocols) of one host that nobody serves than an honest client does.",
        "Detectors",
        _OTHERWISE,
    ),
    "hosts_in_window": Rule(
        "It asked for the same at many addresses of this network, and they refused or stayed silent.",
        "Detectors",
        _OTHERWISE,
    ),
    "impossible_flags": Rule("It sent TCP flags that no operating system sends.", "Detectors", _OTHERWISE),
    "likelihood": Rule(
        "Over hours, so many of its first contacts failed that an honest source is next to impossible.",
        "Detectors",
        f"Contacts that succeed speak for it. {_OTHERWISE}",
    ),
    "health_check": Rule(
        "It looks like a load balancer that checks services without a pod here: it asks for NodePorts alone.",
        "Detectors",
        "More than 32 NodePorts, or more than three other ports, make it a scan.",
    ),
    "served_ports": Rule(
        "It asked for very many ports that are all served: it scans a host where everything answers.",
        "Detectors",
        _MORE,
    ),
    "network_together": Rule(
        "Several sources of one network together cover the ports of an address, each of them only a few.",
        "Detectors",
        _OTHERWISE,
    ),
    "tool_together": Rule(
        "Several sources with the fingerprint of one tool together cover the ports of an address.", "Detectors", _MORE
    ),
    "ended": Rule(
        "The scan is over, and a line about the past bans nobody.", "Detectors", "A new scan gets a verdict of its own."
    ),
    "withdrawn": Rule(
        "What looked like a scan was answered since, so it counts no more.",
        "Evidence",
        "New attempts on ports that nobody serves count again.",
    ),
    "points": Rule("It has the points at which scanlogd, xt_psd or Sophos report.", "Profiles", _OTHERWISE),
    "packets": Rule("It sent as many packets as psad's danger level asks for.", "Profiles", _OTHERWISE),
    "bucket": Rule("It filled CrowdSec's leaky bucket with distinct ports.", "Profiles", _OTHERWISE),
    "rejects": Rule("It was refused as often, at as many ports, as Snort's rule asks for.", "Profiles", _OTHERWISE),
    "decoy_port": Rule(
        "It touched a trap port, which nobody has a reason to touch.",
        "Evidence",
        "An entry on the allowlist or in `ignore` protects it. A port that others use must not be in `traps`. "
        "`traps.ban_on` says which touch bans.",
    ),
    "gateway": Rule("It is a gateway of this host.", "Who is not banned", _NEVER),
    "resolver": Rule("It is a name server that this host is configured with.", "Who is not banned", _NEVER),
    "ntp_server": Rule("It is a time server that this host is configured with.", "Who is not banned", _NEVER),
    "dhcp_server": Rule("It gave this host its address.", "Who is not banned", _NEVER),
    "ssh_session": Rule("Somebody is logged in here from this address.", "Who is not banned", _NEVER),
    "friend": Rule(
        "It used connections to served ports before, so somebody may have forged the scan in its name.",
        "Who is not banned",
        f"{_FORGED} So do ten minutes of such evidence. The filter's mode aggressive bans it at once.",
    ),
    "neighbour": Rule(
        "Another address of its IPv6 /64 is a visitor or must never be banned, and a ban would hit that one too.",
        "Who is not banned",
        f"{_FORGED} It does not if the neighbour must never be banned.",
    ),
    "decoy_source": Rule(
        "Others sent the same probes at the same time, as with nmap -D: its address may be one of the forged ones.",
        "Who is not banned",
        "Proof of its address (`source_verified`) makes it a ban.",
    ),
    "queried_server": Rule(
        "It answered this host within the last hour, so its datagrams may be late answers.",
        "Who is not banned",
        "Probes other than datagrams, or an hour without an answer, make it a ban.",
    ),
    "reflection": Rule(
        "Many networks send such answers now: somebody asks them in the name of this host.",
        "Evidence",
        "It is banned if it sends more than four times what all others send.",
    ),
    "one_sender": Rule(
        "Sources of many unrelated networks have its stack and distance: one sender forges them.",
        "Who is not banned",
        "Proof of its address (`source_verified`) makes it a ban.",
    ),
    "ban_budget": Rule(
        "Too many sources were to be banned just now, and anybody can forge addresses.",
        "Who is not banned",
        "It is banned when its turn comes, if it goes on. The section `bans` has the limits.",
    ),
    "known_scanner": Rule(
        "It is in a network of a known scanner, for which the configuration chooses this verdict.",
        "Known scanners",
        "`known_scanners: ban` treats it as anybody.",
    ),
    "own_address": Rule("It is an address of this host.", "Who is not banned", _NEVER),
    "home_network": Rule(
        "It is in a network that counts as ours.", "Who is not banned", "It is banned when `home` does not hold it."
    ),
    "ignore_list": Rule(
        "It is on the allowlist or in `ignore`.", "Who is not banned", "It is banned when neither holds it."
    ),
    "not_bannable": Rule(
        "It is no address of one host that a ban could stop: multicast, broadcast, loopback or link-local.",
        "Who is not banned",
        _NEVER,
    ),
    "mapped_source": Rule(
        "It is an IPv4-mapped IPv6 address, which nobody has on the wire: somebody forged it.",
        "Who is not banned",
        _NEVER,
    ),
    "outbound": Rule(
        "This host itself scans others: an alarm, never a ban.",
        "Scans by this host",
        "Find the program: `portsentry-py status` names it while it scans.",
    ),
}
UNKNOWN = Rule(
    "A rule of a newer version, which this one does not know.", "Detectors", "Read the docs of that version."
)
