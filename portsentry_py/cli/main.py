"""The command line: the only place that prints and exits. Each option is an environment variable as well."""

import gc
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from portsentry_py import __version__
from portsentry_py.capture.supervisor import CaptureSupervisor
from portsentry_py.capture.toolchain import find_tools
from portsentry_py.checks.check import Host
from portsentry_py.checks.check import check as check_all
from portsentry_py.config import loader as config
from portsentry_py.config.settings import DEFAULT_LOG, Networks, Settings
from portsentry_py.errors import (
    Fail2banError,
    OutputError,
    PermissionDenied,
    PortsentryError,
    ReaderGone,
    UsageError,
)
from portsentry_py.fail2ban import installer
from portsentry_py.fail2ban.ban_test import ban_and_unban
from portsentry_py.fail2ban.client import Fail2banClient, JailNotLoaded, NotAnswering, NotInstalled
from portsentry_py.fail2ban.conflicts import conflicts
from portsentry_py.fail2ban.filter_test import run_all_modes
from portsentry_py.fail2ban.pack import ETC, pack_files
from portsentry_py.output.diagnostics import AsyncLogHandler, standard_error
from portsentry_py.output.json_log import open_log
from portsentry_py.output.registry import open_outputs
from portsentry_py.privsep.client import LauncherClient
from portsentry_py.report.overview import look
from portsentry_py.report.terminal import render
from portsentry_py.sensor.daemon import Daemon
from portsentry_py.sensor.replay import Replay, Summary
from portsentry_py.sensor.systemd import SystemdNotifier
from portsentry_py.text import printable, printable_lines

F = TypeVar("F", bound=Callable[..., object])

# Neither markup nor emoji: `:a:` is one in rich's eyes, and stands in the middle of many an IPv6 address.
_errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
# Tables are never so narrow that addresses are cut: a small terminal wraps their lines instead.
_output = Console(
    highlight=False,
    soft_wrap=True,
    width=max(shutil.get_terminal_size().columns, 140),
    markup=False,
    emoji=False,
)


def _config_option(command: F) -> F:
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        envvar="PORTSENTRY_CONFIG",
        show_envvar=True,
        help=f"Configuration file. Default: {config.DEFAULT_PATH}, if it is there.",
    )(command)


def _root_option(command: F) -> F:
    return click.option(
        "--root",
        type=click.Path(path_type=Path),
        default=Path("/"),
        envvar="PORTSENTRY_ROOT",
        show_envvar=True,
        help="Top of the tree that holds etc/fail2ban. Default: /",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="portsentry-py")
def cli() -> None:
    """Port-scan sensor: watches traffic through tshark and writes JSON lines for fail2ban.

    \b
    Exit codes: 0 done, 64 usage, 65 unreadable input, 69 capture unavailable,
    73 cannot write, 77 no permission, 78 bad configuration.
    """  # noqa: D301 - \b is click's mark for kept line breaks


@cli.command()
@_config_option
@click.option(
    "-i",
    "--iface",
    "interfaces",
    multiple=True,
    envvar="PORTSENTRY_IFACE",
    show_envvar=True,
    help="Interface to watch, may be repeated; `any` for all. Default: every one that is up, less loopback.",
)
@click.option(
    "--log",
    envvar="PORTSENTRY_LOG",
    show_envvar=True,
    help=f"Event log, `-` for standard output. Default: the configuration's, {DEFAULT_LOG}.",
)
def run(config_path: Path | None, interfaces: tuple[str, ...], log: str | None) -> None:
    """Watch live traffic and log events until SIGTERM or Ctrl-C. SIGHUP reads the configuration again."""

    def settings() -> Settings:
        loaded = config.load(config_path)
        return replace(loaded, interfaces=interfaces or loaded.interfaces, log=log or loaded.log)

    now = settings()
    tools = find_tools()
    target = "standard output" if now.log == "-" else now.log

    def announce(names: list[str]) -> None:
        watched = ", ".join(names)
        _say(
            _errors,
            f"portsentry-py {__version__} watches {watched} with tshark {tools.version}; log: {target}",
        )

    with ExitStack() as opened:
        launcher = opened.enter_context(closing(LauncherClient(tools.dumpcap)))
        launcher.drop_privileges()  # before any thread starts
        diagnostics = opened.enter_context(closing(AsyncLogHandler(standard_error())))
        logging.basicConfig(level=logging.INFO, handlers=[diagnostics])
        outputs = opened.enter_context(closing(open_outputs(now)))
        captures = CaptureSupervisor(tools, launcher, now.capture)
        Daemon(now, captures, outputs, manager=SystemdNotifier(), announce=announce, reload=settings).run()


@cli.command()
@click.argument("captures", nargs=-1, required=True, type=click.Path(path_type=Path))
@_config_option
@click.option(
    "--home",
    multiple=True,
    envvar="PORTSENTRY_HOME",
    show_envvar=True,
    help="Address or network that is ours, may be repeated. Default: whoever did not speak first.",
)
@click.option(
    "-o",
    "--output",
    default="-",
    envvar="PORTSENTRY_OUTPUT",
    show_envvar=True,
    help="File for the event lines, `-` (the default) for standard output.",
)
def replay(captures: tuple[Path, ...], config_path: Path | None, home: tuple[str, ...], output: str) -> None:
    """Put capture files (pcap, pcapng, gzip) through the same engine. Only event lines go to the output."""
    settings = config.load(config_path)
    networks = _networks(home)
    tools = find_tools()
    sink = open_log(output)
    try:
        with _errors.status("reading") as status:

            def progress(path: Path, packets: int) -> None:
                status.update(Text(f"{printable(path.name)}: {packets} packets"))

            player = Replay(settings, networks, tools, progress)
            for event in player.events(captures):
                sink.write(event)
    finally:
        sink.close()
    for sentence in player.summary.damage:
        _say(_errors, sentence)
    _errors.print(_summary_table(player.summary))


@cli.command()
@_config_option
@click.option(
    "--live",
    is_flag=True,
    envvar="PORTSENTRY_LIVE",
    show_envvar=True,
    help="Send a marked packet, and wait until a capture and the running sensor have heard it.",
)
def check(config_path: Path | None, live: bool) -> None:
    """Look at configuration, tools, permissions, interface, log and jail: what is wrong, and the fix."""
    settings = config.load(config_path)
    used = config_path or (config.DEFAULT_PATH if config.DEFAULT_PATH.exists() else "no file, the defaults")
    _say(_output, f"ok    configuration: {used}")
    failed: PortsentryError | None = None
    for result in check_all(settings, Host(), live=live):
        mark = "wrong" if result.error else "note " if result.warning else "ok   "
        _say(_output, f"{mark} {result.name}: {result.text}")
        failed = failed or result.error
    if failed is not None:
        sys.exit(failed.exit_code)


@cli.command()
@_config_option
@click.option(
    "--log",
    envvar="PORTSENTRY_LOG",
    show_envvar=True,
    help="Event log to read. Default: the configuration's.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="PORTSENTRY_SOCKET",
    show_envvar=True,
    help="fail2ban's socket. Default: that of fail2ban's own configuration.",
)
@click.option(
    "--json", "as_json", is_flag=True, envvar="PORTSENTRY_JSON", show_envvar=True, help="Print JSON."
)
def status(config_path: Path | None, log: str | None, socket: Path | None, as_json: bool) -> None:
    """Show the sensor, its log, the jails with each ban's reason and time left, and the latest sources."""
    found = look(log or config.load(config_path).log, Fail2banClient(socket))
    if as_json:
        click.echo(found.to_json())
        return
    for part in render(found):
        _output.print(part)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the log's lines."""
    text = (resources.files("portsentry_py.events") / "event.schema.json").read_text(encoding="utf-8")
    click.echo(text, nl=False)


@cli.group()
def fail2ban() -> None:
    """The fail2ban filter and jails."""


@fail2ban.command()
@_root_option
def install(root: Path) -> None:
    """Copy filter and jails to /etc/fail2ban; a file that you changed is kept and the difference shown."""
    _show(installer.install(root))
    for sentence in conflicts(root, os.environ.get("SSH_CONNECTION", "")):
        _say(_output, f"note: {sentence}")
    _output.print("arm it with: fail2ban-client reload")


@fail2ban.command()
@_root_option
def uninstall(root: Path) -> None:
    """Remove filter and jails, less what you changed."""
    _show(installer.uninstall(root))
    _output.print("take effect with: fail2ban-client reload")


@fail2ban.command()
@_root_option
def test(root: Path) -> None:
    """Feed sample lines to the real fail2ban-regex and say what matched; ban and unban an address for a test.

    The address is one reserved for documentation (192.0.2.1); the rule is looked for in the kernel.
    """
    for file in pack_files():
        installed = root / ETC / file.target
        if installed.exists() and installed.read_bytes() != file.content:
            _say(_output, f"note: {installed} differs from the shipped file that is tested.")
    report = run_all_modes()
    table = Table("mode", "lines matched", "lines not matched", "verdict")
    for result in report.results:
        verdict = "as it must be" if result.ok else f"missed: {result.missed}; wrong: {result.wrong}"
        table.add_row(result.mode, str(len(result.matched)), str(len(result.unmatched)), verdict)
    _output.print(table)
    if not report.ok:
        raise Fail2banError("the filter does not match what it must; reinstall portsentry-py and fail2ban.")
    try:
        proof = ban_and_unban(Fail2banClient())
    except (NotInstalled, NotAnswering, JailNotLoaded, PermissionDenied) as error:
        _say(_output, f"no ban was tried: {error}")
    else:
        _output.print(f"banned {proof.address}, found it in {', '.join(proof.rules)}, and unbanned it: gone")


def main() -> None:
    """Run the command; every error is one sentence and an exit code, never a traceback."""
    # The tables hold many small objects that live long: walking them all at every turn would cost a third of
    # the time, and they form no cycles.
    gc.set_threshold(100_000, 20, 100)
    try:
        cli.main(standalone_mode=False)
    except ReaderGone:
        sys.exit(ReaderGone.exit_code)
    except PortsentryError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.Abort:
        _fail("interrupted.", 130)
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}; see portsentry-py --help.", UsageError.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted.", 130)
    except OSError as error:
        _fail(f"cannot write: {error.strerror}; make room and try again.", OutputError.exit_code)


def _fail(sentence: str, code: int) -> None:
    _say(_errors, sentence)
    sys.exit(code)


def _say(console: Console, text: str) -> None:
    """Print lines of text in which names and words of others may stand."""
    console.print(printable_lines(text))


def _networks(texts: tuple[str, ...]) -> Networks:
    try:
        return tuple(ip_network(text) for group in texts for text in group.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"--home: {error}; give an address or a network such as 192.0.2.0/24.") from error


def _show(outcomes: list[installer.Outcome]) -> None:
    for outcome in outcomes:
        note = f" ({outcome.note})" if outcome.note else ""
        _say(_output, f"{outcome.action}: {outcome.path}{note}")
        if outcome.diff:
            _say(_output, outcome.diff)


def _summary_table(summary: Summary) -> Table:
    counted = ", ".join(f"{count} {name}" for name, count in sorted(summary.events.items()))
    table = Table(
        "source",
        "last verdict",
        "type",
        "technique",
        "ports",
        "reason",
        title=f"{summary.packets} packets: {counted}",
    )
    for source, event in summary.sources.items():
        table.add_row(source, event.verdict, event.scan_type, event.technique, str(event.ports), event.reason)
    if summary.unshown:
        table.caption = f"{summary.unshown} more lines, about other sources"
    return table
