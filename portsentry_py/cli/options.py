"""What the options of all commands share.

An option with a value is also an environment variable: PORTSENTRY_ and its long name. A flag is none.
"""

import re
from collections.abc import Iterable
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import click

from portsentry_py.config.loader import DEFAULT_PATH
from portsentry_py.config.settings import Networks
from portsentry_py.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)

# Of each command, not of the group: click would put the command's name into the variable.
command = partial(click.command, context_settings={"auto_envvar_prefix": "PORTSENTRY", "show_default": True})
option = partial(click.option, show_envvar=True)
flag = partial(click.option, is_flag=True, allow_from_autoenv=False)

config_option = option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    show_default=f"{DEFAULT_PATH}, if it exists",
    help="Configuration file.",
)

log_option = option("--log", show_default="`log` of the configuration", help="Event log to read.")

socket_option = option(
    "--socket",
    type=click.Path(path_type=Path),
    show_default="the one in fail2ban's own configuration",
    help="fail2ban's socket.",
)

state_option = option(
    "--state",
    type=click.Path(path_type=Path),
    show_default="`state` of the configuration",
    help="File of what the sensor remembers.",
)

ban_action_option = option(
    "--ban-action",
    default="",
    show_default="fail2ban's own, if this host can carry it out; else nftables or iptables",
    help="The banaction of the jails.",
)


def networks(name: str, texts: Iterable[str]) -> Networks:
    """The networks that an option was given, each value one or several.

    Raises:
        UsageError: one of them is none.
    """
    try:
        return tuple(ip_network(text) for group in texts for text in group.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"{name}: {error}; give an address or a network such as 192.0.2.0/24.") from error


def seconds(name: str, text: str) -> int:
    """The length of time that an option was given.

    Raises:
        UsageError: it is none.
    """
    found = _DURATION.fullmatch(text)
    if not found or not int(found[1]):
        raise UsageError(f"{name}: {text} is no duration; give a number with s, m, h, d or w, such as 1d.")
    return int(found[1]) * _UNITS[found[2]]
