"""The pipeline over capture files instead of the wire: the same packets give the same lines."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from portsentry_py.capture.file import DamagedCapture, replay_lines
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.known_scanners import known_scanners
from portsentry_py.config.settings import Networks, Settings
from portsentry_py.core.host_state import HostState
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.core.provenance import Provenance
from portsentry_py.events.model import Event, EvidenceEvent, SensorReason, SensorState, StatusEvent
from portsentry_py.sensor.status_reporter import status_event

_MAX_SOURCES = 1000


@dataclass
class Summary:
    """What a replay found, for people.

    Attributes:
        sources: the last line about each source, of as many sources as a person would read.
        unshown: lines about other sources.
        damage: one sentence for each damaged file.
    """

    packets: int = 0
    events: Counter[str] = field(default_factory=Counter)
    sources: dict[str, EvidenceEvent] = field(default_factory=dict)
    unshown: int = 0
    damage: list[str] = field(default_factory=list)

    def note(self, event: Event) -> None:
        """Count an event."""
        self.events[event.event_type] += 1
        if isinstance(event, EvidenceEvent):
            if event.src_ip in self.sources or len(self.sources) < _MAX_SOURCES:
                self.sources[event.src_ip] = event
            else:
                self.unshown += 1


class Replay:
    """The events of capture files, in the order given.

    Args:
        settings: the configuration; its `home` and `served` apply as they do live.
        home: more networks that are ours. Without any, the side that did not begin a conversation is ours.
        allowed: networks of an allowlist.
        progress: called with the file and the number of packets read so far, now and then.
    """

    def __init__(
        self,
        settings: Settings,
        home: Networks,
        tools: Tools,
        progress: Callable[[Path, int], None],
        allowed: Networks = (),
    ) -> None:
        ours = (*settings.home, *home)
        open_traps = settings.traps.tcp if settings.traps.listen else frozenset()
        self._pipeline = Pipeline(
            settings,
            HostState(home=ours, home_known=bool(ours), open_traps=open_traps, peers_known=False, allowed=allowed),
            KnownScanners(known_scanners(settings)),
        )
        single = [str(network.network_address) for network in ours if network.num_addresses == 1]
        self._provenance = Provenance(single) if single else None
        self._tools = tools
        self._progress = progress
        self.summary = Summary()

    def events(self, paths: Iterable[Path]) -> Iterator[Event]:
        """Read the files one after the other.

        Raises:
            InputError: a file is missing, empty or no capture. A file that breaks off is no error: a `status`
                line reports it.
        """
        for event in self._events(paths):
            self.summary.note(event)
            yield event

    def feed(self, lines: list[str]) -> Iterator[Event]:
        """The events of lines of columns, with those of the link if it needs them."""
        yield from self._pipeline.feed(self._provenance.believed(lines) if self._provenance else lines)
        self.summary.packets += len(lines)

    def finish(self) -> Iterator[Event]:
        """The events at the end of all captures."""
        yield from self._pipeline.finish()
        yield self._status("stopped", "end_of_input")

    @property
    def needs_link(self) -> bool:
        """Whether the lines must say which way a packet went."""
        return self._provenance is not None

    def _events(self, paths: Iterable[Path]) -> Iterator[Event]:
        for path in paths:
            yield from self._file(path)
        yield from self.finish()

    def _status(self, state: SensorState, reason: SensorReason) -> StatusEvent:
        forged = self._provenance.forged if self._provenance else 0
        return status_event(self._pipeline, self._pipeline.last_us, state, reason, forged=forged)

    def _file(self, path: Path) -> Iterator[Event]:
        damaged = len(self.summary.damage)
        for lines in lines_of(self._tools, path, self.summary.damage, link=self.needs_link):
            yield from self.feed(lines)
            self._progress(path, self.summary.packets)
        if len(self.summary.damage) > damaged:
            yield self._status("damaged", "damaged_capture")


def lines_of(tools: Tools, path: Path, damage: list[str], *, link: bool) -> Iterator[list[str]]:
    """The lines of columns of a file, up to its damage; one sentence about that is added to `damage`."""
    try:
        yield from replay_lines(tools, path, link=link)
    except DamagedCapture as error:
        damage.append(str(error))
