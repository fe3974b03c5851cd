"""Checks the configuration and the tables that it names, as the user who will read them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from portsentry_py.checks.result import Result, broken, warning
from portsentry_py.config import loader
from portsentry_py.config.allowlist import read
from portsentry_py.config.known_scanners import known_scanners
from portsentry_py.config.settings import Settings
from portsentry_py.config.values import OFF_WORD
from portsentry_py.config.wide_networks import wide_networks
from portsentry_py.errors import PortsentryError
from portsentry_py.host.service import acting_as

_Found = TypeVar("_Found")


class Configuration:
    """The configuration as it is now.

    Attributes:
        settings: what it says; None if nobody can read it.
        results: the findings.

    Args:
        path: the file; None for the default place, where the service reads it.
        user: the user of the service, as whom root reads the default place; None without a service.
    """

    def __init__(self, path: Path | None, user: str | None) -> None:
        self.results: list[Result] = []
        with acting_as(None if path else user) as is_other:
            self._as_user = f" (as {user}, the user of the service)" if is_other else ""
            self.settings = self._read("configuration", lambda: loader.load(path))
            if self.settings is not None:
                self._tables(self.settings, path)
        if self.settings is None and is_other:
            self.settings = _root_can(path)

    def _tables(self, settings: Settings, path: Path | None) -> None:
        used = path or (loader.DEFAULT_PATH if loader.DEFAULT_PATH.exists() else "no file, the defaults")
        self.results.append(Result("configuration", str(used)))
        known = self._read("known scanners", lambda: known_scanners(settings))
        if known is not None:
            self.results.append(Result("known scanners", f"{len(known)} networks ({settings.known_scanners_table})"))
        if settings.allowlist == OFF_WORD:
            return
        entries = self._read("allowlist", lambda: read(Path(settings.allowlist)))
        if entries is not None:
            self.results.append(Result("allowlist", f"{len(entries)} entries ({settings.allowlist})"))

    def _read(self, name: str, reads: Callable[[], _Found]) -> _Found | None:
        try:
            return reads()
        except PortsentryError as error:
            self.results.append(broken(name, f"{error}{self._as_user}"))
        return None

    def advice(self) -> Iterator[Result]:
        """What is allowed and hardly meant."""
        if self.settings is not None:
            for sentence in wide_networks(self.settings):
                yield warning("configuration", sentence)


def _root_can(path: Path | None) -> Settings | None:
    """For the checks that follow."""
    try:
        return loader.load(path)
    except PortsentryError:
        return None
