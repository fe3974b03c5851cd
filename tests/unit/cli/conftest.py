"""The command, and a capture with a scan in it."""

from pathlib import Path

import pytest

from tests.support import deploy_tree
from tests.support.build import SCANNER, refused, syn, visit, write_pcap
from tests.support.command import Command
from tests.support.deploy_tree import Tree
from tests.support.needs import require_tool


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    require_tool("tshark")
    return write_pcap(tmp_path / "x.pcap", refused(syn(SCANNER, *range(20, 40))), visit("198.51.100.7", 80))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return deploy_tree.made(tmp_path, monkeypatch)
