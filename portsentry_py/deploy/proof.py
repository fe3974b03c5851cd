"""The proof that the installed service works: it sees packets, and its bans reach the kernel."""

import re
from pathlib import Path

from portsentry_py.errors import InstallError
from portsentry_py.fail2ban.ban_test import TEST_ADDRESS, ban_and_unban
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.pack import JAIL
from portsentry_py.fail2ban.programs import ran

_SECONDS = 180
# `check` finds nothing, or warnings alone.
_WORKS = {0, 1}


def sees(program: Path) -> None:
    """Runs `check --live` of the installed program.

    Raises:
        InstallError: the sensor does not receive a test packet, or something else is wrong.
    """
    done = ran([program, "check", "--live"], _SECONDS)
    if done.returncode not in _WORKS:
        wrong = re.findall(r"^broken\s+(.*)$", done.stdout, re.MULTILINE) or (done.stderr or done.stdout).splitlines()
        raise InstallError(f"the service does not work: {' '.join(wrong)}")


def bans() -> tuple[str, ...]:
    """Asks for the jail, and bans and unbans a documentation address; the kernel's rules about it.

    Raises:
        Fail2banError, PermissionDenied: fail2ban lacks the jail, or the ban does not reach the kernel.
    """
    client = Fail2banClient()
    client.ask("status", JAIL)
    return ban_and_unban(client, TEST_ADDRESS)
