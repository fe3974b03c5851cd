"""`check`: what is wrong on this host, and the fix. It changes nothing."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from portsentry_py.capture.bpf import FilterHost
from portsentry_py.capture.kernel_counter import KernelCounter
from portsentry_py.capture.live import LiveCapture
from portsentry_py.capture.toolchain import Tools, interface_names, tried_tools
from portsentry_py.checks.drill.record import left
from portsentry_py.checks.fleet import FleetHost, check_fleet
from portsentry_py.checks.jail import Fail2banHost, check_jail
from portsentry_py.checks.live import sensor_receives, unreached
from portsentry_py.checks.result import Result, broken, warning
from portsentry_py.config.settings import Settings
from portsentry_py.core import columns
from portsentry_py.errors import ConfigError, PortsentryError
from portsentry_py.host.choice import Choice, choices
from portsentry_py.host.interfaces import all_interfaces, own_addresses
from portsentry_py.host.sensors import running_sensors
from portsentry_py.output.log_file import examine
from portsentry_py.output.registry import require_metrics
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.privsep.sandbox import available
from portsentry_py.report.log_reader import read_tail
from portsentry_py.report.overview import dropped_note, forged_note


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


_MAX_REASONS = 12


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is checked; the defaults are this one."""

    find_tools: Callable[[], Tools] = tried_tools
    choices: Callable[[], list[Choice]] = choices
    all_interfaces: Callable[[], list[str]] = all_interfaces
    dumpcap_interfaces: Callable[[Tools], list[str]] = interface_names
    try_capture: Callable[[Settings, Tools, list[str], bool], Trial] = try_capture
    confinement: Callable[[], Collection[str]] = available
    sensor_receives: Callable[[Path, list[str]], bool] = sensor_receives
    running_sensors: Callable[[], list[int]] = running_sensors
    left_by_drill: Callable[[], Collection[str] | None] = left
    fail2ban: Fail2banHost = field(default_factory=Fail2banHost)
    fleet: FleetHost = field(default_factory=FleetHost)


def check(settings: Settings, host: Host, *, live: bool = False) -> Iterator[Result]:
    """Findings about tools, interfaces, rights, log, jail and fleet, in the order in which the sensor needs them.

    `live` sends a test packet, which a capture and the running sensor must receive.
    """
    try:
        tools = host.find_tools()
    except PortsentryError as error:
        yield broken("tshark", str(error))
    else:
        yield Result("tshark", f"{tools.tshark} {tools.version}")
        yield from _capture(settings, host, tools, live=live)
    yield _core()
    yield _log(settings.log)
    yield from _notes(settings.log)
    try:
        require_metrics(settings)
    except ConfigError as error:
        yield broken("metrics", str(error))
    yield from _sensors(host)
    yield from _drill(host)
    yield from check_jail(settings.log, host.fail2ban, time.time_ns() // 1000)
    yield from check_fleet(settings.fleet, host.fleet)


def _core() -> Result:
    """Whether the sensor's core is compiled: any module of it tells."""
    return Result("core", "interpreted" if columns.__file__.endswith(".py") else "compiled")


def _capture(settings: Settings, host: Host, tools: Tools, *, live: bool) -> Iterator[Result]:
    chosen = [] if settings.interfaces else host.choices()
    names = list(settings.interfaces) or sorted(one.name for one in chosen if one.watched == "itself")
    if not names:
        yield warning("interfaces", "none is up but loopback; the sensor watches what comes up.")
        names = ["any"]
    # dumpcap also lists sources that are no interfaces of the system, and lists nothing to a user who may not capture.
    there = host.all_interfaces()
    missing = [name for name in names if name not in {*there, *host.dumpcap_interfaces(tools)}]
    if missing:
        yield broken("interfaces", f"no interface {', '.join(missing)}; choose among {', '.join(there)}.")
        return
    if names != ["any"]:
        watched = f"{', '.join(names)} (as configured)" if settings.interfaces else _choice(chosen)
        yield Result("interfaces", watched)
    try:
        trial = host.try_capture(settings, tools, names, live)
    except PortsentryError as error:
        yield broken("capture", str(error))
        return
    yield _counter(trial.counter_fault)
    if trial.unreached:
        silent = ", ".join(trial.unreached)
        yield broken("capture", f"no test packet arrives on {silent}; check that the interface is up.")
        return
    yield Result("capture", f"works on {', '.join(names)}")
    yield _sandbox(host)
    if live:
        yield _sensor(settings.log, host, names)


def _choice(chosen: list[Choice]) -> str:
    """What is watched by default and why, and what is not."""
    reasons = {
        watched: [
            f"{one.name} ({one.why})" for one in sorted(chosen, key=lambda one: one.name) if one.watched == watched
        ]
        for watched in ("itself", "others", "no")
    }
    parts = (
        f"{_some(reasons['itself'])}",
        f"and all others that come and go{', now ' if reasons['others'] else ''}{_some(reasons['others'])}",
        f"not {_some(reasons['no'])}" if reasons["no"] else "",
    )
    return "; ".join(filter(None, parts))


def _some(reasons: list[str]) -> str:
    more = len(reasons) - _MAX_REASONS
    return ", ".join((*reasons[:_MAX_REASONS], *([f"{more} more"] if more > 0 else [])))


def _counter(fault: str) -> Result:
    if not fault:
        return Result("counter", "the kernel counts packets beside the capture")
    text = f"the kernel cannot count packets beside the capture ({fault}); losses are reported late."
    return warning("counter", text)


def _sandbox(host: Host) -> Result:
    try:
        missing = {"landlock", "seccomp"}.difference(host.confinement())
    except OSError as error:
        text = f"tshark cannot be confined ({error.strerror}); let the container or the security policy allow it."
        return broken("sandbox", text)
    if missing:
        text = f"tshark is confined without {' and '.join(sorted(missing))}, which this system lacks"
        return warning("sandbox", text)
    return Result("sandbox", "tshark may open no socket, write no file and read no secret")


def _sensor(log: str, host: Host, names: list[str]) -> Result:
    if log != "-" and host.sensor_receives(Path(log), names):
        return Result("sensor", "received the test packet")
    return broken("sensor", f"no sensor reports in {log} that it received the test packet; (re)start it.")


def _sensors(host: Host) -> Iterator[Result]:
    found = host.running_sensors()
    if len(found) > 1:
        numbers = ", ".join(map(str, found))
        yield warning("sensor", f"{len(found)} run on this host (pid {numbers}) and write lines; end all but one.")


def _drill(host: Host) -> Iterator[Result]:
    left = host.left_by_drill()
    if left:
        yield warning(
            "drill", f"fail2ban may hold bans of {len(left)} addresses of one; run `portsentry-py drill --clean`."
        )


def _log(target: str) -> Result:
    if target == "-":
        return Result("log", "standard output")
    try:
        note = examine(Path(target))
    except PortsentryError as error:
        return broken("log", str(error))
    return warning("log", note) if note else Result("log", target)


def _notes(target: str) -> Iterator[Result]:
    with suppress(PortsentryError):  # there can be no log yet
        status = read_tail(Path(target)).status
        for note in filter(None, (dropped_note(status), forged_note(status))):
            yield warning("sensor", note)
