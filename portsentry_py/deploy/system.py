"""The system that is changed, and the programs that change it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.errors import InstallError
from portsentry_py.fail2ban.programs import ran

UNIT = "portsentry-py.service"
_SECONDS = 180
_LONGEST_QUOTE = 300
_SYSTEMD = Path("/run/systemd/system")
# The unit of a Debian package, which brings all other files too.
_PACKAGED = ("usr/lib/systemd/system", "lib/systemd/system")


@dataclass(frozen=True, slots=True)
class System:
    """A tree, and whether systemd runs in it.

    Attributes:
        root: where the tree begins.
        running: whether services can be started and reloaded.
    """

    root: Path
    running: bool

    @property
    def here(self) -> bool:
        """Whether it is the system of this process."""
        return self.root == Path("/")

    @property
    def packaged(self) -> bool:
        """Whether a package of the distribution brought the service."""
        return any((self.root / folder / UNIT).exists() for folder in _PACKAGED)

    def must_be_ours(self) -> None:
        """Refuses to remove what a package brought.

        Raises:
            InstallError: a package of the distribution brought the service.
        """
        if self.packaged:
            raise InstallError("a package brought this service; run apt-get remove portsentry-py, or purge.")

    def systemctl(self, *words: str) -> str:
        """Changes or asks the files of the units, whether systemd runs or not."""
        return run("systemctl", f"--root={self.root}", *words)

    def enabled(self, unit: str = UNIT) -> bool:
        """Whether a service starts at boot."""
        return succeeds("systemctl", f"--root={self.root}", "--quiet", "is-enabled", unit)


def system(root: Path) -> System:
    """The system whose tree begins at `root`."""
    return System(root, root == Path("/") and _SYSTEMD.is_dir())


def run(program: str, *words: str | Path) -> str:
    """What a program prints that must succeed.

    Raises:
        InstallError: it is not installed, cannot be started, takes too long or fails.
    """
    try:
        done = _done(program, *words)
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{program} did not end within {_SECONDS} s; look into the journal.") from error
    except OSError as error:
        raise InstallError(f"{program} cannot be started ({error.strerror}); install it and try again.") from error
    if done.returncode:
        quote = " ".join((done.stderr or done.stdout).split())[:_LONGEST_QUOTE]
        raise InstallError(f"{program} {' '.join(map(str, words))} failed ({quote}); correct that and try again.")
    return done.stdout


def succeeds(program: str, *words: str) -> bool:
    """Whether a program ends with 0."""
    try:
        return _done(program, *words).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _done(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return ran([shutil.which(program, path=path) or program, *words], _SECONDS)
