"""The day as a page: who lived on the host, who was banned for what, and who was watched."""

import json
from collections.abc import Sequence

from tests.lab.ordinary.judge import Judged, Register
from tests.lab.ordinary.life import Lived
from tests.lab.ordinary.population import Population
from tests.lab.support.tables import table
from tests.support.sensor import Line

_HEAD = """# An ordinary host

Written by `make ordinary`: a host with nginx, sshd, fail2ban with the stock jail `sshd` and our jail
`portsentry` as shipped, and the sensor with its default settings, lives through a day of 24 hours in
{minutes:g} minutes, {speed:g} times as fast as life. Clients, servers, scanners and the firewall are real, in
network namespaces; what only a network at large could send (noise, backscatter, stray segments) is sent
raw. Everything being that much closer together is harder on the innocent than life is. The exit code is 1 if
an innocent was banned or a scanner was not.
"""
COUNTS = (
    *("packets", "packets_dropped", "packets_malformed", "lines_lost"),
    *("sources_evicted", "flows_evicted", "restarts"),
)
_EVIDENCE = frozenset({"trap", "scan"})
_ONE = 1


def page(lived: Lived, populations: Sequence[Population], judgements: Sequence[Judged], wrong: list[str]) -> str:
    speed = 24 * 60 / lived.day.minutes
    register = Register(populations, lived.playlist)
    parts = [
        _HEAD.format(minutes=lived.day.minutes, speed=speed),
        _summary(lived, judgements, wrong),
        "## Who lived on the host\n",
        "Counted by the host's kernel, both directions; a connection is a TCP SYN, either way.\n",
        _residents(lived, populations, judgements),
        *_captures(lived, judgements),
        "## Who was banned, and for what\n",
        "`hour` is that of the day that was lived; times within the evidence are the machine's.\n",
        _bans(lived, judgements),
        "## Who was watched or ignored\n",
        "The last line of each source; no jail matches these. Sources with the same words share a row.\n",
        _others(lived, register),
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _summary(lived: Lived, judgements: Sequence[Judged], wrong: list[str]) -> str:
    last = [line for line in lived.lines if line["event_type"] == "status"][-1]
    counts = ", ".join(f"{name.replace('_', ' ')} {last[name]}" for name in COUNTS)
    innocent = sum(one.right is False for one in judgements)
    said = [
        f"{len(judgements)} bans, {innocent} of innocents.",
        f"nginx answered {lived.requests} requests, sshd accepted {lived.logins} logins.",
        f"The sensor's own counts: {counts}; {len(lived.lines)} lines.",
    ]
    if wrong:
        said.append("\nWhat is not right:\n")
        said += [f"- {one}" for one in wrong]
    return "\n".join(said) + "\n"


def _residents(lived: Lived, populations: Sequence[Population], judgements: Sequence[Judged]) -> str:
    rows = []
    for one in populations:
        account = lived.accounts[one.name]
        banned = sum(found.who.name == one.name for found in judgements)
        row = (len(account.addresses), account.connections, account.packets, one.meant.value, banned)
        rows.append((one.name, one.about, *row))
    head = ("who", "what they do", "addresses", "connections", "packets", "meant to be banned", "banned")
    return table(head, rows)


def _captures(lived: Lived, judgements: Sequence[Judged]) -> list[str]:
    playlist = lived.playlist
    if not playlist.recordings and not playlist.unusable:
        return []
    names = {recording.capture.name for recording in playlist.recordings}
    unscored = sorted({recording.capture.name for recording in playlist.recordings if not recording.scored})
    banned = sum(found.who.name.startswith("capture ") for found in judgements)
    played = (
        f"Besides, {len(names)} innocent captures were played to it, {len(playlist.recordings)} times: "
        f"the host was the one that takes part in most packets, then that one's busiest peer. That is "
        f"{lived.played} packets with {len(playlist.numbers.addresses())} addresses, all renumbered; "
        f"bans: {banned}."
    )
    text = [played]
    if unscored:
        text.append(f"Shown and not scored, because either verdict can be defended: {', '.join(unscored)}.")
    text += [f"Not used: {name} ({reason})." for name, reason in sorted(playlist.unusable.items())]
    return ["\n".join(text) + "\n"]


def _bans(lived: Lived, judgements: Sequence[Judged]) -> str:
    words = {True: "yes", False: "**no**", None: "not scored"}
    rows = [
        (
            _clock(lived.day.hour(one.ban.moment)),
            one.ban.address,
            one.who.name,
            one.ban.jail,
            words[one.right],
            "<br>".join(map(_match, one.ban.matches)),
        )
        for one in judgements
    ]
    return table(("hour", "source", "who", "jail", "meant", "evidence"), rows)


def _match(text: str) -> str:
    """The matched line: of the sensor what matters in it, of sshd all."""
    text = text.strip()
    if not text.startswith("{"):
        return f"`{text}`"
    try:
        return _evidence(json.loads(text))
    except json.JSONDecodeError:
        return f"`{text}`"


def _evidence(line: Line) -> str:
    keys = ("scan_type", "technique", "reason", "ports_sample", "hosts", "attempts", "closed", "open", "touches")
    said = [f"{key} {line[key]}" for key in keys if key in line]
    said += [f"verified {str(line['source_verified']).lower()}"]
    said += [f"first seen {line['first_seen'][11:23]}, last {line['last_seen'][11:23]}"]
    said += [f"tool {line['tool']}"] if "tool" in line else []
    return f"{line['event_type']}: " + ", ".join(said)


def _others(lived: Lived, register: Register) -> str:
    latest: dict[str, Line] = {}
    for line in lived.lines:
        if line["event_type"] in _EVIDENCE and line["verdict"] in {"watch", "ignore"}:
            latest[line["src_ip"]] = line
    groups: dict[tuple[str, ...], list[Line]] = {}
    for address, line in latest.items():
        if any(ban.hits(address) for ban in lived.bans):
            continue
        who = register.who(address).name
        words = (who, line["verdict"], line["technique"], line["scan_type"], line["reason"])
        groups.setdefault(words, []).append(line)
    rows = [(*words, len(lines), _example(lines)) for words, lines in sorted(groups.items())]
    if not rows:
        return "Nobody.\n"
    return table(("who", "verdict", "technique", "type", "reason", "sources", "evidence"), rows)


def _example(lines: Sequence[Line]) -> str:
    most = max(lines, key=lambda line: int(line["ports"]))
    prefix = "" if len(lines) == _ONE else "most ports: "
    return f"{prefix}{most['src_ip']}, {_evidence(most)}"


def _clock(hour: float) -> str:
    minutes = round(hour * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"
