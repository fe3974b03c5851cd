"""`replay`: the same core over capture files."""

from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import click
from rich.text import Text

from portsentry_py.capture.toolchain import find_tools
from portsentry_py.cli.options import command, config_option, option
from portsentry_py.cli.render import errors, say, summary_table
from portsentry_py.config.loader import load
from portsentry_py.config.settings import Networks
from portsentry_py.errors import UsageError
from portsentry_py.output.json_log import open_log
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
    "-o",
    "--output",
    default="-",
    help="File for the event lines; `-` is standard output.",
)
def replay(captures: tuple[Path, ...], config: Path | None, home: tuple[str, ...], output: str) -> None:
    """Read capture files (pcap, pcapng, gzip) as if they were live.

    Standard output or the file of -o gets the event lines alone; a summary goes to standard error.
    """
    settings = load(config)
    networks = _networks(home)
    tools = find_tools()
    with closing(open_log(output)) as sink, errors.status("reading") as status:

        def progress(path: Path, packets: int) -> None:
            status.update(Text(f"{printable(path.name)}: {packets} packets"))

        player = Replay(settings, networks, tools, progress)
        for event in player.events(captures):
            sink.write(event)
    for sentence in player.summary.damage:
        say(sentence, err=True)
    errors.print(summary_table(player.summary))


def _networks(texts: tuple[str, ...]) -> Networks:
    try:
        return tuple(ip_network(text) for group in texts for text in group.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"--home: {error}; give an address or a network such as 192.0.2.0/24.") from error
