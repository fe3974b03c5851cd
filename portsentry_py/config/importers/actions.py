"""The jail's actions that do what another program did to a scanner.

The jail file reads `%`, `<...>`, quotes, ` ;` and line ends in its own way: a command that has one of them is refused
here, because it would run as another one.
"""

import re

FIREWALL = "%(action_)s"
"""The ban in the firewall, by the jail's own ban action."""
MAIL = '%(mta)s-whois[name=%(__name__)s, sender="%(sender)s", dest="%(destemail)s"]'

_FIREWALLS = re.compile(r"\b(ip6?tables|nft|nftables|ufw|firewall-cmd|ipset|ipfw|ipf|pfctl|pf|ipchains)\b")
_ROUTE = re.compile(r"\broute\b")
# What a shell command may hold, besides the variables of the action, to mean the same in a jail file.
_COMMAND = re.compile(r'[\w \t./:=,@+\-&|>"$(){}*?~!\[\]]+', re.ASCII)
_DAEMONS = re.compile(r"[\w. ,*-]+", re.ASCII)
_ADDRESS = re.compile(r"[\w.+-]+(@[\w.-]+)?", re.ASCII)

PUT_IN_A_SCRIPT = (
    "a jail file cannot hold this command as it is; put it into a script and name that as the program of the action "
    "portsentry-py-command"
)


def kill_route(command: str) -> str | None:
    """The action for a command that blocks an address; None if it is of another kind."""
    if _FIREWALLS.search(command):
        return FIREWALL
    if _ROUTE.search(command):
        kind = "unreachable" if "reject" in command or "unreachable" in command else "blackhole"
        return f'route[blocktype="{kind}"]'
    return None


def hosts_deny(daemons: str = "ALL") -> str | None:
    """The action for an entry in /etc/hosts.deny; None if the names of the daemons are none."""
    if not _DAEMONS.fullmatch(daemons):
        return None
    return "portsentry-py-hostsdeny" if daemons == "ALL" else f'portsentry-py-hostsdeny[daemon_list="{daemons}"]'


def run_command(command: str) -> str | None:
    """The action for a shell command with our variables in it; None if a jail file cannot hold it."""
    return f"portsentry-py-command[command='{command}']" if _COMMAND.fullmatch(command) else None


def receivers(addresses: str) -> str | None:
    """The addresses of mail as fail2ban's `destemail`, None if one of them is none."""
    names = addresses.replace(",", " ").split()
    return ",".join(names) if names and all(map(_ADDRESS.fullmatch, names)) else None
