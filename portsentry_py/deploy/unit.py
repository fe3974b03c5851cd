"""The service: enabled, started, stopped."""

from contextlib import ExitStack

from portsentry_py.deploy.system import UNIT, System, run, succeeds


def restart_later(undo: ExitStack) -> None:
    """Puts on the stack that systemd reads the files again, and runs the service if it runs now.

    Raises:
        InstallError: a program fails, while undoing.
    """
    if succeeds("systemctl", "--quiet", "is-active", UNIT):
        undo.callback(run, "systemctl", "restart", UNIT)
    undo.callback(run, "systemctl", "daemon-reload")


def enable(system: System, undo: ExitStack) -> None:
    """Lets the service start at boot.

    Raises:
        InstallError: systemctl fails.
    """
    if not system.enabled():
        undo.callback(system.systemctl, "disable", UNIT)
        system.systemctl("enable", UNIT)


def restart(undo: ExitStack) -> None:
    """Starts the service with the new files, and waits until it captures.

    Raises:
        InstallError: it does not start.
    """
    run("systemctl", "daemon-reload")
    undo.callback(run, "systemctl", "stop", UNIT)
    run("systemctl", "restart", UNIT)


def take_away(system: System) -> None:
    """Stops and disables the service.

    Raises:
        InstallError: systemctl fails.
    """
    if system.running and succeeds("systemctl", "--quiet", "cat", UNIT):
        run("systemctl", "stop", UNIT)
    if system.enabled():
        system.systemctl("disable", UNIT)


def forget() -> None:
    """Lets systemd forget the removed unit.

    Raises:
        InstallError: systemctl fails.
    """
    run("systemctl", "daemon-reload")
    succeeds("systemctl", "reset-failed", UNIT)
