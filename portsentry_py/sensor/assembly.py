"""Puts the parts of the running sensor together."""

import logging
from collections.abc import Callable
from contextlib import ExitStack, closing

from portsentry_py import __version__
from portsentry_py.capture.packet_ring import PacketRing, ring_folder
from portsentry_py.capture.supervisor import live_supervisor
from portsentry_py.capture.toolchain import Tools
from portsentry_py.config.known_scanners import known_scanners
from portsentry_py.config.settings import Settings
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


def run_sensor(
    settings: Callable[[], Settings], find_tools: Callable[[], Tools], announce: Callable[[str], None]
) -> None:
    """Run the sensor until a signal ends it.

    Args:
        settings: reads the configuration, now and at each reload.
        find_tools: finds tshark and dumpcap.
        announce: called with a sentence for people when the capture runs.

    Raises:
        PortsentryError: it cannot start, or cannot go on.
    """

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

    def say_watched(names: list[str]) -> None:
        watched = ", ".join(names)
        announce(f"portsentry-py {__version__} watches {watched} with tshark {tools.version}; log: {target}")

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
            announce=say_watched,
            reload=reload,
            clock=clock,
        )
        try:
            daemon.run()
        except OSError as error:
            # Not the code of a log that cannot be written, after which the service stays down.
            raise CaptureError(f"the system refused a call ({error.strerror}); raise the limit.") from error
