"""`allow`, `deny`, `list`: the operator's allowlist. `allow` also lifts the bans that fail2ban holds."""

import time
from pathlib import Path

import click

from portsentry_py.cli.options import command, config_option, option, seconds, socket_option
from portsentry_py.cli.render import allowlist_table, stdout
from portsentry_py.cli.say import say
from portsentry_py.config.allowlist import Entry, add, overlap, read, remove
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Network
from portsentry_py.config.values import OFF_WORD, read_network
from portsentry_py.config.wide_networks import is_wide
from portsentry_py.errors import UsageError
from portsentry_py.fail2ban.client import Fail2banClient, NotInstalled
from portsentry_py.fail2ban.unban import JailEntry, unban

# Lines that were written before the sensor read the list can still ban: fail2ban reads them a moment later.
_SETTLE_SECONDS, _PAUSE_SECONDS = 3.0, 0.5

_file_option = option(
    "--allowlist",
    type=click.Path(path_type=Path),
    show_default="`allowlist` of the configuration",
    help="File of the allowlist.",
)


@command()
@click.argument("address")
@option(
    "--for",
    "duration",
    envvar="PORTSENTRY_FOR",
    show_default="no end",
    help="How long: a number with s, m, h, d or w, such as 1d.",
)
@option("--reason", default="", show_default="none", help="Why, for those who read the list.")
@config_option
@_file_option
@socket_option
def allow(
    address: str, *, duration: str | None, reason: str, config: Path | None, allowlist: Path | None, socket: Path | None
) -> None:
    """Never ban an address or network, and lift its bans.

    The running sensor takes the entry within a second, and it outlives restarts. The bans end in every jail of ours.
    """
    network, path, now_us = _network(address), _path(config, allowlist), _now_us()
    until_us = now_us + seconds("--for", duration) * 1_000_000 if duration else None
    entry = Entry(network, until_us, reason)
    add(path, entry, now_us)
    say(f"{entry.name} is never banned{f' until {entry.until}' if until_us else ''}: {path}")
    if is_wide(network):
        say(f"note: {entry.name} holds a great part of all addresses, and no scan from there is banned any more.")
    _lift(network, socket)


def _lift(network: Network, socket: Path | None) -> None:
    client, lifted = Fail2banClient(socket), set[JailEntry]()
    deadline = time.monotonic() + _SETTLE_SECONDS
    try:
        while True:
            bans = unban(client, network)
            for ban in sorted(set(bans.lifted) - lifted):
                say(f"unbanned {ban.address} in {ban.jail}")
            lifted |= set(bans.lifted)
            if not lifted or time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE_SECONDS)
    except NotInstalled as error:
        say(f"no ban was lifted: {error}")
        return
    for ban in bans.others:
        say(f"note: {ban.jail} bans {ban.address} too; run: fail2ban-client set {ban.jail} unbanip {ban.address}")


@command()
@click.argument("address")
@config_option
@_file_option
def deny(address: str, config: Path | None, allowlist: Path | None) -> None:
    """Take an address or network off the allowlist; this bans nobody.

    From then on the source is judged as any other. A ban comes only with evidence.
    """
    network, path, now_us = _network(address), _path(config, allowlist), _now_us()
    allowed = [entry for entry in read(path) if entry.holds(now_us)]
    name = Entry(network).name
    if network not in {entry.network for entry in allowed}:
        wider = [entry.name for entry in allowed if overlap(entry.network, network)]
        meant = f"deny one of these: {', '.join(wider)}" if wider else "see: portsentry-py list"
        raise UsageError(f"{name} has no entry of its own in {path}; {meant}.")
    remove(path, network, now_us)
    say(f"{name} is on the allowlist no longer: {path}")
    ignored = [str(other) for other in load(config).ignore if overlap(other, network)]
    if ignored:
        say(f"note: ignore in the configuration still holds {', '.join(ignored)}.")


@command("list")
@config_option
@_file_option
def list_(config: Path | None, allowlist: Path | None) -> None:
    """List the allowlist with ends and reasons."""
    path, now_us = _path(config, allowlist), _now_us()
    ignored = [Entry(network, reason="ignore in the configuration") for network in load(config).ignore]
    stdout.print(allowlist_table([*(entry for entry in read(path) if entry.holds(now_us)), *ignored]))


list = list_  # noqa: A001 - the command's name, by which the group finds it


def _network(text: str) -> Network:
    try:
        network = read_network(text)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return read_network(str(mapped)) if mapped and network.num_addresses == 1 else network


def _path(config: Path | None, allowlist: Path | None) -> Path:
    if allowlist is not None:
        return allowlist
    named = load(config).allowlist
    if named == OFF_WORD:
        raise UsageError("allowlist is off in the configuration; name a file there, or with --allowlist.")
    return Path(named)


def _now_us() -> int:
    return time.time_ns() // 1000
