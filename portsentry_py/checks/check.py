"""`check`: what is wrong on this host, and the fix. It changes nothing."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.toolchain import Tools, find_tools, interface_names
from portsentry_py.checks.live import sensor_receives, unreached
from portsentry_py.config.known_scanners import known_scanners
from portsentry_py.config.settings import DEFAULT_LOG, Settings
from portsentry_py.errors import CaptureError, PortsentryError
from portsentry_py.fail2ban.client import JailNotLoaded, NotInstalled
from portsentry_py.fail2ban.conflicts import conflicts
from portsentry_py.fail2ban.pack import ETC, JAIL, pack_files
from portsentry_py.host.interfaces import all_interfaces, default_interfaces, own_addresses
from portsentry_py.output.log_file import examine
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.privsep.sandbox import available
from portsentry_py.report.log_reader import read_tail
from portsentry_py.report.overview import dropped_note, forged_note


@dataclass(frozen=True, slots=True)
class Result:
    """One finding. With an `error` the sensor cannot run."""

    name: str
    text: str
    error: PortsentryError | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A capture that was started and stopped.

    It did not receive the test packet on `unreached`. `counter_fault` says why the kernel cannot count beside it.
    """

    unreached: tuple[str, ...] = ()
    counter_fault: str = ""


def try_capture(settings: Settings, tools: Tools, names: list[str], live: bool) -> Trial:
    """Captures for a moment; `live` sends test packets.

    Raises:
        PortsentryError: capturing is not possible.
    """
    with closing(LauncherClient(tools.dumpcap)) as launcher:
        capture = LiveCapture(
            tools, launcher, settings.capture, names, FilterHost(own_addresses(), settings.served.udp)
        )
        try:
            capture.wait_until_started()
            missed = unreached(capture, names) if live else []
        finally:
            capture.stop()
        try:
            with closing(KernelCounter(launcher)) as counter:
                counter.watch(names)
        except OSError as error:
            return Trial(tuple(missed), error.strerror or str(error))
        return Trial(tuple(missed))


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is checked; the defaults are this one."""

    find_tools: Callable[[], Tools] = find_tools
    default_interfaces: Callable[[], list[str]] = default_interfaces
    all_interfaces: Callable[[], list[str]] = all_interfaces
    tshark_interfaces: Callable[[Tools], list[str]] = interface_names
    try_capture: Callable[[Settings, Tools, list[str], bool], Trial] = try_capture
    confinement: Callable[[], Collection[str]] = available
    sensor_receives: Callable[[Path, list[str]], bool] = sensor_receives
    root: Path = Path("/")


def check(settings: Settings, host: Host, *, live: bool = False) -> Iterator[Result]:
    """Findings about tools, interfaces, rights, log and jail, in the order in which the sensor needs them.

    `live` sends a test packet, which a capture and the running sensor must receive.
    """
    try:
        tools = host.find_tools()
    except PortsentryError as error:
        yield Result("tshark", str(error), error)
    else:
        yield Result("tshark", f"{tools.tshark} {tools.version}")
        yield from _capture(settings, host, tools, live=live)
    yield _known_scanners(settings)
    yield _log(settings.log)
    yield from _notes(settings.log)
    yield from _jail(settings.log, host)


def _capture(settings: Settings, host: Host, tools: Tools, *, live: bool) -> Iterator[Result]:
    names = list(settings.interfaces) or host.default_interfaces()
    if not names:
        yield Result("interfaces", "none is up but loopback; the sensor watches `any`.", warning=True)
        names = ["any"]
    # tshark also lists programs that act as interfaces, and lists nothing to a user who may not capture.
    there = host.all_interfaces()
    missing = [name for name in names if name not in {*there, *host.tshark_interfaces(tools)}]
    if missing:
        yield _wrong("interfaces", f"no interface {', '.join(missing)}; choose among {', '.join(there)}.")
        return
    try:
        trial = host.try_capture(settings, tools, names, live)
    except PortsentryError as error:
        yield Result("capture", str(error), error)
        return
    yield _counter(trial.counter_fault)
    if trial.unreached:
        silent = ", ".join(trial.unreached)
        yield _wrong("capture", f"no test packet arrives on {silent}; check that the interface is up.")
        return
    yield Result("capture", f"works on {', '.join(names)}")
    yield _sandbox(host)
    if live:
        yield _sensor(settings.log, host, names)


def _wrong(name: str, text: str) -> Result:
    return Result(name, text, CaptureError(text))


def _counter(fault: str) -> Result:
    if not fault:
        return Result("counter", "the kernel counts packets beside the capture")
    text = f"the kernel cannot count packets beside the capture ({fault}); losses are reported late."
    return Result("counter", text, warning=True)


def _sandbox(host: Host) -> Result:
    try:
        missing = {"landlock", "seccomp"}.difference(host.confinement())
    except OSError as error:
        return _wrong("sandbox", f"tshark cannot be confined ({error.strerror})")
    if missing:
        text = f"tshark is confined without {' and '.join(sorted(missing))}, which this system lacks"
        return Result("sandbox", text, warning=True)
    return Result("sandbox", "tshark may open no socket, write no file and read no secret")


def _sensor(log: str, host: Host, names: list[str]) -> Result:
    if log != "-" and host.sensor_receives(Path(log), names):
        return Result("sensor", "received the test packet")
    return _wrong("sensor", f"no sensor reports in {log} that it received the test packet; (re)start it.")


def _known_scanners(settings: Settings) -> Result:
    try:
        networks = known_scanners(settings)
    except PortsentryError as error:
        return Result("known scanners", str(error), error)
    return Result("known scanners", f"{len(networks)} networks ({settings.known_scanners_table})")


def _log(target: str) -> Result:
    if target == "-":
        return Result("log", "standard output")
    try:
        note = examine(Path(target))
    except PortsentryError as error:
        return Result("log", str(error), error)
    return Result("log", note or target, warning=note is not None)


def _notes(target: str) -> Iterator[Result]:
    with suppress(PortsentryError):  # there can be no log yet
        status = read_tail(Path(target)).status
        for note in filter(None, (dropped_note(status), forged_note(status))):
            yield Result("sensor", note, warning=True)


def _jail(log: str, host: Host) -> Iterator[Result]:
    etc = host.root / ETC
    if not etc.is_dir():
        yield Result("jail", str(NotInstalled(root=host.root)), warning=True)
        return
    if not all((etc / file.target).exists() for file in pack_files()):
        yield Result("jail", str(JailNotLoaded(JAIL)), warning=True)
    else:
        yield Result("jail", f"installed in {etc}")
        if log != DEFAULT_LOG:
            text = f"it reads {DEFAULT_LOG}, but the log is {log}; set logpath in jail.local."
            yield Result("jail", text, warning=True)
    for sentence in conflicts(host.root, os.environ.get("SSH_CONNECTION", "")):
        yield Result("jail", sentence, warning=True)
