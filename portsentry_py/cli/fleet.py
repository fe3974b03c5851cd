"""`fleet`: bans that the hosts of one operator share."""

from pathlib import Path, PurePosixPath

import click

from portsentry_py.cli.options import command, flag, networks, option
from portsentry_py.cli.say import say
from portsentry_py.fleet import operator_folder

_folder = click.argument("folder", type=click.Path(path_type=Path))


@command("init-operator")
@_folder
@option("--broker", multiple=True, required=True, help="Host name or address of the broker; may be repeated.")
@option(
    "--place",
    type=click.Path(path_type=PurePosixPath),
    show_default="FOLDER/broker",
    help="Where the folder `broker` will be on the broker.",
)
@flag("--no-tls", help="Do without TLS; the broker must be on this host.")
@flag("--plain-text", help="With --no-tls: even beyond this host.")
def init_operator(
    folder: Path, *, broker: tuple[str, ...], place: PurePosixPath | None, no_tls: bool, plain_text: bool
) -> None:
    """Make FOLDER for a new fleet: keys, certificates and the configuration of the broker.

    FOLDER holds secrets: keep it on the operator's own machine, and a copy of it.
    """
    made = operator_folder.create(folder, broker, place, tls=not no_tls, plain_text=plain_text)
    say(f"the broker of {', '.join(made.servers)}: nats-server -c {made.config}")
    say(f"add hosts: portsentry-py fleet add-host {folder} NAME --address ADDRESS")


@command("add-host")
@_folder
@click.argument("name")
@option("--address", required=True, help="Address of the host, by which the others see it.")
def add_host(folder: Path, name: str, address: str) -> None:
    """Add the host NAME to the fleet of FOLDER, and write its credentials file.

    The file is a secret of that host. Nobody in the fleet can ban the address.
    """
    path = operator_folder.add_host(folder, name, address)
    say(f"credentials of {name}: {path}")
    _say_next(folder)


@command("remove-host")
@_folder
@click.argument("name")
def remove_host(folder: Path, name: str) -> None:
    """Remove the host NAME from the fleet of FOLDER; its key opens nothing any more."""
    operator_folder.remove_host(folder, name)
    _say_next(folder)


@command()
@_folder
@click.argument("address")
def allow(folder: Path, address: str) -> None:
    """Add ADDRESS, or a network, to the allowlist of the fleet: no host can ban it for others."""
    for network in networks("ADDRESS", [address]):
        operator_folder.allow(folder, network)
    say(f"then: portsentry-py fleet publish {folder}")


def _say_next(folder: Path) -> None:
    say(f"then: nats-server --signal reload, and portsentry-py fleet publish {folder}")


@click.group(commands=[init_operator, add_host, remove_host, allow])
def fleet() -> None:
    """Share bans between the hosts of one operator."""
