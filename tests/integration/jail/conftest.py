"""A lab and fail2ban servers in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest

from tests.support.ban_chain import start_echo
from tests.support.fail2ban_server import Server
from tests.support.namespaces import Lab, opened
from tests.support.needs import require_wire


class StartServer(Protocol):
    """What the fixture of the same name gives."""

    def __call__(self, local: str, files: Mapping[str, str] = MappingProxyType({})) -> Server:
        """Start fail2ban on the target, with `local` as the operator's jail file and more files of theirs."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three hosts on a wire, of which the target also answers UDP."""
    require_wire("nft", "iptables", "ipset", "fail2ban-server")
    with opened() as made:
        start_echo(made)
        yield made


@pytest.fixture
def start_server(lab: Lab, tmp_path: Path) -> Iterator[StartServer]:
    """Start fail2ban with settings that the test chooses."""
    with ExitStack() as stack:

        def start(local: str, files: Mapping[str, str] = MappingProxyType({})) -> Server:
            folder = tmp_path / "f2b"
            folder.mkdir()
            server = Server(lab.target, folder, local, files=files)
            stack.callback(server.stop)
            return server

        yield start
