"""`explain`: everything about one source on one screen."""

import json
import shutil
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path

import click

from portsentry_py.capture.packet_ring import ring_files, ring_folder
from portsentry_py.capture.source_packets import PacketReader, SourcePackets, display_filter
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.cli.options import command, config_option, flag, log_option, option, socket_option, state_option
from portsentry_py.cli.render import packets_table, print_whole, reading
from portsentry_py.cli.say import say
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Network, Settings
from portsentry_py.config.values import OFF_WORD
from portsentry_py.core.host_state import within
from portsentry_py.errors import InputError, PortsentryError
from portsentry_py.events.model import Reason
from portsentry_py.events.readable import readable
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.fail2ban.jails import read_jails
from portsentry_py.host.host_state import host_state
from portsentry_py.report.explain import Facts, as_object
from portsentry_py.report.explain import explain as sections_of
from portsentry_py.report.log_reader import log_path
from portsentry_py.report.source_lines import SourceLines, Subject, read_source, subject_of_query
from portsentry_py.sensor.allowlist import Allowlist
from portsentry_py.state.sources import KnownSource, Memory, read_memory

_SHOWN_LINES = 8
_HEADING_WIDTH = 11
_NARROWEST, _WIDEST = 60, 120
_MOST_PACKETS = 1_000
_ANSWERS_US = 1_000_000  # the answer to the last probe comes after it


@command()
@click.argument("source", metavar="ADDRESS|EVENT_ID")
@config_option
@log_option
@socket_option
@state_option
@option(
    "--capture",
    multiple=True,
    type=click.Path(path_type=Path),
    show_default="what the sensor keeps (`capture.keep_minutes`)",
    help="Capture file (pcap, pcapng, gzip) whose packets of the source are shown; may be repeated.",
)
@option("--packets", type=click.IntRange(1, _MOST_PACKETS), default=20, help="How many packets are shown at most.")
@flag("--json", "as_json", help="Print one JSON object.")
def explain(
    source: str,
    *,
    config: Path | None,
    log: str | None,
    socket: Path | None,
    state: Path | None,
    capture: tuple[Path, ...],
    packets: int,
    as_json: bool,
) -> None:
    """Explain the verdict on a source, and what would change it.

    The source is an address, a network, or the event_id of a line. The facts are those of the log, of the state file,
    of this host, of fail2ban and of a capture. Of a capture, an event_id shows the packets from the time of its scan.
    """
    settings = load(config)
    path = log_path(log or settings.log)
    subject = subject_of_query(path, source)
    network = subject.network
    now_us = time.time_ns() // 1000
    lines = read_source(path, network)
    known, visits, note = _remembered(state or settings.state, network)
    facts = Facts(
        network,
        settings,
        lines,
        read_jails(Fail2banClient(socket), now_us),
        known=known,
        visits=visits,
        state_note=note,
        protection=_protection(settings, str(network.network_address), now_us),
    )
    found = (
        _packets(subject, capture, packets)
        if capture
        else _kept_packets(subject, str(state or settings.state), packets)
    )
    if as_json:
        click.echo(json.dumps(as_object(facts, asdict(found) if found else None)))
        return
    say(facts.name)
    for heading, sentences in sections_of(facts):
        _show(heading, sentences)
    _show("lines", _readable(lines))
    if found is not None:
        _show_packets(found)


def _packets(subject: Subject, captures: tuple[Path, ...], most: int) -> SourcePackets:
    with reading() as progress:
        return _reader(subject, most, progress).read(captures)


def _kept_packets(subject: Subject, state: str, most: int) -> SourcePackets | None:
    """The packets in the files that the running sensor keeps; None if it keeps none."""
    folder = ring_folder(state)
    try:
        files = ring_files(folder) if folder else []
    except OSError as error:
        return SourcePackets(notes=[f"{folder}: the kept packets cannot be read ({error.strerror}); run as root."])
    if not files:
        return None
    with reading() as progress:
        reader = _reader(subject, most, progress)
        found = reader.read(())
        for file in files:
            with suppress(InputError):  # the sensor has removed it, or has only just begun it
                reader.read([file])
        found.notes = [note for note in found.notes if not note.startswith(f"{files[-1]}: ")]  # it grows
    return found


def _reader(subject: Subject, most: int, progress: Callable[[Path, int], None]) -> PacketReader:
    span = subject.span_us and (subject.span_us[0], subject.span_us[1] + _ANSWERS_US)
    return PacketReader(find_tools(), display_filter(subject.network, span), most, progress=progress)


def _show_packets(found: SourcePackets) -> None:
    if found.packets:
        print_whole(packets_table(found.packets))
    more = ["There are more packets; see them with `--packets`."] if found.more else []
    _show("packets", [*([] if found.packets else ["The capture has no packet of the source."]), *more, *found.notes])


def _show(heading: str, sentences: list[str]) -> None:
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST) - _HEADING_WIDTH
    for nth, line in enumerate(part for one in sentences for part in textwrap.wrap(one, width)):
        say(f"{heading if nth == 0 else '':<{_HEADING_WIDTH}}{line}")


def _readable(lines: SourceLines) -> list[str]:
    return [
        "".join(text for text, _ in readable(line, line.timestamp[:19] + "Z")) for line in lines.lines[:_SHOWN_LINES]
    ]


def _remembered(path: Path | str, network: Network) -> tuple[KnownSource | None, tuple[date, ...], str]:
    """The source in the state file, its days with sessions, and why the file says nothing."""
    if str(path) == OFF_WORD:
        return None, (), "The sensor keeps no state (`state: off`)."
    try:
        memory = read_memory(Path(path)) or Memory()
    except PortsentryError as error:
        return None, (), str(error)
    found = [one for one in memory.sources if within(one.address, (network,)) or one.source == str(network)]
    days = {day for address, some in memory.visits.items() if within(address, (network,)) for day in some}
    return (found[-1] if found else None), tuple(sorted(days)), ""


def _protection(settings: Settings, address: str, now_us: int) -> Reason | None:
    """Why this host must not ban the address now."""
    allowed = Allowlist(settings.allowlist, lambda: now_us).networks()
    if within(address, (*settings.ignore, *allowed)):
        return "ignore_list"
    with suppress(OSError):  # /proc changes while it is read
        host = host_state(settings.home)
        if address in host.own:
            return "own_address"
        if within(address, settings.home):
            return "home_network"
        return host.protected.get(address)
    return None
