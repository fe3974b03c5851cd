"""What `fleet run` knows, in a file for `fleet status`, `list` and `why`."""

from pathlib import Path

import msgspec

from portsentry_py.errors import InputError, PermissionDenied
from portsentry_py.fleet.credentials import write_secret
from portsentry_py.fleet.receiver import Receiver

_MOST_BYTES = 256 << 20


class Peer(msgspec.Struct, frozen=True):
    """Another host: when it was heard (0: never), how far its clock is ahead, its active bans, its refused ones."""

    heard_us: int
    offset_us: int
    active: int
    refused: dict[str, int]


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


class Snapshot(msgspec.Struct, frozen=True):
    """The fleet as one host sees it; `broker` is empty without a connection."""

    name: str
    written_us: int
    broker: str
    mode: str
    peers: dict[str, Peer]
    sources: dict[str, Source]


def snapshot(receiver: Receiver, name: str, broker: str, mode: str, now_us: int) -> Snapshot:
    """What the receiver knows now."""
    refused: dict[str, dict[str, int]] = {}
    for (host, why), count in receiver.refusals.counts.items():
        refused.setdefault(host, {})[why] = count
    peers = {host: Peer(0, 0, 0, refused.get(host, {})) for host in receiver.roster.hosts if host != name}
    for host, one in receiver.reporters.items():
        peers[host] = Peer(one.heard_us, one.offset_us, len(one.reports), refused.get(host, {}))
    return Snapshot(name, now_us, broker, mode, peers, dict(_sources(receiver)))


def _sources(receiver: Receiver) -> list[tuple[str, Source]]:
    found = []
    for source in receiver.sources():
        accepted = receiver.accepted.get(source)
        reports = (
            Report(host, one.ban.verified, one.ban.evidence, one.until_us)
            for host, one in receiver.reports(source).items()
        )
        found.append((source, Source(accepted.change.until_us if accepted else 0, tuple(reports))))
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
