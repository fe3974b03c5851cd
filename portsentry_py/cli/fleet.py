"""`fleet`: bans that the hosts of one operator share."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from ipaddress import ip_network
from pathlib import Path, PurePosixPath

import click

from portsentry_py.cli.options import command, config_option, flag, networks, option, socket_option
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Network, Settings
from portsentry_py.config.values import OFF_WORD
from portsentry_py.errors import ConfigError, Fail2banError, PermissionDenied
from portsentry_py.events.model import Event, Reason, utc
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.pack import FLEET_JAIL
from portsentry_py.fleet import operator_folder
from portsentry_py.fleet.agent import Agent, Host
from portsentry_py.fleet.credentials import read as read_credentials
from portsentry_py.fleet.credentials import refuse_plain_text
from portsentry_py.fleet.formats import FORMATS, Format, listed
from portsentry_py.fleet.protection import Protection
from portsentry_py.fleet.publish import publish_roster
from portsentry_py.fleet.snapshot import Peer, Snapshot, Source, Swept
from portsentry_py.fleet.snapshot import read as read_snapshot
from portsentry_py.fleet.withdrawn import withdrawn
from portsentry_py.host.host_state import host_state
from portsentry_py.output.async_writer import AsyncWriter
from portsentry_py.output.diagnostics import AsyncLogHandler, standard_error
from portsentry_py.output.json_log import FileSink
from portsentry_py.output.log_file import replacing
from portsentry_py.output.registry import require_prometheus
from portsentry_py.report.follow import LogFollower
from portsentry_py.report.log_reader import log_path
from portsentry_py.sensor.allowlist import Allowlist
from portsentry_py.sensor.systemd import SystemdNotifier

_PAUSE_SECONDS = 0.5

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
    name = "BROKER=NAME " if len(made.servers) > 1 else ""  # a name for each
    say(f"the broker of {', '.join(made.servers)}: {name}nats-server -c {made.config}")
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


@command()
@_folder
@option("--replicas", type=click.IntRange(1, 5), default=1, help="Brokers that keep a message: 1, or 3 in a cluster.")
def publish(folder: Path, replicas: int) -> None:
    """Send the hosts and the allowlist of FOLDER to the broker, which keeps them for all hosts.

    The first time, this makes the stream that keeps them.
    """
    credentials = operator_folder.operator_credentials(folder)
    roster = operator_folder.signed_roster(folder, time.time_ns() // 1000)
    for sentence in asyncio.run(publish_roster(credentials, roster, replicas)):
        say(f"note: {sentence}")
    say("published: the hosts take it at once")


@command()
@config_option
def run(config: Path | None) -> None:
    """Share the bans of this host with the others and write theirs to the log of the fleet, until SIGTERM or Ctrl-C."""
    settings = load(config)
    if settings.fleet.credentials == OFF_WORD:
        raise ConfigError("fleet.credentials is off; name there the file that `fleet add-host` made for this host.")
    credentials = read_credentials(Path(settings.fleet.credentials))
    if settings.fleet.hash_sources and not credentials.source_key:
        raise ConfigError("fleet.hash_sources: the credentials have no key for it; remove this host and add it again.")
    if settings.fleet.textfile != OFF_WORD:
        require_prometheus("fleet.textfile")
    refuse_plain_text(credentials.servers, permitted=settings.fleet.plain_text)
    log, allowlist = log_path(settings.log), Allowlist(settings.allowlist, _now_us)
    with ExitStack() as opened:
        sink = FileSink(Path(settings.fleet.log))
        diagnostics = opened.enter_context(closing(AsyncLogHandler(standard_error())))
        logging.basicConfig(level=logging.WARNING, handlers=[diagnostics])
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each end of a connection over TLS
        writer = opened.enter_context(closing(AsyncWriter[Event](sink, settings.fleet.log)))
        host = Host(log, lambda: _protection(settings, allowlist), writer.write, _now_us, lambda: writer.lost)
        asyncio.run(_serve(Agent(settings.fleet, credentials, host)))


async def _serve(agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    SystemdNotifier().ready()
    await agent.run()


def _now_us() -> int:
    return time.time_ns() // 1000


def _protection(settings: Settings, allowlist: Allowlist) -> Protection:
    """Whom this host never bans, as it is now."""
    host = host_state(settings.home)
    never: list[tuple[Network | str, Reason]] = [(address, "own_address") for address in host.own]
    never += host.protected.items()
    never += [(network, "ignore_list") for network in (*settings.ignore, *allowlist.networks())]
    never += [(network, "home_network") for network in settings.home]
    never += [(address, "friend") for address in (*host.peers, *host.contacts)]
    return Protection(never)


@command()
@config_option
@socket_option
def unban(config: Path | None, socket: Path | None) -> None:
    """Lift the bans of the jail [portsentry-fleet] that no host asks for any more, until Ctrl-C.

    It reads the log of the fleet and speaks with fail2ban, which answers root alone; it needs no network.
    """
    client, reported = Fail2banClient(socket), ""
    with closing(LogFollower(Path(load(config).fleet.log), 0)) as follower, suppress(KeyboardInterrupt):
        while True:
            for source in filter(None, map(withdrawn, follower.lines())):
                failure = _lift(client, source)
                if failure not in {"", reported}:
                    say(f"{source} stays banned until its time is over: {failure}", err=True)
                reported = failure
            time.sleep(_PAUSE_SECONDS)


def _lift(client: Fail2banClient, source: str) -> str:
    """Lift a ban; why it stays, empty if it is gone."""
    try:
        client.ask("set", FLEET_JAIL, "unbanip", source)
    except (Fail2banError, PermissionDenied) as error:
        return str(error)
    return ""


@command()
@config_option
def status(config: Path | None) -> None:
    """Show the hosts: when each was heard, its clock and lag, its quotas, and what was accepted and refused."""
    found = _snapshot(config)
    broker = found.broker or "no connection"
    say(f"{found.name}: {broker}, mode {found.mode}, as of {utc(found.written_us)}; {found.accepted} bans accepted")
    banned = sum(not one.is_doubtful for one in found.sweeps.values())
    say(f"sweeps: {banned} to ban, {len(found.sweeps) - banned} to watch; {found.counted} sources counted")
    for name, peer in sorted(found.peers.items()):
        say(f"{name}: {_heard(peer)}; refused: {_counts(peer.refused)}")
    for name, refused in sorted(found.refused.items()):
        say(f"{name}: refused: {_counts(refused)}")


def _heard(peer: Peer) -> str:
    if not peer.heard_us:
        return f"not heard; {peer.active} bans"
    times = f"heard {utc(peer.heard_us)}, clock {peer.offset_us / 1e6:+.1f} s, lag {peer.lag_us / 1e6:.1f} s"
    left_out = f"; {peer.left_out} contacts left out" if peer.left_out else ""
    return f"{times}; {peer.active} of {peer.most} bans, {peer.accepted} accepted, room for {peer.new} new{left_out}"


def _counts(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(refused.items())) or "nothing"


@command("list")
@config_option
@option(
    "--format",
    "form",
    envvar="PORTSENTRY_FORMAT",
    type=click.Choice(FORMATS),
    default="plain",
    help="Form of the list.",
)
@option(
    "--output",
    type=click.Path(path_type=Path),
    show_default="standard output",
    help="File to replace, at once or not at all, for a web server.",
)
def list_(config: Path | None, form: Format, output: Path | None) -> None:
    """List the sources that this host accepted: for pull lists (EDL, URL tables), nftables, MikroTik, Juniper."""
    text = listed(_snapshot(config).banned(_now_us()), form)
    if output is None:
        click.echo(text, nl=False)
        return
    with replacing(output) as descriptor, os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
        file.write(text)


@command()
@click.argument("address")
@config_option
def why(address: str, config: Path | None) -> None:
    """Explain who reports ADDRESS, with which evidence, and whether this host accepts it."""
    (network,) = networks("ADDRESS", [address])
    known = _snapshot(config)
    found = {
        name
        for name in {**known.sources, **known.sweeps}
        if (one := ip_network(name)).version == network.version and one.overlaps(network)
    }
    if not found:
        say(f"{address}: no host reports it")
    for name in sorted(found):
        if name in known.sources:
            _explain(name, known.sources[name])
        if name in known.sweeps:
            _explain_sweep(name, known.sweeps[name])


def _explain(name: str, source: Source) -> None:
    say(f"{name}: {f'banned until {utc(source.until_us)}' if source.until_us else 'not accepted'}")
    for report in source.reports:
        say(f"  {report.host}: {_proof(report.verified)} {report.evidence}, until {utc(report.until_us)}")


def _explain_sweep(name: str, sweep: Swept) -> None:
    verdict = "watched" if sweep.is_doubtful else "banned"
    say(f"{name}: fleet_sweep, {_proof(sweep.verified)}, {verdict} until {utc(sweep.until_us)}")
    say(f"  asked in vain, last for port {sweep.port}: {', '.join(sweep.hosts)}")


def _proof(is_verified: bool) -> str:
    return "verified" if is_verified else "unverified"


def _snapshot(config: Path | None) -> Snapshot:
    target = load(config).fleet.state
    if target == OFF_WORD:
        raise ConfigError("fleet.state is off; name a file there and start `fleet run` again.")
    return read_snapshot(Path(target))


def _say_next(folder: Path) -> None:
    say(f"then: nats-server --signal reload, and portsentry-py fleet publish {folder}")


@click.group(commands=[init_operator, add_host, remove_host, allow, publish, run, unban, status, list_, why])
def fleet() -> None:
    """Share bans between the hosts of one operator."""
