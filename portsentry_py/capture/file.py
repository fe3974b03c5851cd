"""Replays a capture file through tshark: pcap, pcapng, gzip; damaged ones up to the damage."""

import re
from collections.abc import Iterator
from pathlib import Path

from portsentry_py.capture.commands import environment, tshark_command
from portsentry_py.capture.process_pipe import ProcessPipe
from portsentry_py.capture.toolchain import Tools
from portsentry_py.capture.worker import reason_in
from portsentry_py.errors import InputError

_GZIP = b"\x1f\x8b"
_ALWAYS_ALLOWED_PACKETS = 500_000
# pcap in both byte orders and resolutions, pcapng, gzip.
_MAGIC = tuple(
    bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a", "1f8b")
)


def replay_lines(tools: Tools, path: Path) -> Iterator[list[str]]:
    """The lines of a capture file, as many at a time as there are.

    Raises:
        InputError: it is missing, empty, or no capture at all.
        DamagedCapture: it ends in a damaged record; raised after all lines before the damage.
    """
    _check_readable(path)
    # A name that begins with a dash must not be an option; resolving makes it absolute.
    pipeline = ProcessPipe([tshark_command(tools.tshark, str(path.resolve()))], environment())
    limit, count, any_line = _most_packets(path), 0, False
    try:
        while not pipeline.at_end:
            lines = pipeline.read(1.0)
            count += len(lines)
            any_line = any_line or bool(lines)
            yield lines
            if count > limit:
                raise DamagedCapture(
                    f"{path}: more than {limit} packets in {path.stat().st_size} compressed bytes, "
                    "which no capture holds; what came before was read."
                )
        lines = pipeline.stop()
    finally:
        pipeline.kill()
    yield lines
    code = pipeline.exit_code(0)
    if code == 0:
        return
    reason = reason_in(pipeline.said(0)) or f"tshark ended with {code}"
    if not any_line and not _begins_like_a_capture(path):
        raise InputError(f"{path}: {_without_name(reason)}; give a pcap or pcapng file.")
    raise DamagedCapture(f"{path}: {_without_name(reason)}; what came before the damage was read.")


class DamagedCapture(InputError):
    """A capture breaks off: what came before was delivered."""


def _most_packets(path: Path) -> float:
    """A gzip bomb is told by its packets: a real one takes more than a byte, however well it compresses."""
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
    return max(_ALWAYS_ALLOWED_PACKETS, path.stat().st_size) if compressed else float("inf")


def _begins_like_a_capture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(_MAGIC)


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty; give a pcap or pcapng file.")
    except PermissionError as error:
        raise InputError(f"{path}: you may not read it; fix its mode or run as its owner.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path.") from error


def _without_name(reason: str) -> str:
    """Tshark quotes the whole path, which stands in front already."""
    return re.sub(r'The file ".*?" ', "it ", reason, count=1, flags=re.DOTALL)
