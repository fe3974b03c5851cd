"""One capture judged by several rules: the modes of our filter, and the profiles that stand for other programs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.settings import Networks, Profile, Settings
from portsentry_py.events.model import Event, EvidenceEvent
from portsentry_py.fail2ban.pack import MODES
from portsentry_py.report.would_ban import FirstBan, WouldBan, banned_by, compare, modes_of
from portsentry_py.sensor.replay import Replay, lines_of

_CANDIDATES = 1000
_OURS = "default"
_PEERS = tuple(name for name in get_args(Profile) if name != _OURS)
_NOTE = "the allowlist is only marked here, not applied: this sensor bans nobody who is on it."


class Comparison:
    """The first bans of each source by each rule.

    Args:
        settings: the configuration, with any profile; its `ignore` is part of the allowlist.
        home: more networks that are ours.
        allowlist: networks whose sources are innocent.
        progress: called with the file and the number of packets read so far, now and then.
    """

    def __init__(
        self,
        settings: Settings,
        home: Networks,
        tools: Tools,
        progress: Callable[[Path, int], None],
        allowlist: Networks = (),
    ) -> None:
        self._allowlist = (*settings.ignore, *allowlist)
        self._tools = tools
        self._progress = progress
        self._players = {
            name: Replay(replace(settings, ignore=(), profile=name), home, tools, progress) for name in (_OURS, *_PEERS)
        }
        self._bans: dict[str, dict[str, FirstBan]] = {}
        self.damage: list[str] = []

    def run(self, paths: Iterable[Path]) -> WouldBan:
        """Read the files once; every rule sees every packet.

        Raises:
            InputError: as `Replay.events`.
        """
        with_link = any(player.needs_link for player in self._players.values())
        packets = 0
        for path in paths:
            for lines in lines_of(self._tools, path, self.damage, link=with_link):
                self._note_all((name, player.feed(lines)) for name, player in self._players.items())
                packets += len(lines)
                self._progress(path, packets)
        self._note_all((name, player.finish()) for name, player in self._players.items())
        return compare((*MODES, *_PEERS), self._bans, self._allowlist, _NOTE, _CANDIDATES)

    def _note_all(self, found: Iterable[tuple[str, Iterator[Event]]]) -> None:
        for profile, events in found:
            for event in events:
                if isinstance(event, EvidenceEvent):
                    self._note(profile, event)

    def _note(self, profile: str, event: EvidenceEvent) -> None:
        for mode in modes_of(event):
            rule = mode if profile == _OURS else profile
            if profile != _OURS and mode != "normal":
                continue
            network = (event.group_net or event.src_net) if mode == "network" else event.src_net
            banned = banned_by(mode, event.src_ip, network)
            if banned is not None:
                first = FirstBan(event.timestamp, event.technique, event.reason, event.ports)
                self._bans.setdefault(banned, {}).setdefault(rule, first)
