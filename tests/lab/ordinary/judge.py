"""Says who each source was, and whether it was right to ban it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.ordinary.bans import Ban
from tests.lab.ordinary.life import Lived
from tests.lab.ordinary.network import HOST6, HOSTS, ROUTERS
from tests.lab.ordinary.population import Meant, Population
from tests.lab.ordinary.recordings import Playlist

_HOUSE = frozenset({*HOSTS, HOST6, *ROUTERS})
_JAILS = {Meant.EACH: "portsentry", Meant.SOME: "portsentry", Meant.LOGIN: "sshd"}


@dataclass(frozen=True)
class Who:
    """Whom an address belongs to. `scored` is false for those of whom nobody can say if they are innocent."""

    name: str
    meant: Meant
    scored: bool = True

    def may_be_banned(self, jail: str) -> bool:
        return _JAILS.get(self.meant) == jail


@dataclass(frozen=True)
class Judged:
    """A ban, whose it is, and whether it is right; None where that is not scored."""

    ban: Ban
    who: Who
    right: bool | None


class Register:
    def __init__(self, populations: Sequence[Population], playlist: Playlist) -> None:
        self._populations = populations
        self._album = playlist

    def who(self, address: str) -> Who:
        for one in self._populations:
            if one.owns(address):
                return Who(one.name, one.meant)
        if address in _HOUSE:
            return Who("the host or a router beside it", Meant.NOBODY)
        played = self._album.numbers.whose(address)
        if played is None:
            return Who("nobody known", Meant.NOBODY)
        recording = self._album.recordings[played[0]]
        name = f"capture {recording.capture.name}, host as {recording.view}, there {played[1]}"
        return Who(name, Meant.NOBODY, scored=recording.scored)


def judged(lived: Lived, register: Register) -> list[Judged]:
    found = []
    for ban in lived.bans:
        who = register.who(ban.source)
        right = who.may_be_banned(ban.jail)
        found.append(Judged(ban, who, right if who.scored or right else None))
    return found


def missed(lived: Lived, populations: Sequence[Population]) -> list[str]:
    """The sources that should have been banned and were not, and the populations that did not come."""
    found = []
    for one in populations:
        came = lived.accounts[one.name].addresses
        if not came:
            found.append(f"{one.name}: nobody came")
            continue
        jail = _JAILS.get(one.meant)
        if jail is None:
            continue
        bans = [ban for ban in lived.bans if ban.jail == jail]
        free = [address for address in came if not any(ban.hits(address) for ban in bans)]
        if one.meant is Meant.SOME and len(free) < len(came):
            continue
        found += [f"{one.name}: {address} is not banned by {jail}" for address in free]
    return found


def wrong(judgements: Sequence[Judged]) -> list[str]:
    """The innocents that were banned."""
    return [
        f"{one.who.name}: {one.ban.address} is banned by {one.ban.jail}" for one in judgements if one.right is False
    ]
