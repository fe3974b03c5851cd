"""`run`: the sensor on live traffic."""

import logging
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from portsentry_py import __version__
from portsentry_py.capture.packet_ring import PacketRing, ring_folder
from portsentry_py.capture.supervisor import live_supervisor
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.cli.options import command, config_option, option
from portsentry_py.cli.render import say
from portsentry_py.config.known_scanners import known_scanners
from portsentry_py.config.loader import load
from portsentry_py.config.settings import DEFAULT_LOG, Settings
from portsentry_py.config.wide_networks import wide_networks
from portsentry_py.core.known_scanners import KnownScanners
from portsentry_py.core.pipeline import Pipeline
from portsentry_py.errors import CaptureError
from portsentry_py.host.trap_listener import TrapListener
from portsentry_py.output.diagnostics import AsyncLogHandler, standard_error
from portsentry_py.output.registry import open_outputs
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.sensor.allowlist import Allowlist
from portsentry_py.sensor.clock import Clock
from portsentry_py.sensor.daemon import Daemon
from portsentry_py.sensor.host_view import HostView
from portsentry_py.sensor.systemd import SystemdNotifier
from portsentry_py.state.checkpoint import Checkpoint


@command()
@config_option
@option(
    "-i",
    "--iface",
    multiple=True,
    show_default="every interface that is up, without loopback",
    help="Interface to watch; may be repeated. `any` watches all.",
)
@option("--log", show_default=f"`log` of the configuration, {DEFAULT_LOG}", help="Event log; `-` is standard output.")
def run(config: Path | None, iface: tuple[str, ...], log: str | None) -> None:
    """Watch live traffic and log events until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again.
    """

    def settings() -> Settings:
        loaded = load(config)
        return replace(loaded, interfaces=iface or loaded.interfaces, log=log or loaded.log)

    def reload() -> Settings:
        read = settings()
        pipeline.set_known_scanners(KnownScanners(known_scanners(read)))
        return read

    now = settings()
    known = KnownScanners(known_scanners(now))
    clock = Clock()
    allowlist = Allowlist(now.allowlist, clock.now_us)
    tools = find_tools()
    target = "standard output" if now.log == "-" else now.log

    def announce(names: list[str]) -> None:
        watched = ", ".join(names)
        say(f"portsentry-py {__version__} watches {watched} with tshark {tools.version}; log: {target}", err=True)

    with ExitStack() as opened:
        launcher = opened.enter_context(closing(LauncherClient(tools.dumpcap)))
        launcher.drop_privileges()  # before any thread starts
        diagnostics = opened.enter_context(closing(AsyncLogHandler(standard_error())))
        logging.basicConfig(level=logging.INFO, handlers=[diagnostics])
        for sentence in wide_networks(now):
            logging.getLogger(__name__).warning("%s", sentence)
        outputs = opened.enter_context(closing(open_outputs(now)))
        traps = opened.enter_context(closing(TrapListener(now.traps.tcp if now.traps.listen else (), now.traps.banner)))
        ring = opened.enter_context(closing(PacketRing(tools.dumpcap, launcher, now.capture, ring_folder(now.state))))
        host = HostView(now.home, traps.ports, allowlist)
        pipeline = Pipeline(now, host.state, known, read_host=host.read_again)
        daemon = Daemon(
            now,
            pipeline,
            live_supervisor(tools, launcher, now.capture, ring),
            outputs,
            host=host,
            traps=traps,
            checkpoint=Checkpoint(pipeline, now.state),
            notifier=SystemdNotifier(),
            announce=announce,
            reload=reload,
            clock=clock,
        )
        try:
            daemon.run()
        except OSError as error:
            # Not the code of a log that cannot be written, after which the service stays down.
            raise CaptureError(f"the system refused a call ({error.strerror}); raise the limit.") from error
