"""Where packets come from: dumpcap into tshark, live, or tshark over a file. The only importer of pyshark.

pyshark finds tshark and dumpcap, their version and the interfaces. Its capture classes are not used: its
LiveCapture leaves a growing temporary file, goes silent for ever when dumpcap dies or a filter is refused,
and its packet objects cost about 3,500 us each, where tshark's columns cost 3.4.
"""

import errno
import os
import re
import select
import subprocess
import time
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from portsentry_py.capture.bpf import kernel_filter
from portsentry_py.capture.process_pipe import ProcessPipe
from portsentry_py.capture.worker import Worker, reason_in
from portsentry_py.config.settings import Capture
from portsentry_py.core.decode import COLUMNS
from portsentry_py.errors import CaptureError, InputError, PermissionDenied
from portsentry_py.host.interfaces import Interface, usable_cores
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.privsep.sandbox import sandboxed

OLDEST_TSHARK = (3, 6, 0)
_INSTALL = "install it with: apt-get install tshark"
_GZIP = b"\x1f\x8b"
_ALWAYS_ALLOWED_PACKETS = 500_000
_START_SECONDS = 15.0
# pcap in both byte orders and resolutions, pcapng, gzip.
_MAGIC = tuple(
    bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a", "1f8b")
)
# Our own Wireshark profile switches the layer-4 dissectors off and keeps the user's settings out.
_PROFILE = resources.files("portsentry_py.capture") / "wireshark"
# Where Wireshark has programs for other sources. tshark 3.6 starts them all before it says its version, and
# waits twenty seconds for the one that looks for telephones.
_NO_EXTCAP = {"WIRESHARK_EXTCAP_DIR": "/nonexistent"}
# The Python process cannot follow more than two.
_CORES_FOR_TWO = 4
# Ten digits of seconds and six decimals: as text they sort as they do as numbers.
_time_cell = itemgetter(slice(17))


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
    """One run of one or more workers, which share the packets; ends when any of them does.

    Without `decode`, it captures, and what it captures waits in the kernel until `decode` is called: two
    captures at once then need no more memory than one.

    Raises (on construction):
        CaptureError: dumpcap refused an interface or the filter; the message quotes its reason.
        PermissionDenied: the user may not capture.
    """

    def __init__(
        self,
        tools: Tools,
        interfaces: list[Interface],
        served_udp: frozenset[int],
        settings: Capture,
        launcher: LauncherClient,
        *,
        decode: bool = True,
    ) -> None:
        names = " ".join(interface.name for interface in interfaces)
        self._workers: list[Worker] = []
        try:
            for command in _dumpcap_commands(tools, interfaces, served_udp, settings):
                self._workers.append(
                    Worker(
                        command,
                        _tshark_command(tools, "-"),
                        _environment(),
                        starter=launcher.capture,
                        decode=decode,
                    )
                )
        except OSError as error:
            self.stop()
            if isinstance(error, PermissionError):
                raise _no_permission(names) from error
            if error.errno == errno.EINVAL:
                raise CaptureError(
                    f"cannot capture on {names}: no interface has such a name; see `tshark -D`."
                ) from error
            if error.errno in {errno.ENOENT, errno.ENOEXEC}:
                missing = f"cannot start {error.filename}: {error.strerror}"
                raise CaptureError(f"{missing}; re{_INSTALL}") from error
            reason = f"cannot start a capture: {error.strerror}"
            raise CaptureError(f"{reason}; raise the limit (ulimit, LimitNOFILE=, MemoryMax=).") from error
        deadline = time.monotonic() + _START_SECONDS
        for worker in self._workers:
            if not worker.starts(deadline):
                self.stop()
                raise _refusal(worker, names)
        self._ready = select.poll()
        for worker in self._workers:
            self._ready.register(worker, select.POLLIN)

    def decode(self) -> None:
        """Start what decodes, if it was not; if it does not start, the capture has ended."""
        for worker in self._workers:
            worker.decode()

    def read(self, timeout_seconds: float) -> list[str]:
        """Lines of columns, waiting at most so long."""
        if len(self._workers) == 1:
            return self._workers[0].read(timeout_seconds)
        self._ready.poll(timeout_seconds * 1000)
        return _in_order(worker.read(0) for worker in self._workers)

    def stop(self) -> list[str]:
        """Stop capturing; returns the lines of what was captured before."""
        for worker in self._workers:
            worker.tell()
        return _in_order(worker.stop() for worker in self._workers)

    def kill(self) -> None:
        """End it now, with all that is on its way."""
        for worker in self._workers:
            worker.kill()

    @property
    def lag(self) -> float | None:
        """How many seconds the worker that is furthest behind is behind; None if nothing came of late."""
        return max((worker.lag for worker in self._workers if worker.lag is not None), default=None)

    def hand_over(self) -> list[dict[str, str]]:
        """Remember, from now on, the last lines, for the capture that takes over."""
        return [worker.hand_over() for worker in self._workers]

    def follow(self, last: list[dict[str, str]]) -> None:
        """Another capture of the same has ended with these lines: what it gave is not given again."""
        for worker, lines in zip(self._workers, last, strict=True):
            worker.follow(lines)

    @property
    def tshark_pids(self) -> list[int]:
        """The process numbers of all tsharks."""
        return [worker.tshark_pid for worker in self._workers]

    @property
    def ended(self) -> str | None:
        """`dumpcap_ended` or `tshark_ended` once a child has ended, None while all run."""
        return next(filter(None, (worker.ended for worker in self._workers)), None)

    @property
    def last_words(self) -> str:
        """What the children said last, for our own diagnostics."""
        words = (worker.last_words for worker in self._workers if worker.ended)
        return next(filter(None, words), "no reason given")

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped; dumpcap tells only when it ends."""
        return sum(worker.dropped for worker in self._workers)


def _dumpcap_commands(
    tools: Tools, interfaces: list[Interface], served_udp: frozenset[int], settings: Capture
) -> Iterator[list[str]]:
    """One for each worker; together they have the buffer that was asked for."""
    workers = settings.workers if isinstance(settings.workers, int) else _automatic_workers()
    buffer_mib = max(1, settings.buffer_mib // workers)
    for number in range(workers):
        command = [tools.dumpcap, "-q", "-s", str(settings.snap_bytes), "-B", str(buffer_mib)]
        if len(interfaces) > 1:
            # Of several interfaces, dumpcap queues a thousand packets by itself and drops what comes then.
            command += ["-C", str(buffer_mib << 20)]
        for interface in interfaces:
            expression = kernel_filter(served_udp, vlan=interface.ethernet, worker=number, workers=workers)
            command += ["-i", interface.name, "-f", expression]
        yield [*command, "-w", "-"]


@cache  # a fresh capture must have as many as the one before
def _automatic_workers() -> int:
    return 2 if usable_cores() >= _CORES_FOR_TWO else 1


def _in_order(batches: Iterable[list[str]]) -> list[str]:
    """The lines of all workers as the packets came; of one worker, as they are."""
    filled = [lines for lines in batches if lines]
    if len(filled) < 2:  # noqa: PLR2004 - nothing to merge
        return filled[0] if filled else []
    return sorted(chain(*filled), key=_time_cell)


def _refusal(worker: Worker, names: str) -> CaptureError | PermissionDenied:
    if worker.lacks_permission:
        return _no_permission(names)
    reason = worker.last_words or "it gave no reason"
    return CaptureError(f"cannot capture on {names}: {reason}; see `tshark -D` for the interfaces.")


def replay_lines(tools: Tools, path: Path) -> Iterator[list[str]]:
    """The lines of a capture file, as many at a time as there are.

    Raises:
        InputError: it is missing, empty, or no capture at all.
        DamagedCapture: it ends in a damaged record; raised after all lines before the damage.
    """
    _check_readable(path)
    # A name that begins with a dash must not be an option; resolving makes it absolute.
    pipeline = ProcessPipe([_tshark_command(tools, str(path.resolve()))], _environment())
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
    if source == "-":
        return sandboxed([*command, "-l"], [str(_PROFILE)])
    return sandboxed(command, [str(_PROFILE), source])


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "WIRESHARK_CONFIG_DIR": str(_PROFILE), **_NO_EXTCAP}


def _no_permission(names: str) -> PermissionDenied:
    return PermissionDenied(
        f"you may not capture on {names}; run as root, or give dumpcap the capabilities with "
        "`dpkg-reconfigure wireshark-common` and join the group wireshark."
    )


def _without_name(reason: str) -> str:
    """Tshark quotes the whole path, which stands in front already."""
    return re.sub(r'The file ".*?" ', "it ", reason, count=1, flags=re.DOTALL)


def _pyshark_tshark() -> Any:
    """The finder of tools that pyshark has, imported late because it costs a third of a second."""
    from pyshark.tshark import tshark  # noqa: PLC0415

    # pyshark would take the path of tshark from a config.ini in the current directory: as root, a way to run
    # somebody else's program.
    tshark.get_config = lambda: None
    os.environ.update(_NO_EXTCAP)  # it gives its own environment to tshark
    return tshark
