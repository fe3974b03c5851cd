"""The packets of one source in capture files, dissected: `tshark | tshark | pyshark`, each in the sandbox."""

import json
import os
import site
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from pathlib import Path

from portsentry_py.capture.commands import dissect_command, select_command
from portsentry_py.capture.file import DamagedCapture, raise_failure, size_and_head
from portsentry_py.capture.process_pipe import ProcessPipe
from portsentry_py.capture.toolchain import Tools, not_confined
from portsentry_py.config.settings import Network
from portsentry_py.errors import CaptureError
from portsentry_py.events.model import utc
from portsentry_py.privsep.sandbox import NOT_STARTED, sandboxed

_DISSECTION = Path(__file__).with_name("dissection.py")
_PRIVATE = Path(__file__).parents[2]
_LONGEST_SECONDS = 300.0
_WAIT_SECONDS = 1.0
_END_SECONDS = 5.0
_END_WAIT_SECONDS = 0.05
_ADDRESS_FIELDS = {4: "ip.addr", 6: "ipv6.addr"}
_SELECT, _DISSECT, _PYSHARK = 0, 1, 2


@dataclass(frozen=True, slots=True)
class DissectedPacket:
    """One packet. `text` is what the sender chose: a name that it asked for, or its payload.

    Attributes:
        protocol: the transport protocol, and the one that it carries.
        flags: the flags of TCP; the type and code of ICMP, such as `type 8/0`.
        ttl: hops that it could have gone on.
        length: of the frame, in bytes.
    """

    timestamp: str
    src_ip: str
    src_port: int | None
    dest_ip: str
    dest_port: int | None
    protocol: str
    flags: str
    ttl: int | None
    window: int | None
    length: int
    text: str


@dataclass(slots=True)
class SourcePackets:
    """The first packets from and to a source.

    Attributes:
        more: whether there are more than were asked for.
        notes: what is missing and why, a sentence each.
    """

    packets: list[DissectedPacket] = field(default_factory=list)
    more: bool = False
    notes: list[str] = field(default_factory=list)


def display_filter(network: Network, span_us: tuple[int, int] | None) -> str:
    """The packets from and to a network, in a span of time in microseconds since 1970, in Wireshark's language."""
    single = network.prefixlen == network.max_prefixlen
    name = str(network.network_address) if single else str(network)
    found = f"{_ADDRESS_FIELDS[network.version]} == {name}"
    if span_us is None:
        return found
    first, last = (f"{micros // 1_000_000}.{micros % 1_000_000:06d}" for micros in span_us)
    return f"{found} && frame.time_epoch >= {first} && frame.time_epoch <= {last}"


class PacketReader:
    """Reads the first packets of a source from capture files.

    Args:
        tools: tshark.
        wanted: the display filter of the source.
        most: how many packets to find.
        progress: called with the file and the number of packets found so far, now and then.
        longest_seconds: when the reading of all files ends, whatever is left.
    """

    def __init__(
        self,
        tools: Tools,
        wanted: str,
        most: int,
        *,
        progress: Callable[[Path, int], None],
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        self._tools = tools
        self._wanted = wanted
        self._most = most
        self._progress = progress
        self._deadline = time.monotonic() + longest_seconds
        self._found = SourcePackets()

    def read(self, paths: Iterable[Path]) -> SourcePackets:
        """Read the files in the order given.

        Raises:
            InputError: a file is missing, empty, or no capture.
            CaptureError: tshark or pyshark does not run.
        """
        for path in paths:
            if self._found.more:
                break
            self._read(path)
        return self._found

    def _read(self, path: Path) -> None:
        found = self._found
        _, head = size_and_head(path)
        left = self._most + 1 - len(found.packets)  # one more than is shown tells whether there are more
        pipe = self._start(path, left)
        lines: list[str] = []
        try:
            while not pipe.at_end and time.monotonic() < self._deadline:
                pipe.wait(_WAIT_SECONDS)
                lines += pipe.read()
                self._progress(path, len(found.packets) + len(lines))
            if pipe.at_end:
                _wait_for_ends(pipe)
        finally:
            pipe.kill()
        packets = [packet for line in lines if (packet := _packet(line))]
        found.more = len(lines) >= left
        found.packets += packets[: self._most - len(found.packets)]
        if len(packets) < len(lines):
            found.notes.append(f"{path}: packets that pyshark cannot dissect: {len(lines) - len(packets)}.")
        if not pipe.at_end:
            found.notes.append(f"{path}: the reading took too long and ended; cut the file with editcap.")
        elif not found.more:  # else the first tshark ended because nobody reads any more
            _note_failures(pipe, path, head, found)

    def _start(self, path: Path, most: int) -> ProcessPipe:
        commands = (
            # An absolute path, because a name that begins with a dash would be an option.
            select_command(self._tools.tshark, str(path.resolve()), self._wanted),
            dissect_command(self._tools.tshark, most),
            _pyshark_command(),
        )
        try:
            return ProcessPipe(commands)
        except OSError as error:
            raise CaptureError(f"cannot start tshark: {error.strerror}; raise the limit (ulimit).") from error


def _pyshark_command() -> list[str]:
    """The command line of the sandboxed program of ours that uses pyshark.

    A program of its own: pyshark is installed for the user, or privately beside this package, and obeys a `config.ini`
    of the current directory.
    """
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(_PRIVATE))))
    variables = (f"PYTHONUSERBASE={site.getuserbase()}", f"PYTHONPATH={paths}")
    return sandboxed(["/usr/bin/env", *variables, sys.executable, str(_DISSECTION)], _python_paths())


def _python_paths() -> set[str]:
    """What the interpreter and its packages need, and the programs in PATH."""
    folders = (*sys.path, *site.getsitepackages(), site.getusersitepackages(), sys.prefix, sys.base_prefix)
    named = (os.environ.get(name, "").split(os.pathsep) for name in ("PATH", "PYTHONPATH"))
    return {*filter(None, (*folders, *chain(*named))), str(_PRIVATE)}


def _pyshark_failure(code: int, errors: str) -> CaptureError:
    """Why the program that uses pyshark has failed, from its exit code and its words."""
    if code == NOT_STARTED:
        return not_confined(errors)
    reason = (errors.strip() or f"exit code {code}").splitlines()[-1]
    return CaptureError(f"pyshark does not run ({reason}); reinstall portsentry-py.")


def _wait_for_ends(pipe: ProcessPipe) -> None:
    """Wait until each process has ended and said why."""
    deadline = time.monotonic() + _END_SECONDS
    while any(pipe.exit_code(at) is None for at in (_SELECT, _DISSECT, _PYSHARK)) and time.monotonic() < deadline:
        pipe.wait(_END_WAIT_SECONDS)
        pipe.read()
    pipe.read()


def _note_failures(pipe: ProcessPipe, path: Path, head: bytes, found: SourcePackets) -> None:
    if code := pipe.exit_code(_PYSHARK):
        raise _pyshark_failure(code, "\n".join(pipe.error_lines(_PYSHARK)))
    try:
        for at in (_SELECT, _DISSECT):
            raise_failure(path, head, pipe.exit_code(at), pipe.error_lines(at), delivered=bool(found.packets))
    except DamagedCapture as error:
        found.notes.append(str(error))


def _packet(line: str) -> DissectedPacket | None:
    """The packet in a line of the program; None if it could not dissect it."""
    with suppress(ValueError, TypeError, OverflowError, OSError):
        moment, src, src_port, dest, dest_port, protocol, flags, ttl, window, length, text = json.loads(line)
        return DissectedPacket(
            timestamp=utc(round(Decimal(moment) * 1_000_000)),
            src_ip=str(src or ""),
            src_port=_number(src_port),
            dest_ip=str(dest or ""),
            dest_port=_number(dest_port),
            protocol=str(protocol).lower().replace("_ws.", ""),
            flags=str(flags),
            ttl=_number(ttl),
            window=_number(window),
            length=int(length),
            text=str(text),
        )
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text else None
