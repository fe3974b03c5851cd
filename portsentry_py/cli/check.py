"""`check`: what is wrong on this machine, and how to fix it."""

import sys
from pathlib import Path

from portsentry_py.checks.check import Host
from portsentry_py.checks.check import check as check_all
from portsentry_py.cli.options import command, config_option, flag
from portsentry_py.cli.render import say
from portsentry_py.config import loader
from portsentry_py.errors import PortsentryError


@command()
@config_option
@flag("--live", help="Also send a marked packet, and wait until a new capture and the running sensor have received it.")
def check(config: Path | None, *, live: bool) -> None:
    """Check tools, permissions, interfaces, log and jail; print fixes.

    The exit code is that of the first problem.
    """
    settings = loader.load(config)
    used = config or (loader.DEFAULT_PATH if loader.DEFAULT_PATH.exists() else "no file, the defaults")
    say(f"ok    configuration: {used}")
    failed: PortsentryError | None = None
    for result in check_all(settings, Host(), live=live):
        mark = "wrong" if result.error else "note " if result.warning else "ok   "
        say(f"{mark} {result.name}: {result.text}")
        failed = failed or result.error
    if failed is not None:
        sys.exit(failed.exit_code)
