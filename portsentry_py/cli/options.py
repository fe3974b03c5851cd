"""What the options of all commands share.

An option with a value is also an environment variable: PORTSENTRY_ and its long name. A flag is none.
"""

from functools import partial
from pathlib import Path

import click

from portsentry_py.config.loader import DEFAULT_PATH

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

ban_action_option = option(
    "--ban-action",
    default="",
    show_default="fail2ban's own, if this host can carry it out; else nftables or iptables",
    help="The banaction of the jails.",
)
