"""`replay`: the same core over capture files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import click
from rich.text import Text

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.cli.options import command, config_option, flag, option
from portsentry_py.cli.render import say, stderr, summary_table
from portsentry_py.config.allowlist import read
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Networks
from portsentry_py.errors import UsageError
from portsentry_py.output.json_log import StreamSink, open_log
from portsentry_py.output.log_file import replacing
from portsentry_py.output.sink import Sink
from portsentry_py.sensor.replay import Replay
from portsentry_py.text import printable


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
def replay(
    captures: tuple[Path, ...],
    config: Path | None,
    home: tuple[str, ...],
    allowlist: Path | None,
    output: str,
    *,
    append: bool,
) -> None:
    """Read capture files (pcap, pcapng, gzip) as if they were live.

    Standard output or the file of -o gets the event lines alone; a summary goes to standard error.
    """
    settings = load(config)
    networks = _networks(home)
    allowed = tuple(entry.network for entry in read(allowlist)) if allowlist else ()
    _refuse_to_replace_input(captures, output)
    tools = find_tools()
    with _lines_into(output, append=append) as sink, stderr.status("reading") as status:

        def progress(path: Path, packets: int) -> None:
            status.update(Text(f"{printable(path.name)}: {packets} packets"))

        player = Replay(settings, networks, tools, progress, allowed)
        for event in player.events(captures):
            sink.write(event)
    for sentence in player.summary.damage:
        say(sentence, err=True)
    stderr.print(summary_table(player.summary))


def _networks(texts: tuple[str, ...]) -> Networks:
    try:
        return tuple(ip_network(text) for group in texts for text in group.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"--home: {error}; give an address or a network such as 192.0.2.0/24.") from error


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
