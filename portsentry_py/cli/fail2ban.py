"""`fail2ban`: the filter and jails in fail2ban's own folder, and the proof that they work."""

import os
from pathlib import Path

import click

from portsentry_py.cli.options import ban_action_option, command, flag, option
from portsentry_py.cli.render import filter_table, show_outcomes, stdout
from portsentry_py.cli.say import say
from portsentry_py.errors import Fail2banError, PermissionDenied, UsageError
from portsentry_py.fail2ban import installer
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS, ban_and_unban
from portsentry_py.fail2ban.client import Fail2banClient, JailNotLoaded, NotAnswering, NotInstalled
from portsentry_py.fail2ban.conflicts import conflicts
from portsentry_py.fail2ban.filter_test import run_all_modes
from portsentry_py.fail2ban.firewall import BanAction, choose
from portsentry_py.fail2ban.pack import ETC, pack_files
from portsentry_py.fail2ban.reload import reload as read_jails

_root_option = option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path("/"),
    help="Root directory of the system, which holds etc/fail2ban.",
)


@command()
@_root_option
@ban_action_option
@flag("--reload", help="Let the running fail2ban read the jails. Bans last.")
def install(root: Path, ban_action: str, *, reload: bool) -> None:
    """Copy the filter and jails to /etc/fail2ban.

    A file that you changed is kept, and the difference is shown.
    """
    if reload and root != Path("/"):
        raise UsageError(f"no fail2ban runs below {root}; leave out --reload.")
    try:
        choice = choose(root, ban_action)
    except NotInstalled as error:  # a firewall, which can come later
        choice = BanAction("", f"nothing: {error}")
    show_outcomes(installer.install(root, choice.setting))
    say(f"the jails ban with {choice.reason}")
    for sentence in conflicts(root, os.environ.get("SSH_CONNECTION", "")):
        say(f"note: {sentence}")
    if reload:
        read_jails()
    else:
        say("arm it with: portsentry-py fail2ban install --reload")


@command()
@_root_option
def uninstall(root: Path) -> None:
    """Remove the filter and jails, but no file that you changed."""
    show_outcomes(installer.uninstall(root))
    say("take effect with: fail2ban-client reload")


@command()
@_root_option
def test(root: Path) -> None:
    """Test the filter with fail2ban-regex, and a ban.

    It bans 192.0.2.1, an address for documentation: the rule must appear in the kernel, and go away again.
    """
    for file in pack_files():
        installed = root / ETC / file.target
        if installed.exists() and installed.read_bytes() != file.content:
            say(f"note: {installed} differs from the shipped file that is tested.")
    results = run_all_modes()
    stdout.print(filter_table(results))
    if not all(result.ok for result in results):
        raise Fail2banError("the filter does not match what it must; reinstall portsentry-py and fail2ban.")
    try:
        rules = ban_and_unban(Fail2banClient(), TEST_ADDRESS)
    except (NotInstalled, NotAnswering, JailNotLoaded, PermissionDenied) as error:
        say(f"no ban was tried: {error}")
    else:
        say(f"banned {TEST_ADDRESS}, found it in {', '.join(rules)}, and unbanned it: gone")


@click.group(commands=[install, uninstall, test])
def fail2ban() -> None:
    """Install, remove or test the fail2ban filter and jails."""
