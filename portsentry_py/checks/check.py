"""`check`: what is wrong on this machine, and the fix. Looks, never changes."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.toolchain import Tools, find_tools, interface_names
from portsentry_py.checks.live import sensor_hears, unheard
from portsentry_py.config.settings import DEFAULT_LOG, Settings
from portsentry_py.errors import CaptureError, PortsentryError
from portsentry_py.fail2ban.client import JailNotLoaded, NotInstalled
from portsentry_py.fail2ban.conflicts import conflicts
from portsentry_py.fail2ban.pack import JAIL, pack_files
from portsentry_py.host.interfaces import all_interfaces, default_interfaces, describe
from portsentry_py.output.log_file import examine
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.privsep.sandbox import available
from portsentry_py.report.log_reader import read_tail
from portsentry_py.report.overview import dropped_note

_FAIL2BAN = Path("/etc/fail2ban")


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was looked at; `error` is set where the sensor could not run."""

    name: str
    text: str
    error: PortsentryError | None = None
    warning: bool = False


def check(settings: Settings, *, live: bool = False) -> Iterator[Result]:
    """Look at tools, interfaces, rights, log and jail, in the order in which they are needed.

    Args:
        settings: the configuration.
        live: also send a marked packet, and wait until it is heard.
    """
    try:
        tools = find_tools()
    except PortsentryError as error:
        yield Result("tshark", str(error), error)
    else:
        yield Result("tshark", f"{tools.tshark} {tools.version}")
        yield from _capture(settings, tools, live=live)
    yield _log(settings.log)
    yield from _dropped(settings.log)
    yield from _jail(settings)


def _capture(settings: Settings, tools: Tools, *, live: bool) -> Iterator[Result]:
    names = list(settings.interfaces) or default_interfaces()
    if not names:
        yield Result("interfaces", "none is up but loopback: the sensor watches `any`", warning=True)
        names = ["any"]
    # tshark also lists programs that pretend to be interfaces, and nothing else to whoever may not capture.
    there = all_interfaces()
    missing = [name for name in names if name not in {*there, *interface_names(tools)}]
    if missing:
        text = f"no interface {', '.join(missing)}; there are {', '.join(there)}"
        yield Result("interfaces", text, CaptureError(text))
        return
    try:
        with closing(LauncherClient(tools.dumpcap)) as launcher:
            capture = LiveCapture(tools, describe(names), settings.served.udp, settings.capture, launcher)
            try:
                deaf = unheard(capture, names) if live else []
            finally:
                capture.stop()
            yield _counting(launcher, names)
    except PortsentryError as error:
        yield Result("capture", str(error), error)
        return
    if deaf:
        text = f"no packet comes through on {', '.join(deaf)}; is the interface up?"
        yield Result("capture", text, CaptureError(text))
        return
    yield Result("capture", f"works on {', '.join(names)}")
    yield _sandbox()
    if live:
        yield _sensor(settings.log, names)


def _counting(launcher: LauncherClient, names: list[str]) -> Result:
    tally = KernelCounter(launcher)
    try:
        tally.watch(names, ())
    except OSError as error:
        text = f"packets cannot be counted beside the capture ({error.strerror}): losses are told late"
        return Result("accounts", text, warning=True)
    tally.close()
    return Result("accounts", "the kernel counts beside the capture")


def _sandbox() -> Result:
    try:
        missing = {"landlock", "seccomp"}.difference(available())
    except OSError as error:
        text = f"tshark cannot be confined ({error.strerror})"
        return Result("sandbox", text, CaptureError(text))
    if missing:
        text = f"tshark is confined without {' and '.join(sorted(missing))}, which this system lacks"
        return Result("sandbox", text, warning=True)
    return Result("sandbox", "tshark may open no socket, write no file and read no secret")


def _sensor(log: str, names: list[str]) -> Result:
    """Whether the sensor that runs hears the packet too."""
    if log != "-" and sensor_hears(Path(log), names):
        return Result("sensor", "heard the test packet")
    text = f"no sensor told in {log} that it heard the test packet; start it, or restart it"
    return Result("sensor", text, CaptureError(text))


def _log(target: str) -> Result:
    if target == "-":
        return Result("log", "standard output")
    try:
        note = examine(Path(target))
    except PortsentryError as error:
        return Result("log", str(error), error)
    return Result("log", note or target, warning=note is not None)


def _dropped(target: str) -> Iterator[Result]:
    with suppress(PortsentryError):  # there may be no log yet
        note = dropped_note(read_tail(Path(target)).status)
        if note:
            yield Result("sensor", note, warning=True)


def _jail(settings: Settings) -> Iterator[Result]:
    if not _FAIL2BAN.is_dir():
        yield Result("jail", str(NotInstalled()), warning=True)
        return
    shipped = pack_files()
    missing = [file.target for file in shipped if not (_FAIL2BAN / file.target).exists()]
    if missing:
        yield Result("jail", str(JailNotLoaded(JAIL)), warning=True)
    else:
        yield Result("jail", f"installed in {_FAIL2BAN}")
        if settings.log != DEFAULT_LOG:
            text = f"it reads {DEFAULT_LOG}, the log is {settings.log}; set logpath in jail.local."
            yield Result("jail", text, warning=True)
    for sentence in conflicts(Path("/"), os.environ.get("SSH_CONNECTION", "")):
        yield Result("jail", sentence, warning=True)
