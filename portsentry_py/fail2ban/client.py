"""The one way to run fail2ban's programs, and the one wording of each failure."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.errors import Fail2banError, PermissionDenied, PortsentryError
from portsentry_py.fail2ban.programs import ran

_TIMEOUT_SECONDS = 60
_LONGEST_QUOTE = 200
# fail2ban puts date, process and level before each line on its standard error.
_LOG_HEAD = re.compile(r"^[\d-]+ [\d:,]+ +\S+ +\[\d+\]: +[A-Z]+ +")
_NO_JAIL = re.compile(r"the jail '([\w.-]{1,64})' does not exist")


class NotInstalled(Fail2banError):
    """A program is missing; fail2ban's, if no other package is named."""

    def __init__(self, program: str = "fail2ban", *, package: str = "fail2ban", root: Path = Path("/")) -> None:
        where = "" if root == Path("/") else f" below {root}"
        super().__init__(f"{program} is not installed{where}; run `apt-get install {package}`.")


class NotAnswering(Fail2banError):
    """The server does not run, or hangs."""


class CommandFailed(Fail2banError):
    """A program of fail2ban cannot be started, or reports an error."""


class JailNotLoaded(CommandFailed):
    """The server runs without this jail."""

    def __init__(self, jail: str) -> None:
        super().__init__(f"fail2ban has no jail {jail}; run `portsentry-py fail2ban install --reload`.")


@dataclass(frozen=True, slots=True)
class Fail2banClient:
    """A fail2ban server, asked through `fail2ban-client`.

    Attributes:
        socket: the server's socket; None for the one that the configuration names.
        etc: fail2ban's configuration; None for /etc/fail2ban.
    """

    socket: Path | None = None
    etc: Path | None = None

    def ask(self, *words: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
        """What the server answers to a command.

        Raises:
            Fail2banError, PermissionDenied: as `run`; JailNotLoaded if the server lacks the jail.
        """
        where = ["-s", str(self.socket)] if self.socket else []
        where += ["-c", str(self.etc)] if self.etc else []
        return run("fail2ban-client", *where, *words, timeout_seconds=timeout_seconds)


def server_version() -> str:
    """The version of the installed fail2ban, such as `1.0.2`; empty if it names none.

    Raises:
        Fail2banError, PermissionDenied: as `run`.
    """
    found = re.search(r"v(\d[\w.]*)", run("fail2ban-server", "--version"))
    return found[1] if found else ""


def run(program: str, *words: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
    """The standard output of one of fail2ban's programs.

    Raises:
        NotInstalled: there is no such program.
        NotAnswering: it has not ended in time, or the server does not run.
        CommandFailed: it cannot be started, or reports an error.
        PermissionDenied: it answers only root.
    """
    path = shutil.which(program)
    if path is None:
        raise NotInstalled(program)
    try:
        done = ran([path, *words], timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise NotAnswering(
            f"{program} did not end within {timeout_seconds:.0f} s; look into /var/log/fail2ban.log."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandFailed(f"{path} cannot be started ({reason}); reinstall fail2ban.") from error
    if done.returncode:
        raise _failure(program, done.stdout + done.stderr)
    return done.stdout


def _failure(program: str, said: str) -> PortsentryError:
    if "ermission denied" in said:
        return PermissionDenied("fail2ban answers only root; run this as root.")
    if missing := _NO_JAIL.search(said):
        return JailNotLoaded(missing[1])
    last = (said.strip().splitlines() or ["no message"])[-1]
    quote = _LOG_HEAD.sub("", last)[:_LONGEST_QUOTE]
    if "Failed to access socket" in said or "Unable to contact server" in said:
        perhaps = ", or run this as root" if os.geteuid() else ""
        return NotAnswering(f"fail2ban does not answer ({quote}); run `systemctl start fail2ban`{perhaps}.")
    return CommandFailed(f"{program} failed ({quote}); look into /var/log/fail2ban.log.")
