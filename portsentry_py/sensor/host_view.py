"""This host as the running sensor sees it, read again when it may have changed."""

from collections.abc import Collection
from dataclasses import replace

from portsentry_py.config.settings import Networks, Ports
from portsentry_py.core.host_state import HostState
from portsentry_py.errors import CaptureError
from portsentry_py.events.model import EvidenceEvent
from portsentry_py.host.choice import default_interfaces, heard_twice
from portsentry_py.host.host_state import host_state
from portsentry_py.host.interfaces import links_up, own_addresses
from portsentry_py.host.routes import home_elsewhere
from portsentry_py.host.senders import senders
from portsentry_py.sensor.allowlist import Allowlist


class HostView:
    """The host with its open TCP traps and its allowlist, as it was when it could last be read.

    Raises:
        CaptureError: it cannot be read at all.
    """

    def __init__(self, home: Networks, traps: Ports, allowlist: Allowlist) -> None:
        self._traps = traps
        self._allowlist = allowlist
        try:
            self.state = self._read(home)
        except OSError as error:
            raise CaptureError(f"cannot read addresses and sockets: {error.strerror}; raise the limit.") from error

    def _read(self, home: Networks) -> HostState:
        return replace(host_state(home, self._traps), allowed=self._allowlist.networks())

    def refresh(self, home: Networks) -> bool:
        """Read the host again; False if that is impossible now, as /proc changes while it is read."""
        try:
            self.state = self._read(home)
        except OSError:
            return False
        return True

    def read_again(self) -> HostState | None:
        """The host as it is now, with the networks of the last refresh; None if that is impossible now."""
        return self.state if self.refresh(self.state.home) else None

    def has_changed(self) -> bool:
        """Whether this host has other addresses, or another allowlist, than at the last refresh."""
        try:
            return own_addresses() != self.state.own or self._allowlist.networks() != self.state.allowed
        except OSError:
            return False

    def interfaces(self) -> list[str]:
        """The interfaces to watch by default.

        Raises:
            OSError: they cannot be seen now.
        """
        return default_interfaces()

    def heard_twice(self, watched: Collection[str]) -> frozenset[int]:
        """The indexes of interfaces whose packets come from another capture too; none if they cannot be seen now."""
        try:
            return heard_twice(watched)
        except OSError:
            return frozenset()

    def home_elsewhere(self, home: Networks) -> frozenset[tuple[str, str]]:
        """Pairs of an interface and a home network that does not live there."""
        return home_elsewhere(home)

    def senders(self, line: EvidenceEvent) -> str:
        """Who sends what this host scans others with, in words."""
        return senders(line, self.state.own)

    def links_up(self) -> frozenset[str]:
        """The interfaces that are up; none if they cannot be seen now."""
        return links_up()
