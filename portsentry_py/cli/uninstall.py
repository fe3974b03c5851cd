"""`uninstall`: the service and the jails go; what the operator wrote stays."""

from pathlib import Path

from portsentry_py.cli.install import dry_run_flag, need_root, root_option
from portsentry_py.cli.options import command, flag
from portsentry_py.cli.render import show_outcomes
from portsentry_py.cli.say import say
from portsentry_py.deploy import plan
from portsentry_py.deploy.step import carry_out
from portsentry_py.deploy.system import system


@command()
@dry_run_flag
@flag("--purge", help="Remove the log, and the configuration even if you changed it.")
@root_option
def uninstall(root: Path, *, dry_run: bool, purge: bool) -> None:
    """Remove the service, its user and the jails.

    Your changed files and the log stay, and are named. Run it again if it was interrupted.
    """
    need_root(dry_run=dry_run)
    steps = plan.uninstall(system(root), purge=purge)
    if dry_run:
        for step in steps.steps:
            say(f"would {step.text}")
        return
    carry_out(steps.steps, say)
    show_outcomes(steps.outcomes)
