"""A service of ours, the sensor's if no other is named: enabled, started, stopped."""

from contextlib import ExitStack

from portsentry_py.deploy.system import UNIT, System, run, succeeds


def restart_later(undo: ExitStack, name: str = UNIT) -> None:
    """Puts on the stack that systemd reads the files again, and runs the service if it runs now.

    Raises:
        InstallError: a program fails, while undoing.
    """
    if succeeds("systemctl", "--quiet", "is-active", name):
        undo.callback(run, "systemctl", "restart", name)
    undo.callback(run, "systemctl", "daemon-reload")


def enable(system: System, undo: ExitStack, name: str = UNIT) -> None:
    """Lets the service start at boot.

    Raises:
        InstallError: systemctl fails.
    """
    if not system.enabled(name):
        undo.callback(system.systemctl, "disable", name)
        system.systemctl("enable", name)


def restart(undo: ExitStack, name: str = UNIT) -> None:
    """Starts the service with the new files, and waits until it says that it is ready.

    Raises:
        InstallError: it does not start.
    """
    run("systemctl", "daemon-reload")
    undo.callback(run, "systemctl", "stop", name)
    run("systemctl", "restart", name)


def take_away(system: System, name: str = UNIT) -> None:
    """Stops and disables the service.

    Raises:
        InstallError: systemctl fails.
    """
    if system.running and succeeds("systemctl", "--quiet", "cat", name):
        run("systemctl", "stop", name)
    if system.enabled(name):
        system.systemctl("disable", name)


def forget(*names: str) -> None:
    """Lets systemd forget the removed units.

    Raises:
        InstallError: systemctl fails.
    """
    run("systemctl", "daemon-reload")
    for name in names or (UNIT,):
        succeeds("systemctl", "reset-failed", name)
