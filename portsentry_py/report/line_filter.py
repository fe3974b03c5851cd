"""Which lines of the log a reader wants."""

from dataclasses import dataclass, fields
from ipaddress import ip_address

from portsentry_py.config.settings import Networks
from portsentry_py.events.model import Event, EvidenceEvent, SourceEvent

ANY_SCANNER = "any"


@dataclass(frozen=True, slots=True)
class LineFilter:
    """A line has to meet every condition that is not empty.

    Attributes:
        known: names of known scanners, or `ANY_SCANNER`.
        networks: one of them holds the source.
    """

    verdicts: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    techniques: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    networks: Networks = ()

    @property
    def takes_all(self) -> bool:
        """Whether there is no condition."""
        return not any(getattr(self, item.name) for item in fields(self))

    def takes(self, event: Event) -> bool:
        """Whether the reader wants this line."""
        if self.takes_all:
            return True
        return (
            _is_one_of(getattr(event, "event_type", ""), self.types)
            and _is_one_of(getattr(event, "verdict", ""), self.verdicts)
            and _is_one_of(getattr(event, "technique", ""), self.techniques)
            and (not self.known or self._takes_scanner(event))
            and (not self.networks or self._takes_source(event))
        )

    def _takes_scanner(self, event: Event) -> bool:
        name = event.src_known if isinstance(event, EvidenceEvent) else None
        return bool(name) and not self.known.isdisjoint({name, ANY_SCANNER})

    def _takes_source(self, event: Event) -> bool:
        if not isinstance(event, SourceEvent):
            return False
        address = ip_address(event.src_ip)
        return any(address in network for network in self.networks)


def _is_one_of(word: str, wanted: frozenset[str]) -> bool:
    return not wanted or word in wanted
