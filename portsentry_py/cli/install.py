"""`install`: the service, the jails and the proof that they work."""

import os
import shutil
from pathlib import Path

import click

from portsentry_py.capture.toolchain import tried_tools
from portsentry_py.checks.fleet import require_library, usable
from portsentry_py.cli.options import ban_action_option, command, flag, option
from portsentry_py.cli.render import show_outcomes
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.config.settings import DEFAULT_FLEET_LOG, DEFAULT_LOG
from portsentry_py.config.values import OFF_WORD
from portsentry_py.deploy import fleet, jail, plan, program
from portsentry_py.deploy.service_files import CONFIG
from portsentry_py.deploy.step import carry_out
from portsentry_py.deploy.system import UNIT, System, system
from portsentry_py.errors import InstallError, PermissionDenied
from portsentry_py.fail2ban.firewall import BanAction, choose
from portsentry_py.fail2ban.pack import ETC, JAIL

root_option = option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    default=Path("/"),
    help="Root directory of a system that does not run: nothing is started or reloaded there.",
)
dry_run_flag = flag("--dry-run", help="Print the steps, and do none.")


@command()
@dry_run_flag
@flag("--no-jail", help="Leave fail2ban alone: nobody is banned.")
@root_option
@ban_action_option
def install(root: Path, ban_action: str, *, dry_run: bool, no_jail: bool) -> None:
    """Install the service, the jails, and prove both.

    Nothing is asked. Files that you changed are kept. If a step fails, it and those before it are undone. If the
    configuration names `fleet.credentials`, the services and the jail of the fleet come too; else they go.
    """
    target = system(root)
    _need_tools(target, dry_run=dry_run)
    action = None if no_jail else _ban_action(target, ban_action, dry_run=dry_run)
    found = program.find(target)
    credentials = _credentials(target, dry_run=dry_run)
    steps = plan.install(target, found, action, credentials)
    if dry_run:
        for step in steps.steps:
            say(f"would {step.text}")
        return
    carry_out(steps.steps, say)
    program.tidy(target)
    show_outcomes([outcome for outcome in steps.outcomes if outcome.action == "kept"])
    if target.running:
        say(f"runs: {UNIT}, as the user portsentry, from {found.path}")
        say(f"bans: {f'the jail {JAIL}, with {action.reason}' if action else 'nobody'}")
    else:
        say(f"installed below {root}: the service starts at the next boot, and nothing was started or reloaded")
        say(f"bans: {f'the jail {JAIL}, from the next start of fail2ban' if action else 'nobody'}")
    say(f"log: {DEFAULT_LOG}")
    if credentials is not None:
        say(f"fleet: what other hosts ban is in {DEFAULT_FLEET_LOG}")
    say("let somebody back in: portsentry-py allow ADDRESS")
    if target.running:
        say("see it work: portsentry-py drill --quick")


def need_root(*, dry_run: bool) -> None:
    """Only root changes a system.

    Raises:
        PermissionDenied: this is not root.
    """
    if os.geteuid() and not dry_run:
        raise PermissionDenied("this changes the system; run it as root, or with --dry-run.")


def _need_tools(target: System, *, dry_run: bool) -> None:
    need_root(dry_run=dry_run)
    if shutil.which("systemctl") is None:
        raise InstallError("there is no systemd here; run portsentry-py run from a supervisor of your own.")
    if target.running:
        tried_tools()


def _credentials(target: System, *, dry_run: bool) -> Path | None:
    """The secret of this host, if its configuration names a fleet; it can come later to a tree that does not run."""
    config = target.root / CONFIG
    settings = load(config).fleet if config.exists() else None
    if settings is None or settings.credentials == OFF_WORD:
        return None
    path = Path(settings.credentials)
    fleet.must_be_visible(path)
    if target.running and not dry_run:
        require_library()
        usable(settings, path)
    return path


def _ban_action(target: System, wanted: str, *, dry_run: bool) -> BanAction | None:
    if not (target.root / ETC).is_dir():
        say("note: fail2ban is not installed, so nobody is banned; run apt-get install fail2ban, then this again.")
        return None
    jail.must_be_free(target)
    choice = choose(target.root, wanted)
    if target.running and not dry_run:
        jail.answers()
    return choice
