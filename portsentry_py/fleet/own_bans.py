"""The bans of this host, as its own log has them: what it tells the others."""

from typing import Literal, get_args

from portsentry_py.events.model import Event, EvidenceEvent, FleetEvidence, time_us
from portsentry_py.fleet.messages import MOST_BANS, Ban, BanMessage, StateMessage
from portsentry_py.fleet.protection import Protection

_SECOND_US = 1_000_000
# While the brokers elect a leader, they keep no list: a live ban has to reach a host that changes its broker then.
_REPEATS, _MOST_REPEATED = 3, 100
_EVIDENCE: dict[str, FleetEvidence] = {word: word for word in get_args(FleetEvidence)}


class OwnBans:
    """What this host bans now.

    Args:
        ban_seconds: how long the others are asked to ban.
    """

    def __init__(self, ban_seconds: int) -> None:
        self._ban_us = ban_seconds * _SECOND_US
        self._bans: dict[str, Ban] = {}
        self._repeats: dict[str, int] = {}
        self._issued_us = 0
        self.has_changed = True
        """Whether the list differs from the one that `state` gave."""

    def take(self, event: Event, now_us: int) -> BanMessage | None:
        """Take a line of the log; the message about it, if the others have to know now."""
        if not isinstance(event, EvidenceEvent) or event.direction != "inbound":
            return None
        ban = self._ban(event)
        if ban is None:
            return None
        if event.reason == "withdrawn":
            self.has_changed |= self._bans.pop(ban.source, None) is not None
            return None
        if event.verdict != "ban" or ban.until_us <= now_us:
            return None
        before = self._bans.pop(ban.source, None)
        self._bans[ban.source] = ban  # the latest last
        if len(self._bans) > MOST_BANS:
            del self._bans[next(iter(self._bans))]
        # A scan that goes on has a line every few minutes: the others hear of it once in half a ban.
        if before is not None and before.verified >= ban.verified and before.until_us - now_us > self._ban_us // 2:
            self._bans[ban.source] = before
            return None
        self.has_changed = True
        self._repeats.pop(ban.source, None)
        self._repeats[ban.source] = _REPEATS
        if len(self._repeats) > _MOST_REPEATED:
            del self._repeats[next(iter(self._repeats))]
        return BanMessage(1, self._stamp(now_us), ban)

    def repeated(self, now_us: int) -> list[BanMessage]:
        """The latest bans once more, each some times."""
        self._repeats = {source: left - 1 for source, left in self._repeats.items() if left}
        found = (self._bans.get(source) for source in self._repeats)
        return [BanMessage(1, self._stamp(now_us), ban) for ban in found if ban is not None and ban.until_us > now_us]

    def _ban(self, event: EvidenceEvent) -> Ban | None:
        evidence = _EVIDENCE.get(event.technique)
        if evidence is None:
            return None
        prefix: Literal[32, 64, 128] = 32
        if ":" in event.src_ip:
            prefix = 64 if event.src_net.endswith("/64") else 128
        until_us = time_us(event.timestamp) + self._ban_us
        try:
            return Ban(event.src_ip, prefix, event.source_verified, evidence, event.scan_type, until_us)
        except ValueError:  # an IPv4-mapped address
            return None

    def drop(self, protection: Protection) -> None:
        """Lift the bans of sources that must never be banned: the operator has allowed them since."""
        for source in [source for source in self._bans if protection.reason(source) is not None]:
            del self._bans[source]
            self.has_changed = True

    def state(self, now_us: int) -> StateMessage:
        """The whole list."""
        self._bans = {source: ban for source, ban in self._bans.items() if ban.until_us > now_us}
        self.has_changed = False
        return StateMessage(1, self._stamp(now_us), tuple(self._bans.values()))

    def _stamp(self, now_us: int) -> int:
        """The time of a message: later than that of any other one, even where the clock was set back."""
        self._issued_us = max(now_us, self._issued_us + 1)
        return self._issued_us

    def __len__(self) -> int:
        return len(self._bans)
