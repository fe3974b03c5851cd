"""`check`: what is wrong on this machine, and how to fix it."""

import sys
from itertools import chain
from pathlib import Path

from portsentry_py.checks.check import Host
from portsentry_py.checks.check import check as check_all
from portsentry_py.checks.configuration import Configuration
from portsentry_py.cli.options import command, config_option, flag
from portsentry_py.cli.say import say
from portsentry_py.host.service import service_user

_EXIT_CODES = {"ok": 0, "warning": 1, "broken": 2}


@command()
@config_option
@flag("--live", help="Also send a marked packet, and wait until a new capture and the running sensor have received it.")
@flag("--config-only", help="Only read the configuration and the tables that it names, as the service does.")
def check(config: Path | None, *, live: bool, config_only: bool) -> None:
    """Check tools, rights, interfaces, log and jail; print fixes.

    The exit code is 0, or 1 after a warning, or 2 if something is broken.
    """
    found = Configuration(config, service_user())
    rest = check_all(found.settings, Host(), live=live) if found.settings else ()
    worst = 0
    for result in found.results if config_only else chain(found.results, found.advice(), rest):
        say(f"{result.level:<7} {result.name}: {result.text}")
        worst = max(worst, _EXIT_CODES[result.level])
    if worst:
        sys.exit(worst)
