"""The command line: the group of commands, and how each error becomes one sentence and an exit code."""

import atexit
import gc
import sys
from importlib import import_module
from typing import NoReturn

import click

from portsentry_py import __version__
from portsentry_py.errors import OutputError, PortsentryError, ReaderGone, UsageError
from portsentry_py.text import printable_lines

# In the order in which a new user needs them, each with its module and its summary: `--help` imports none of them.
COMMANDS = {
    "run": ("run", "Watch live traffic and log events until SIGTERM or Ctrl-C."),
    "replay": ("replay", "Read capture files (pcap, pcapng, gzip) as if they were live."),
    "check": ("check", "Check tools, rights, interfaces, log and jail; print fixes."),
    "drill": ("drill", "Scan this host as a stranger; look at line, ban and unban."),
    "status": ("status", "Show the sensor, its log, the bans and the latest sources."),
    "report": ("report", "Summarize logs: plain, gzip, rotated, or all of a directory."),
    "allow": ("allow", "Never ban an address or network, and lift its bans."),
    "deny": ("allow", "Take an address or network off the allowlist; this bans nobody."),
    "list": ("allow", "List the allowlist with ends and reasons."),
    "install": ("install", "Install the service, the jails, and prove both."),
    "uninstall": ("uninstall", "Remove the service, its user and the jails."),
    "tail": ("tail", "Follow the log in readable lines, until Ctrl-C."),
    "explain": ("explain", "Explain the verdict on a source, and what would change it."),
    "sources": ("sources", "List the sources that the log and the state know."),
    "scan": ("scan", "Scan your own hosts, with the states of nmap."),
    "fail2ban": ("fail2ban", "Install, remove or test the fail2ban filter and jails."),
    "fleet": ("fleet", "Share bans between the hosts of one operator."),
    "import": ("import_", "Turn the files of portsentry, psad or CrowdSec into ours."),
    "schema": ("schema", "Print the JSON Schema of the log's lines."),
}
_INTERRUPTED = 130


class _Commands(click.Group):
    """Imports a command when it is used: `schema` does not wait for the capture's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - same
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"portsentry_py.cli.{COMMANDS[cmd_name][0]}")
        return next(one for one in vars(module).values() if isinstance(one, click.Command) and one.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - same
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="portsentry-py")
def cli() -> None:
    """Port-scan sensor: watches traffic through tshark and writes JSON lines for fail2ban.

    Each option that takes a value is also an environment variable: PORTSENTRY_ and its long name.

    \b
    Exit codes:
      0    done
      1    check: a warning; drill: a step could not be tried
      2    check: something is broken; drill: a step failed
      64   wrong usage
      65   unreadable input
      69   unavailable: tshark, an interface, fail2ban
      70   a bug in portsentry-py
      73   cannot write
      77   no permission
      78   wrong configuration
      130  interrupted
    """  # noqa: D301 - \b is click's mark for kept line breaks


def main() -> None:
    """Run the command; every error is one sentence and an exit code, never a traceback."""
    # What a log or a fleet tells lives as long as the command that reads it, and forms no cycles to look for.
    gc.set_threshold(100_000, 20, 100)
    # The last walk, when Python ends, frees what the system takes back anyway.
    atexit.register(gc.freeze)
    try:
        cli.main(standalone_mode=False)
    except ReaderGone:
        sys.exit(ReaderGone.exit_code)
    except PortsentryError as error:
        _fail(str(error), error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("interrupted.", _INTERRUPTED)
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}; see portsentry-py --help.", UsageError.exit_code)
    except OSError as error:
        _fail(f"cannot write: {error.strerror}; make room and try again.", OutputError.exit_code)
    except Exception:  # noqa: BLE001 - a bug, which needs its traceback
        import traceback  # noqa: PLC0415 - a sixth of the start of --help

        _fail(f"{traceback.format_exc()}this is a bug; please report it.", PortsentryError.exit_code)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(printable_lines(sentence), err=True)
    sys.exit(code)
