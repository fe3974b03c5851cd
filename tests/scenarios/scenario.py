"""A scenario: traffic, the sensor's configuration, and what the sensor must say."""

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from portsentry_py.capture.bpf import FilterHost, kernel_filter
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.config import loader
from portsentry_py.config.settings import Settings
from portsentry_py.core.packet import ACK, RST, SYN, TCP
from portsentry_py.sensor.replay import Replay
from tests.support.build import HOST, HOST6, Sent, log_lines, write_pcap
from tests.support.libpcap import compiled_for, passes
from tests.support.paths import CASES


class Named(NamedTuple):
    """What `scan` and `trap` lines say about a source."""

    source: str
    verdict: str
    technique: str
    scan_type: str
    reason: str
    verified: bool = False
    direction: str = "inbound"


_ETHERNET, _SNAP_BYTES, _FLAGS_AT = 1, 65_535, 13
_ANSWER = SYN | RST | ACK
_KEYS = ("src_ip", "verdict", "technique", "scan_type", "reason", "source_verified", "direction")


@dataclass(frozen=True)
class Scenario:
    """A capture with its configuration, and the only lines about sources that it may give.

    Attributes:
        name: of its folder.
        about: what happens, what must and must not come out.
        traffic: makes the packets.
        names: all that is said about sources; nobody else is named.
        home: the networks that are ours; empty: the replay does not know them.
        config: the configuration file, if there is one.
        quiet: there is no connection line either.
        committed: whether the capture is small enough to be kept; otherwise it is made when it is needed.
    """

    name: str
    about: str
    traffic: Callable[[], list[Sent]]
    names: frozenset[Named]
    home: str
    config: str
    quiet: bool
    committed: bool

    @property
    def folder(self) -> Path:
        return CASES / self.name

    @property
    def capture(self) -> Path:
        return self.folder / "capture.pcap"

    def write_capture(self, path: Path) -> Path:
        return write_pcap(path, self.traffic())

    def expected(self) -> list[bytes]:
        """The lines that were reviewed."""
        return (self.folder / "expected.jsonl").read_bytes().splitlines(keepends=True)

    def settings(self) -> Settings:
        """Those of the folder, or the defaults."""
        given = self.folder / "config.yaml"
        return loader.load(given) if given.exists() else Settings()

    def replayed(self, capture: Path) -> list[bytes]:
        """The lines that the sensor writes now, with the files of the folder."""
        home = self.folder / "home"
        networks = home.read_text(encoding="utf-8").split() if home.exists() else []
        player = Replay(self.settings(), tuple(map(ip_network, networks)), find_tools(), lambda _path, _packets: None)
        return log_lines(player.events([capture]))

    def without_what_the_kernel_keeps(self) -> list[Sent]:
        """The traffic that a live sensor would get, if its filter knows every port that answers and never refuses."""
        traffic, settings = self.traffic(), self.settings()
        own = frozenset(one.partition("/")[0] for one in self.home.split()) | {HOST, HOST6}
        sent = [one for one in traffic if one.src in own and one.proto == TCP and len(one.payload) > _FLAGS_AT]
        served, refused = (
            frozenset(one.src_port for one in sent if one.payload[_FLAGS_AT] & _ANSWER == flags)
            for flags in (SYN | ACK, RST | ACK)
        )
        served -= refused
        if settings.traps.listen:
            served -= settings.traps.tcp
        host = FilterHost(own, served_tcp=served, wants_visits=settings.connections == "all")
        live = compiled_for(_ETHERNET, _SNAP_BYTES, kernel_filter(host, vlan=True))
        return [one for one in traffic if passes(live, one.frame)]

    def contradictions(self, lines: list[bytes]) -> list[str]:
        """How these lines differ from what they must say; empty if they do not."""
        said = named(lines)
        found = [f"not said: {one}" for one in sorted(self.names - said)]
        found += [f"said: {one}" for one in sorted(said - self.names)]
        if self.quiet and any(json.loads(line)["event_type"] == "connection" for line in lines):
            found.append("said: a connection line")
        return found


def scenario(
    *names: Named, home: str = f"{HOST} {HOST6}", config: str = "", quiet: bool = False, committed: bool = True
) -> Callable[[Callable[[], list[Sent]]], Scenario]:
    """Make a scenario of the function that makes its traffic; the docstring is its README."""

    def made_of(traffic: Callable[[], list[Sent]]) -> Scenario:
        about = inspect.getdoc(traffic) or ""
        return Scenario(traffic.__name__, about, traffic, frozenset(names), home, config, quiet, committed)

    return made_of


def named(lines: Iterable[bytes]) -> frozenset[Named]:
    """What the lines say about sources, less what differs from line to line of one scan."""
    return frozenset(
        Named(*(record[key] for key in _KEYS))
        for record in map(json.loads, lines)
        if record["event_type"] in {"scan", "trap"}
    )
