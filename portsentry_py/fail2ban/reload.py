"""Lets a running fail2ban read the jails again."""

from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import is_ours, jail_names


def reload() -> None:
    """Lets fail2ban read its configuration again, if it is valid.

    Raises:
        Fail2banError, PermissionDenied: it is not, or fail2ban does not answer.
    """
    client = Fail2banClient()
    client.ask("-t")
    before = _actions(client)
    client.ask("reload")
    # fail2ban (1.0.2, 1.1.0) drops each action that a reload adds to a jail; a restart of the jail keeps its bans.
    for jail, actions in _actions(client).items():
        if jail in before and (before[jail] != actions or actions.startswith("No actions")):
            client.ask("reload", "--restart", "--if-exists", jail)


def _actions(client: Fail2banClient) -> dict[str, str]:
    """What fail2ban says about the actions of each jail of ours."""
    return {jail: client.ask("get", jail, "actions") for jail in jail_names(client.ask) if is_ours(jail)}
