"""`scan`: one's own hosts, from the outside."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.progress import Progress
from rich.table import Table

from portsentry_py.checks.scan.model import METHODS, Family, HostResult, Method, Options
from portsentry_py.checks.scan.ports import DEFAULT_PORTS, port_list
from portsentry_py.checks.scan.report import crowds, document, rows
from portsentry_py.checks.scan.scan import Scan
from portsentry_py.checks.scan.targets import find_targets
from portsentry_py.cli.options import command, flag, option
from portsentry_py.cli.render import print_whole, stderr
from portsentry_py.cli.say import say


@command()
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
@option("-p", "--ports", default=DEFAULT_PORTS, help="Ports and ranges such as `22,80,8000-8010`; `-` stands for all.")
@option("--method", type=click.Choice(METHODS), default="connect", help="How to probe; all but connect need root.")
@flag("-4", "ipv4", help="Use the IPv4 address of a name.")
@flag("-6", "ipv6", help="Use the IPv6 address of a name.")
@option("--rate", type=click.FloatRange(0.1, 1_000_000), default=10_000.0, help="Most probes per second.")
@option(
    "--retries",
    type=click.IntRange(0, 9),
    default=2,
    help="How often a silent port is probed again; 9 times once a loss is noticed.",
)
@flag("--i-own-this", "owned", help="The hosts are yours: allow public addresses.")
@flag("--json", "as_json", help="Print JSON for programs.")
def scan(
    hosts: tuple[str, ...],
    ports: str,
    method: Method,
    *,
    ipv4: bool,
    ipv6: bool,
    rate: float,
    retries: int,
    owned: bool,
    as_json: bool,
) -> None:
    """Scan your own hosts, with the states of nmap.

    HOST is an address, a name, or a network of at most 256 addresses. Every method but connect needs root and the
    extra `scan` (scapy).
    """
    family: Family | None = 4 if ipv4 and not ipv6 else 6 if ipv6 and not ipv4 else None
    options = Options(family, rate, retries, owned)
    numbers = port_list(ports)
    prepared = Scan(method, find_targets(hosts, options), numbers, options)
    say(prepared.announcement(), err=True)
    begun = time.monotonic()
    try:
        with _progress(len(prepared.targets) * len(numbers)) as progress:
            prepared.run(progress)
    finally:  # after Ctrl-C too: what is known so far
        _show(prepared, time.monotonic() - begun, as_json=as_json)


@contextmanager
def _progress(ports: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal."""
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("ports", total=ports)
        yield lambda decided: bar.update(task, completed=decided)


def _show(done: Scan, seconds: float, *, as_json: bool) -> None:
    if not done.sent:
        return
    if as_json:
        click.echo(json.dumps(document(done, seconds)))
        return
    for found in done.results:
        _show_host(found, done)
    say(f"{done.sent:,} probes in {seconds:.1f} s{'' if done.complete else '; not every port has its state'}", err=True)


def _show_host(found: HostResult, done: Scan) -> None:
    table = Table("port", "state", "service", title=found.target.address)
    for row in rows(found, done):
        table.add_row(*row)
    if table.row_count:
        print_whole(table)
    for state, count in crowds(found):
        say(f"{found.target.address}: {count:,} ports {state}")
