"""Faults of fail2ban, in the middle of a scan: a scan is banned all the same."""

import contextlib
from collections.abc import Callable

from tests.lab.faults.fault import Fault, Observed, Stage
from tests.lab.faults.scene import Scene, playing
from tests.support.fail2ban_server import NFTABLES, Fail2banServer

_PORTS, _PER_SECOND = "1-60", "60"


def _scan(scene: Scene, source: str) -> None:
    """Scan for a second, from an address of the scanner's."""
    lab = scene.stage.lab
    done = lab.scanner.run(
        *("nmap", "-n", "-Pn", "-sS", "-e", "eth0", "-S", source, "--max-retries", "0"),
        *("--min-rate", _PER_SECOND, "--max-rate", _PER_SECOND, "-p", _PORTS, lab.target.ipv4[0]),
    )
    assert done.returncode == 0, done.stderr


def _amid(trouble: Callable[[Fail2banServer, Callable[[], None]], None], text: str) -> Callable[[Stage], Observed]:
    """Ban one scanner, let fail2ban be in trouble while another scans, and see both banned."""

    def happens(stage: Stage) -> Observed:
        folder = stage.folder / "f2b"
        folder.mkdir()
        server = Fail2banServer(stage.lab.target, folder, NFTABLES)
        with contextlib.ExitStack() as stack:
            stack.callback(server.stop)
            scene = stack.enter_context(playing(stage, log=server.log))
            first, second = stage.lab.scanner.ipv4
            _scan(scene, first)
            scene.sensor.wait_for_line("the first scan", event_type="scan", src_ip=first, verdict="ban")
            server.wait_for_bans([first])
            scene.strike()
            trouble(server, lambda: _scan(scene, second))
            server.wait_for_bans([first, second])
            return scene.observed(text, recovers=False)

    return happens


def _reloaded(server: Fail2banServer, scan: Callable[[], None]) -> None:
    asked = server.host.start("fail2ban-client", "-c", server.config, "reload")
    scan()
    assert asked.wait(60) == 0, server.evidence()


def _restarted(server: Fail2banServer, scan: Callable[[], None]) -> None:
    asked = server.host.start("fail2ban-client", "-c", server.config, "stop")
    scan()
    assert asked.wait(60) == 0, server.evidence()
    server.processes[-1].wait(30)
    server.start()


def _stopped(server: Fail2banServer, scan: Callable[[], None]) -> None:
    server.stop()
    scan()
    server.start()


_BANNED = "the scan is banned, and so is who was before"
FAULTS = (
    Fault("fail2ban-reloaded", "fail2ban is reloaded during a scan", _BANNED, _amid(_reloaded, "both banned")),
    Fault("fail2ban-restarted", "fail2ban is restarted during a scan", _BANNED, _amid(_restarted, "both banned")),
    Fault("fail2ban-stopped", "fail2ban is down during a scan", _BANNED, _amid(_stopped, "both banned")),
)
