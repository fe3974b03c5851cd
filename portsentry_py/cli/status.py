"""`status`: the sensor, the bans and their reasons, the latest sources."""

import sys
from pathlib import Path

import click

from portsentry_py.cli.options import command, config_option, flag, log_option, socket_option
from portsentry_py.cli.render import stdout
from portsentry_py.config.loader import load
from portsentry_py.errors import CaptureError
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.host.interfaces import own_addresses
from portsentry_py.host.senders import senders
from portsentry_py.host.sensors import memory_bytes, running_sensors
from portsentry_py.host.service import start_command
from portsentry_py.report.overview import look
from portsentry_py.report.terminal import render


@command()
@config_option
@log_option
@socket_option
@flag("--json", "as_json", help="Print JSON for programs.")
@flag("--quiet", help="Print nothing: the exit code tells a monitor whether the sensor runs.")
def status(config: Path | None, log: str | None, socket: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Show the sensor, its log, the bans and the latest sources.

    Each ban is shown with its reason and the time left. The exit code is 69 if the sensor does not run.
    """
    sensors = running_sensors()
    found = look(
        log or load(config).log,
        Fail2banClient(socket),
        lambda line: senders(line, own_addresses()),
        start_command(),
        memory_bytes(sensors),
    )
    if as_json and not quiet:
        click.echo(found.to_json())
    elif not quiet:
        for part in render(found):
            stdout.print(part)
    if found.sensor.running is False or (found.sensor.running is None and not sensors):
        sys.exit(CaptureError.exit_code)
