"""All attacks, and how one is played."""

import tempfile
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

from tests.lab.attacks import live, tape
from tests.lab.attacks.attack import Attack, Observed
from tests.lab.attacks.classes import (
    budgets,
    controls,
    doubt,
    files,
    hidden,
    hopping,
    innocents,
    local_users,
    outliving,
    own_address,
    proofs,
    roles,
    tunnels,
)
from tests.lab.attacks.expectation import banned, moment

CLASSES: dict[str, tuple[Attack, ...]] = {
    "controls": controls.ATTACKS,
    "the victim's own address": own_address.ATTACKS,
    "tunnels": tunnels.ATTACKS,
    "hidden probes": hidden.ATTACKS,
    "forged proof": proofs.ATTACKS,
    "abused doubt": doubt.ATTACKS,
    "acquired roles": roles.ATTACKS,
    "many addresses of one owner": hopping.ATTACKS,
    "bans of innocents": innocents.ATTACKS,
    "outliving a ban": outliving.ATTACKS,
    "budgets and tables": budgets.ATTACKS,
    "local users": local_users.ATTACKS,
    "files of the sensor": files.ATTACKS,
}
ATTACKS: tuple[Attack, ...] = tuple(attack for attacks in CLASSES.values() for attack in attacks)
_MODES = ("normal", "strict")


def play(attack: Attack, folder: Path) -> Observed:
    """Play an attack, as often as it takes to know the fewest packets that ban an innocent."""
    seen = _once(attack, folder)
    if attack.way == "live" or not attack.forges:
        return seen
    return replace(seen, fewest={mode: found for mode in _MODES if (found := _fewest(attack, seen, mode))})


def play_quickly(attack: Attack, folder: Path, least: int) -> Observed:
    """Play an attack, and once more with one packet less than may ban an innocent if one is banned.

    Args:
        attack: which.
        folder: an empty one.
        least: the fewest packets that may; 0 if nothing is said about that.
    """
    seen = _once(attack, folder)
    if not (least and banned(seen, "innocent")):
        return seen
    with tempfile.TemporaryDirectory() as another:
        less = tape.observe(attack, Path(another), limit=least - 1)
    return replace(seen, fewest={"normal": least - 1} if banned(less, "innocent") else {})


def _once(attack: Attack, folder: Path) -> Observed:
    return live.observe(attack, folder) if attack.way == "live" else tape.observe(attack, folder)


def _fewest(attack: Attack, seen: Observed, mode: str) -> int | None:
    """The smallest number of packets with which an innocent is banned; None if none is.

    More packets are taken to do what fewer do. The line's date says where to look first.
    """
    whom = banned(seen, "innocent", mode)
    if not whom:
        return None
    dates = [moment(line) for line in seen.evidence if line["verdict"] == "ban" and line["src_ip"] in whom]
    guess = bisect_right(seen.sent, min(dates, default=seen.sent[-1]))
    low, high = 0, len(seen.sent)
    for tried in (guess, guess - 1):
        if low < tried < high:
            low, high = _narrowed(attack, mode, low, tried, high)
    while high - low > 1:
        low, high = _narrowed(attack, mode, low, (low + high) // 2, high)
    return high


def _narrowed(attack: Attack, mode: str, low: int, tried: int, high: int) -> tuple[int, int]:
    """The bounds, after one more replay with that many packets."""
    with tempfile.TemporaryDirectory() as folder:
        does = banned(tape.observe(attack, Path(folder), limit=tried), "innocent", mode)
    return (low, tried) if does else (tried, high)
