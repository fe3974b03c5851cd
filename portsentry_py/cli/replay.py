"""`replay`: the same core over capture files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from portsentry_py.capture.toolchain import Tools, find_tools
from portsentry_py.cli.options import command, config_option, flag, networks, option
from portsentry_py.cli.render import print_whole, reading, stderr, summary_table
from portsentry_py.cli.say import say
from portsentry_py.config.allowlist import read
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Networks, Profile, Settings
from portsentry_py.errors import UsageError
from portsentry_py.output.geo import GeoTags
from portsentry_py.output.json_log import StreamSink, open_log
from portsentry_py.output.log_file import replacing
from portsentry_py.output.sink import Sink
from portsentry_py.sensor.cycles import look_rarely
from portsentry_py.sensor.replay import Replay


@command()
@click.argument("captures", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@option(
    "--home",
    multiple=True,
    show_default="the side of each conversation that did not begin it",
    help="Address or network that is ours; may be repeated.",
)
@option(
    "--allowlist",
    type=click.Path(path_type=Path),
    show_default="none",
    help="File of `portsentry-py allow` to apply; entries that ended count too, so that the lines stay the same.",
)
@option(
    "-o",
    "--output",
    default="-",
    help="File for the event lines; `-` is standard output. The new lines replace the file when all captures "
    "are read; if one cannot be read, the file stays as it was.",
)
@flag("--append", help="Add the lines to the file, one by one, instead of replacing it.")
@option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    show_default="`profile` of the configuration",
    help="Whose thresholds apply.",
)
@flag(
    "--would-ban", help="Instead of event lines, show who would be banned by each mode of the filter and each profile."
)
def replay(
    captures: tuple[Path, ...],
    config: Path | None,
    *,
    home: tuple[str, ...],
    allowlist: Path | None,
    output: str,
    profile: Profile | None,
    append: bool,
    would_ban: bool,
) -> None:
    """Read capture files (pcap, pcapng, gzip) as if they were live.

    Standard output or the file of -o gets the event lines alone; a summary goes to standard error.
    """
    look_rarely()
    settings = load(config)
    settings = replace(settings, profile=profile or settings.profile)
    ours = networks("--home", home)
    allowed = tuple(entry.network for entry in read(allowlist)) if allowlist else ()
    _refuse_to_replace_input(captures, output)
    tools = find_tools()
    if would_ban:
        if append or output != "-":
            raise UsageError("--would-ban writes no event lines; leave out --output and --append.")
        _compare(captures, settings, ours, tools, allowed)
        return
    tags = GeoTags(settings.geo.databases)
    with _lines_into(output, append=append) as sink, reading() as progress:
        player = Replay(settings, ours, tools, progress, allowed)
        for event in player.events(captures):
            sink.write(tags.tagged(event))
    for sentence in player.summary.damage:
        say(sentence, err=True)
    stderr.print(summary_table(player.summary))


def _compare(captures: tuple[Path, ...], settings: Settings, ours: Networks, tools: Tools, allowed: Networks) -> None:
    # A plain replay needs neither.
    from portsentry_py.report.summary_tables import would_ban_tables  # noqa: PLC0415 - said above
    from portsentry_py.sensor.comparison import Comparison  # noqa: PLC0415 - same

    with reading() as progress:
        comparison = Comparison(settings, ours, tools, progress, allowed)
        found = comparison.run(captures)
    for sentence in comparison.damage:
        say(sentence, err=True)
    for part in would_ban_tables(found):
        print_whole(part)


def _refuse_to_replace_input(captures: tuple[Path, ...], output: str) -> None:
    for capture in captures:
        with suppress(OSError, ValueError):  # one of them does not exist, which is for others to report
            if capture.samefile(output):
                raise UsageError(f"--output: {output} is a capture to read; name another file.")


@contextmanager
def _lines_into(output: str, *, append: bool) -> Iterator[Sink]:
    if append or output == "-":
        with closing(open_log(output)) as sink:
            yield sink
    else:
        with replacing(Path(output)) as descriptor:
            yield StreamSink(descriptor, output)
