"""Chooses the interfaces that are watched by default, with a reason for each."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from portsentry_py.host.interfaces import DRILL_LINK, OTHERS
from portsentry_py.host.links import Link, links

# Kinds that live as long as the host does; no kind is a device of a driver.
_LASTING = {"": "a device", "bridge": "a bridge", "bond": "a bond", "team": "a team", "vlan": "a VLAN"}
# What passes these passes the link below them too.
_LAYERED = {"vlan": "a VLAN", "macvlan": "a macvlan", "macvtap": "a macvtap", "ipvlan": "an ipvlan"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether an interface that is up is watched by default.

    Attributes:
        watched: `itself` by a capture of its own; with the `others` by one capture of all that come and go; or `no`.
        same_as: the interface that sees the same packets; empty if none does.
    """

    index: int
    name: str
    watched: Literal["itself", "others", "no"]
    why: str
    same_as: str = ""


def choices(found: Iterable[Link] | None = None) -> list[Choice]:
    """The choice for each interface that is up.

    Raises:
        OSError: they cannot be read now.
    """
    known = {link.index: link for link in (links() if found is None else found) if link.up}
    chosen = [_choice(link, known) for link in known.values()]
    if any(one.watched == "itself" for one in chosen):
        return chosen
    why = "there at the start, and nothing here is of a kind that stays"
    return [replace(one, watched="itself", why=why) if one.watched == "others" else one for one in chosen]


def _choice(link: Link, known: dict[int, Link]) -> Choice:
    if link.loopback:
        return Choice(link.index, link.name, "no", "loopback")
    if link.name == DRILL_LINK:
        return Choice(link.index, link.name, "no", "the wire of the drill")
    if link.master in known:
        bridge = known[link.master].name
        return Choice(link.index, link.name, "no", f"a port of {bridge}, which sees the same", bridge)
    if link.kind in _LAYERED and link.parent in known:
        below = known[link.parent].name
        return Choice(link.index, link.name, "no", f"{_LAYERED[link.kind]} on {below}, which sees the same", below)
    if link.kind in _LASTING:
        return Choice(link.index, link.name, "itself", _LASTING[link.kind])
    return Choice(link.index, link.name, "others", f"{link.kind}, which can go at any time")


def default_interfaces() -> list[str]:
    """The names of what is watched by default: the interfaces that stay, and `OTHERS` for all that come and go.

    Raises:
        OSError: they cannot be read now.
    """
    return [*sorted(one.name for one in choices() if one.watched == "itself"), OTHERS]


def heard_twice(watched: Collection[str]) -> frozenset[int]:
    """The indexes of interfaces whose packets come from another capture too.

    Args:
        watched: names of interfaces that have a capture of their own, and `OTHERS`, which must leave these out.

    Raises:
        OSError: they cannot be read now.
    """
    if OTHERS in watched:
        return frozenset(one.index for one in choices() if one.watched == "no" or one.name in watched)
    return frozenset(one.index for one in choices() if {one.name, one.same_as} <= {*watched})
