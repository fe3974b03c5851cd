"""Whether a packet in our name left this host: the rule for capture files. Live, the kernel's filter has it."""

from collections.abc import Iterable, Iterator

from portsentry_py.core.columns import LINK_COLUMNS, LinkCells, ends_of

_OUTGOING = frozenset({"4", "0x02"})  # linux/if_packet.h, PACKET_OUTGOING; pcapng, option epb_flags
_MAX_LINKS = 1_024
_NO_LINKS = "\t\n"  # no line ends like this


class Provenance:
    """Leaves out frames with a source address of ours that came in from outside.

    The capture says so itself, or the frame has a link address that never received what is ours. Many programs write
    captures without directions or with the same link addresses everywhere, so both count only once a frame of ours was
    outgoing, or had a link address that received what is ours and sent us nothing of others.

    Args:
        ours: single addresses of this host; of a network behind this host, packets do come in.
    """

    def __init__(self, ours: Iterable[str]) -> None:
        self._ours = frozenset(ours)
        self._own_links = set[str]()
        self._neighbours = set[str]()
        self._is_marked = self._has_links = False
        self.forged = 0
        """Frames that were left out."""

    def believed(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines of the frames that are believed, without their link columns."""
        # Most frames come from one neighbour or go to it: what was noted or sent with these links says nothing more.
        ours, noted, sent = self._ours, _NO_LINKS, _NO_LINKS
        for line in lines:
            if line.endswith((noted, sent)):
                start = line.index("\t") + 1
                links = sent if line[start : line.index("\t", start)].strip() in ours else noted
                if line.endswith(links):
                    yield line[: -len(links)]
                    continue
            try:
                src, dst = ends_of(line)
                rest, *cells = line.rsplit("\t", len(LINK_COLUMNS))
            except ValueError:
                yield line
                continue
            link = LinkCells._make(map(str.strip, cells))
            if src in ours:
                if self._came_in(link):
                    self.forged += 1
                    continue
                # Others are believed while nothing speaks against them.
                sent = line[len(rest) :] if self._left(link) else _NO_LINKS
            elif dst in ours:
                noted = line[len(rest) :]
                self._note(link.src, link.dst)
            yield rest

    def _left(self, link: LinkCells) -> bool:
        """Whether frames of ours with these links are believed until one is marked as outgoing."""
        return _is_outgoing(link) or link.src in self._own_links

    def _came_in(self, link: LinkCells) -> bool:
        is_outgoing = _is_outgoing(link)
        is_own = link.src in self._own_links
        self._is_marked = self._is_marked or is_outgoing
        self._has_links = self._has_links or (is_own and link.src not in self._neighbours)
        return not is_outgoing and (self._is_marked or (self._has_links and not is_own))

    def _note(self, sender: str, receiver: str) -> None:
        """A frame of others for us: its receiver is ours, its sender a neighbour."""
        for links, address in ((self._neighbours, sender), (self._own_links, receiver)):
            if address and len(links) < _MAX_LINKS:
                links.add(address)


def _is_outgoing(link: LinkCells) -> bool:
    return not _OUTGOING.isdisjoint(link.direction.split(","))
