"""`drill`: a scan of this host by a stranger of our own, and what became of it."""

import json
import os
import sys
from pathlib import Path

import click

from portsentry_py.checks.drill.drill import clean
from portsentry_py.checks.drill.drill import drill as carry_out
from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.hints import Where, hints
from portsentry_py.checks.drill.techniques import ALL, QUICK
from portsentry_py.checks.jail import Fail2banHost
from portsentry_py.cli.options import command, config_option, flag, socket_option
from portsentry_py.cli.render import drill_table, print_whole, stderr
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.errors import PermissionDenied, UsageError
from portsentry_py.fail2ban.client import Fail2banClient


@command()
@config_option
@socket_option
@flag("--quick", help="Five techniques, in less than half a minute.")
@flag("--unarmed", help="Look at the log alone, and not at bans.")
@flag("--json", "as_json", help="Print JSON for programs.")
@flag("--clean", "only_clean", help="Only remove what a killed drill left.")
def drill(
    config: Path | None, socket: Path | None, *, quick: bool, unarmed: bool, as_json: bool, only_clean: bool
) -> None:
    """Scan this host as a stranger; look at line, ban and unban.

    The stranger has a network namespace of its own and addresses for documentation. All that the drill makes is
    removed. The exit code is 0, or 1 if a step could not be tried, or 2 if one failed.
    """
    if os.geteuid():
        raise PermissionDenied("the drill makes interfaces and bans; run it as root.")
    client = Fail2banClient(socket)
    if only_clean:
        say("removed what a drill had left" if clean(client) else "no drill has left anything")
        return
    settings = load(config)
    if settings.log == "-":
        raise UsageError("the log is standard output, which the drill cannot read; name the configuration with -c.")
    found = carry_out(settings, QUICK if quick else ALL, client, armed=not unarmed, say=_progress)
    causes = hints(found, Where(settings, Fail2banHost(client=client)))
    if as_json:
        click.echo(json.dumps(_record(found, causes)))
    else:
        _show(found, causes)
    if found.exit_code:
        sys.exit(found.exit_code)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        stderr.print(text, style="dim")


def _record(found: Found, causes: list[str]) -> dict[str, object]:
    return {
        "exit_code": found.exit_code,
        "armed": found.armed,
        "targets": [{"address": one.address, "interface": one.interface} for one in found.targets],
        "techniques": [row.record(armed=found.armed) for row in found.rows],
        "hints": causes,
        "left_behind": list(found.left),
    }


def _show(found: Found, causes: list[str]) -> None:
    if found.tried and found.sensor.pids:
        print_whole(drill_table(found.tried, armed=found.armed))
    for why in dict.fromkeys(row.why_not for row in found.rows if row.why_not):
        names = ", ".join(row.technique.name for row in found.rows if row.why_not == why)
        say(f"not tried: {names}: {why}")
    for cause in causes:
        say(f"hint: {cause}")
    if found.left:
        say(f"left behind: the bans of {', '.join(found.left)}; run `portsentry-py drill --clean`.")
    elif found.sensor.pids:
        say("removed: the namespace, its wire and routes, and every ban of the drill")
