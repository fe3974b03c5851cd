"""What `fleet run` knows, in a file for `fleet status`, `list` and `why`."""

from collections import Counter
from pathlib import Path

import msgspec

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.fleet.credentials import write_secret
from portsentry_py.fleet.receiver import Receiver
from portsentry_py.fleet.refusals import FLEET, UNKNOWN

_MOST_BYTES = 256 << 20


class Peer(msgspec.Struct, frozen=True):
    """Another host.

    Attributes:
        heard_us: when it was heard; 0 for never.
        offset_us: how far its clock is ahead.
        active: the bans that it reports.
        refused: how often something of it was refused, by the cause.
        accepted: of its bans, those that are accepted, for its word or for that of others.
        most: how many bans it may have.
        new: how many new ones it may report now.
        lag_us: how much later than its fastest message the latest one came.
        left_out: first contacts that it had no room for.
    """

    heard_us: int
    offset_us: int
    active: int
    refused: dict[str, int]
    accepted: int = 0
    most: int = 0
    new: int = 0
    lag_us: int = 0
    left_out: int = 0


class Report(msgspec.Struct, frozen=True):
    """What a host says of a source."""

    host: str
    verified: bool
    evidence: str
    until_us: int


class Source(msgspec.Struct, frozen=True):
    """A source that others report; `until_us` is the end of its ban here, 0 if it is not accepted."""

    until_us: int
    reports: tuple[Report, ...]


class Swept(msgspec.Struct, frozen=True):
    """A source that asked many hosts in vain; `is_doubtful` if it is only watched, because it can be forged."""

    until_us: int
    verified: bool
    is_doubtful: bool
    port: int
    hosts: tuple[str, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The fleet as one host sees it.

    Attributes:
        broker: empty without a connection.
        sweeps: by source.
        counted: the sources of which a contact is counted.
        refused: what was refused of no single host, by `?` and `*` and the cause.
    """

    name: str
    written_us: int
    broker: str
    mode: str
    peers: dict[str, Peer]
    sources: dict[str, Source]
    sweeps: dict[str, Swept] = {}
    counted: int = 0
    refused: dict[str, dict[str, int]] = {}

    @property
    def accepted(self) -> int:
        """The bans of others that hold here."""
        return sum(source.until_us > 0 for source in self.sources.values())

    def banned(self, now_us: int) -> list[str]:
        """The sources that are to be banned: reported by others, or a sweep without a doubt."""
        found = {name for name, source in self.sources.items() if source.until_us > now_us}
        swept = {name for name, one in self.sweeps.items() if one.until_us > now_us and not one.is_doubtful}
        return sorted(found | swept)


def snapshot(receiver: Receiver, name: str, broker: str, mode: str, now_us: int) -> Snapshot:
    """What the receiver knows now."""
    refused: dict[str, dict[str, int]] = {}
    for (host, why), count in receiver.refusals.counts.items():
        refused.setdefault(host, {})[why] = count
    sources = _sources(receiver)
    accepted = Counter(report.host for source in sources.values() if source.until_us for report in source.reports)
    peers = {host: Peer(0, 0, 0, refused.get(host, {})) for host in receiver.roster.hosts if host != name}
    for host, one in receiver.reporters.items():
        peers[host] = Peer(
            one.heard_us,
            one.offset_us,
            len(one.reports),
            refused.get(host, {}),
            accepted[host],
            one.most,
            int(one.new.at(now_us)),
            one.lag_us,
            one.left_out,
        )
    sweeps = {
        source: Swept(change.until_us, change.ban.verified, change.is_doubtful, change.port or 0, change.hosts)
        for source, change in receiver.sweeps.active.items()
    }
    nobodys = {host: refused[host] for host in (UNKNOWN, FLEET) if host in refused}
    return Snapshot(name, now_us, broker, mode, peers, sources, sweeps, len(receiver.sweeps.table), nobodys)


def _sources(receiver: Receiver) -> dict[str, Source]:
    found = {}
    for source in receiver.sources():
        accepted = receiver.accepted.get(source)
        reports = (
            Report(host, one.ban.verified, one.ban.evidence, one.until_us)
            for host, one in receiver.reports(source).items()
        )
        found[source] = Source(accepted.change.until_us if accepted else 0, tuple(reports))
    return found


def write(path: Path, found: Snapshot) -> None:
    """Write the file.

    Raises:
        OutputError, PermissionDenied: it cannot be written.
    """
    write_secret(path, msgspec.json.encode(found))


def read(path: Path) -> Snapshot:
    """What the file has.

    Raises:
        InputError: there is none, or it is damaged.
        PermissionDenied: the user may not read it.
    """
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=Snapshot)
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read the state of the fleet; run as root.") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no state of the fleet; start `fleet run`, or correct fleet.state.") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: cannot read the state of the fleet ({error}); start `fleet run` again.") from error
