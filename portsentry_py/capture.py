"""Where packets come from: dumpcap into tshark, live, or tshark over a file. The only importer of pyshark.

pyshark finds tshark and dumpcap, their version and the interfaces. Its capture classes are not used: its
LiveCapture leaves a growing temporary file, goes silent for ever when dumpcap dies or a filter is refused,
and its packet objects cost about 3,500 us each, where tshark's columns cost 3.4.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from portsentry_py.children import Pipeline
from portsentry_py.decode import COLUMNS, seconds_of
from portsentry_py.errors import CaptureError, InputError, PermissionDenied
from portsentry_py.kernel_filter import kernel_filter
from portsentry_py.machine import Interface
from portsentry_py.settings import Capture

OLDEST_TSHARK = (3, 6, 0)
_INSTALL = "install it with: apt-get install tshark"
_GZIP = b"\x1f\x8b"
_ALWAYS_ALLOWED_PACKETS = 500_000
_START_SECONDS = 15.0
# A capture stops within ten seconds, and may have been that far behind.
_MOST_BEHIND_SECONDS = 60.0
# pcap in both byte orders and resolutions, pcapng, gzip.
_MAGIC = tuple(
    bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a", "1f8b")
)
# dumpcap says this once it captures on every interface.
_READY = "File: -"
_DROPPED = re.compile(r"Packets received/dropped on interface .*?: \d+/(\d+) ")
_NOISE = re.compile(r"^(Running as user|Capturing on|File: |Packets |tshark: *$|$|\()")


class Tools(NamedTuple):
    """The programs that capture and dissect."""

    tshark: str
    dumpcap: str
    version: str


def find_tools() -> Tools:
    """Find tshark and dumpcap.

    Raises:
        CaptureError: one is missing or too old.
    """
    pyshark_tshark = _pyshark_tshark()
    try:
        tshark = pyshark_tshark.get_process_path()
        dumpcap = pyshark_tshark.get_process_path(process_name="dumpcap")
    except pyshark_tshark.TSharkNotFoundException as error:
        raise CaptureError(f"tshark or dumpcap is not installed; {_INSTALL}") from error
    try:
        version = pyshark_tshark.get_tshark_version(tshark)
    except PermissionError as error:
        raise PermissionDenied(f"{tshark}: you may not run it; run as root.") from error
    except (
        OSError,
        ValueError,
        IndexError,
        subprocess.CalledProcessError,
        pyshark_tshark.TSharkVersionException,
    ) as error:
        raise CaptureError(f"{tshark}: cannot tell its version; re{_INSTALL}") from error
    if version.release < OLDEST_TSHARK:
        oldest = ".".join(map(str, OLDEST_TSHARK))
        raise CaptureError(
            f"{tshark}: version {version} is too old, {oldest} is the oldest that works; {_INSTALL}"
        )
    return Tools(tshark, dumpcap, str(version))


def interface_names(tools: Tools) -> list[str]:
    """The interfaces that tshark can capture on; empty where the user may not capture."""
    try:
        return [str(name) for name in _pyshark_tshark().get_all_tshark_interfaces_names(tools.tshark)]
    except (OSError, subprocess.CalledProcessError):
        return []


class LiveCapture:
    """One run of dumpcap and tshark; ends when either child does.

    Raises (on construction):
        CaptureError: dumpcap refused an interface or the filter; the message quotes its reason.
        PermissionDenied: the user may not capture.
    """

    def __init__(
        self, tools: Tools, interfaces: list[Interface], served_udp: frozenset[int], settings: Capture
    ) -> None:
        command = [tools.dumpcap, "-q", "-s", str(settings.snap_bytes), "-B", str(settings.buffer_mib)]
        for interface in interfaces:
            command += ["-i", interface.name, "-f", kernel_filter(served_udp, vlan=interface.ethernet)]
        command += ["-w", "-"]
        names = " ".join(interface.name for interface in interfaces)
        try:
            self._pipeline = Pipeline([command, _tshark_command(tools, "-")], _environment())
        except PermissionError as error:
            raise _no_permission(names) from error
        except OSError as error:
            raise CaptureError(f"cannot start {error.filename}: {error.strerror}; re{_INSTALL}") from error
        self._wait_until_ready(names)

    def _wait_until_ready(self, names: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        early: list[str] = []
        while not any(_READY in line for line in self._pipeline.said(0)):
            early += self._pipeline.read(0.1)
            if self._pipeline.ended is not None or time.monotonic() > deadline:
                self._pipeline.stop()
                raise self._refusal(names)
        self._early = early
        self._follows: float | None = None

    def _refusal(self, names: str) -> CaptureError | PermissionDenied:
        said = self._pipeline.said(0)
        reason = _reason(said) or _reason(self._pipeline.said(1)) or "it gave no reason"
        if "permission" in " ".join(said).lower():
            return _no_permission(names)
        return CaptureError(f"cannot capture on {names}: {reason}; see `tshark -D` for the interfaces.")

    def read(self, timeout_seconds: float) -> list[str]:
        """Lines of columns, waiting at most so long."""
        early, self._early = self._early, []
        return self._not_seen_before(early + self._pipeline.read(0 if early else timeout_seconds))

    @property
    def tshark_pid(self) -> int:
        """The process number of tshark."""
        return self._pipeline.pid(1)

    def follow(self, last_line: str) -> None:
        """Another capture of the same has ended with that line: what it gave is not given again."""
        self._follows = time_of(last_line)

    def _not_seen_before(self, lines: list[str]) -> list[str]:
        if self._follows is None:
            return lines
        for position, line in enumerate(lines):
            # Both heard the same packets while both ran. A clock that was set back is not waited for.
            if not 0 <= self._follows - time_of(line) < _MOST_BEHIND_SECONDS:
                self._follows = None
                return lines[position:]
        return []

    @property
    def ended(self) -> str | None:
        """`dumpcap_ended` or `tshark_ended` once a child has ended, None while both run."""
        position = self._pipeline.ended
        if position is None:
            return "tshark_ended" if self._pipeline.at_end else None
        return ("dumpcap_ended", "tshark_ended")[position]

    @property
    def last_words(self) -> str:
        """What the children said last, for our own diagnostics."""
        return _reason(self._pipeline.said(0)) or _reason(self._pipeline.said(1)) or "no reason given"

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap tells only when it ends."""
        found = (_DROPPED.search(line) for line in self._pipeline.said(0))
        return sum(int(match[1]) for match in found if match)

    def stop(self) -> list[str]:
        """Stop capturing; returns the lines of what was captured before."""
        early, self._early = self._early, []
        return self._not_seen_before(early + self._pipeline.stop())


def time_of(line: str) -> float:
    """The time of a line, as `seconds_of` reads it."""
    return seconds_of(line.split("\t", 1)[0])


def replay_lines(tools: Tools, path: Path) -> Iterator[list[str]]:
    """The lines of a capture file, as many at a time as there are.

    Raises:
        InputError: it is missing, empty, or no capture at all.
        DamagedCapture: it ends in a damaged record; raised after all lines before the damage.
    """
    _check_readable(path)
    # A name that begins with a dash must not be an option; resolving makes it absolute.
    pipeline = Pipeline([_tshark_command(tools, str(path.resolve()))], _environment())
    limit, count, any_line = _most_packets(path), 0, False
    try:
        while not pipeline.at_end:
            lines = pipeline.read(1.0)
            count += len(lines)
            any_line = any_line or bool(lines)
            yield lines
            if count > limit:
                raise DamagedCapture(
                    f"{_shown(path)}: more than {limit} packets in {path.stat().st_size} compressed bytes, "
                    "which no capture holds; what came before was read."
                )
        lines = pipeline.stop()
    finally:
        pipeline.kill()
    yield lines
    code = pipeline.exit_code(0)
    if code == 0:
        return
    reason = _reason(pipeline.said(0)) or f"tshark ended with {code}"
    if not any_line and not _begins_like_a_capture(path):
        raise InputError(f"{_shown(path)}: {_without_name(reason)}; give a pcap or pcapng file.")
    raise DamagedCapture(f"{_shown(path)}: {_without_name(reason)}; what came before the damage was read.")


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
                raise InputError(f"{_shown(path)}: the file is empty; give a pcap or pcapng file.")
    except PermissionError as error:
        raise InputError(f"{_shown(path)}: you may not read it; fix its mode or run as its owner.") from error
    except OSError as error:
        raise InputError(f"{_shown(path)}: {error.strerror}; check the path.") from error


def _tshark_command(tools: Tools, source: str) -> list[str]:
    columns = ",".join(f'"{title}","{form}"' for title, form in COLUMNS)
    command = [
        tools.tshark,
        "-n",
        "-r",
        source,
        "-t",
        "e",
        "-T",
        "tabs",
        "-o",
        f"gui.column.format:{columns}",
    ]
    return [*command, "-l"] if source == "-" else command


def _environment() -> dict[str, str]:
    """Our own Wireshark profile switches the layer-4 dissectors off and keeps the user's settings out."""
    profile = resources.files("portsentry_py") / "wireshark"
    return {**os.environ, "LC_ALL": "C.UTF-8", "WIRESHARK_CONFIG_DIR": str(profile)}


def _no_permission(names: str) -> PermissionDenied:
    return PermissionDenied(
        f"you may not capture on {names}; run as root, or give dumpcap the capabilities with "
        "`dpkg-reconfigure wireshark-common` and join the group wireshark."
    )


def _reason(said: list[str]) -> str:
    """The program's own reason, in one line."""
    lines = [line.strip() for line in said]
    kept = [
        line.removeprefix("dumpcap: ").removeprefix("tshark: ") for line in lines if not _NOISE.match(line)
    ]
    return " ".join(kept[:2]).rstrip(".")


def _without_name(reason: str) -> str:
    """Tshark quotes the whole path, which stands in front already."""
    return re.sub(r'The file ".*?" ', "it ", reason, count=1, flags=re.DOTALL)


def _shown(path: Path) -> str:
    """A file name as it may be printed: no control characters."""
    return "".join(character if character.isprintable() else "?" for character in str(path))


def _pyshark_tshark() -> Any:
    """The finder of tools that pyshark has, imported late because it costs a third of a second."""
    from pyshark.tshark import tshark  # noqa: PLC0415

    # pyshark would take the path of tshark from a config.ini in the current directory: as root, a way to run
    # somebody else's program.
    tshark.get_config = lambda: None
    return tshark
