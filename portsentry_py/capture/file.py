"""Reads a capture file through tshark: pcap, pcapng, gzip; a damaged one up to the damage."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

from portsentry_py.capture.commands import tshark_command
from portsentry_py.capture.process_pipe import ProcessPipe
from portsentry_py.capture.toolchain import Tools, try_tshark
from portsentry_py.capture.worker import reason_in
from portsentry_py.errors import CaptureError, InputError
from portsentry_py.privsep.sandbox import NOT_STARTED

_GZIP = b"\x1f\x8b"
_ALWAYS_ALLOWED_PACKETS = 500_000
# tshark prints thirty lines at a time. To be woken for each costs as much as many packets, and the pipe holds more.
_READ_INTERVAL_SECONDS = 0.01
# pcap in both byte orders and resolutions, pcapng, gzip.
_MAGIC = tuple(bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a", "1f8b"))


class DamagedCapture(InputError):
    """A capture file breaks off; everything before was delivered."""


def replay_lines(tools: Tools, path: Path, *, link: bool = False) -> Iterator[list[str]]:
    """The lines of columns of a capture file, with link columns or without, in lists of any size.

    Raises:
        InputError: the file is missing, empty, or no capture.
        DamagedCapture: it is damaged; raised after all lines before the damage.
        CaptureError: tshark does not run.
    """
    size, head = size_and_head(path)
    # However well a real capture compresses, each of its packets takes more than a byte; a gzip bomb has more.
    limit = max(_ALWAYS_ALLOWED_PACKETS, size) if head.startswith(_GZIP) else float("inf")
    try:
        # An absolute path, because a name that begins with a dash would be an option.
        pipe = ProcessPipe([tshark_command(tools.tshark, str(path.resolve()), link=link)])
    except OSError as error:
        raise CaptureError(f"cannot start tshark: {error.strerror}; raise the limit (ulimit).") from error
    count, next_read = 0, 0.0
    try:
        while not pipe.at_end:
            pipe.wait(1.0)
            time.sleep(max(0.0, next_read - time.monotonic()))
            next_read = time.monotonic() + _READ_INTERVAL_SECONDS
            lines = pipe.read()
            count += len(lines)
            yield lines
            if count > limit:
                raise DamagedCapture(
                    f"{path}: more than {limit} packets in {size} compressed bytes, "
                    "which no capture holds; what came before was read."
                )
        pipe.stop()
    finally:
        pipe.kill()
    code = pipe.exit_code(0)
    if code and not count:
        try_tshark(tools)  # is it the file?
    raise_failure(path, head, code, pipe.error_lines(0), delivered=count > 0)


def raise_failure(path: Path, head: bytes, code: int | None, error_lines: list[str], *, delivered: bool) -> None:
    """Raise what the end of a tshark that read a file means, unless it read all.

    Args:
        path: the file.
        head: the first bytes of the file.
        code: its exit code.
        error_lines: what it wrote to standard error.
        delivered: whether it found a packet.

    Raises:
        InputError: the file is no capture.
        DamagedCapture: it is damaged.
        CaptureError: tshark does not run.
    """
    if code == 0:
        return
    reason = reason_in(error_lines) or f"tshark ended with {code}"
    if code == NOT_STARTED:
        raise CaptureError(f"tshark does not run: {reason}; look with: portsentry-py check")
    if not delivered and not head.startswith(_MAGIC):
        raise InputError(f"{path}: {_without_name(reason)}; give a pcap or pcapng file.")
    raise DamagedCapture(f"{path}: {_without_name(reason)}; what came before the damage was read.")


def size_and_head(path: Path) -> tuple[int, bytes]:
    """The size of a capture file and its first bytes.

    Raises:
        InputError: it is missing, empty, too short or no file, or cannot be read.
    """
    try:
        found = path.stat()
        # Opening a named pipe would wait for its writer.
        if not S_ISREG(found.st_mode):
            raise InputError(f"{path}: this is no file; give a pcap or pcapng file.")
        with path.open("rb") as file:
            head = file.read(len(_MAGIC[0]))
    except PermissionError as error:
        raise InputError(f"{path}: you may not read it; fix its mode or run as its owner.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; check the path.") from error
    if len(head) < len(_MAGIC[0]):
        raise InputError(f"{path}: the file is {'too short' if head else 'empty'}; give a pcap or pcapng file.")
    return found.st_size, head


def _without_name(reason: str) -> str:
    """The reason without the path that tshark quotes: our message begins with it."""
    return re.sub(r'The file ".*?" ', "it ", reason, count=1, flags=re.DOTALL)
