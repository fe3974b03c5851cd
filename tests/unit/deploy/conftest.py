"""A system without the service."""

from pathlib import Path

import pytest

from tests.support import deploy_tree
from tests.support.deploy_tree import Tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return deploy_tree.made(tmp_path, monkeypatch)
