"""The types of the fixtures that start something."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from tests.support.fail2ban_server import Fail2banServer
from tests.support.namespaces import IFACE
from tests.support.sensor import RUN, Sensor


class StartSensor(Protocol):
    def __call__(
        self, *, copy: bool = False, iface: str = IFACE, program: tuple[str, ...] = RUN, **settings: Any
    ) -> Sensor:
        """Start the sensor on the target with these settings, and wait until it captures."""


class StartServer(Protocol):
    def __call__(self, local: str, files: Mapping[str, str] = MappingProxyType({})) -> Fail2banServer:
        """Start fail2ban on the target, with `local` as the operator's jail file and more files of theirs."""
