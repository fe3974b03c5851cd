"""fail2ban's jail settings on a system, read in the order of fail2ban, with references replaced."""

import configparser
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from portsentry_py.fail2ban.pack import FILTER

_TRUE = {"1", "true", "yes", "on"}
_MAX_DEPTH = 5
_REFERENCE = re.compile(r"%\((?:([\w-]+)/)?(\w+)\)s")


class JailConfig:
    """The merged settings of all jail files; a file that cannot be read counts as empty.

    Args:
        etc: fail2ban's folder.
        without: paths below it that are left out.
    """

    def __init__(self, etc: Path, without: Collection[str] = ()) -> None:
        self._settings = configparser.RawConfigParser(strict=False, allow_no_value=True)
        for kind in ("conf", "local"):
            for path in (etc / f"jail.{kind}", *sorted(etc.glob(f"jail.d/*.{kind}"))):
                if str(path.relative_to(etc)) in without:
                    continue
                with suppress(configparser.Error, OSError):
                    self._settings.read_string(path.read_text("utf-8", "replace"))

    def ours(self) -> Iterator[str]:
        """The enabled jails that use our filter."""
        for jail in self._settings.sections():
            enabled = self.value(jail, "enabled").strip().lower() in _TRUE
            if enabled and re.match(rf"{FILTER}(?![\w.-])", self.value(jail, "filter").strip()):
                yield jail

    def own(self, jail: str, key: str) -> str:
        """A setting as it is written, if the jail has one of its own; else empty."""
        text = self._own(jail, key)
        return "" if text == self._settings.defaults().get(key) else text

    def value(self, jail: str, key: str) -> str:
        """A setting of a jail, or of [DEFAULT] where the jail does not exist or has none; empty if unset."""
        text = self._own(jail, key)
        for _depth in range(_MAX_DEPTH):
            text = _REFERENCE.sub(lambda found: self._own(found[1] or jail, found[2]), text)
        return text

    def _own(self, jail: str, key: str) -> str:
        section = self._settings[jail] if jail in self._settings else self._settings.defaults()
        return section.get(key) or ""


def jail_files(etc: Path) -> list[Path]:
    """The operator's jail files and ours. jail.conf is fail2ban's own, and ours always overrides it."""
    files = [etc / "jail.local", *etc.glob("jail.d/*.conf"), *etc.glob("jail.d/*.local")]
    return sorted(path for path in files if path.is_file())
