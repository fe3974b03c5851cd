"""The two cores: this process has the compiled one, as it is shipped, and the checkout has the interpreted one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.compiled import lay_out
from tests.support.paths import ROOT

_CHECKOUT = "PORTSENTRY_BENCH_CHECKOUT"


def checkout() -> Path | None:
    """Where the interpreted core is, if this process has the compiled one."""
    folder = os.environ.get(_CHECKOUT)
    return Path(folder) if folder else None


def run_compiled(words: Sequence[str]) -> int:
    """Compile the core, and run the bench with it in a process of its own; its exit code."""
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        tree = Path(folder)
        tree.chmod(0o755)  # the sensor reads it as another user
        lay_out(tree)
        environment = {**os.environ, _CHECKOUT: str(ROOT)}
        command = [sys.executable, "-m", "tests.lab.bench", *words]
        return subprocess.run(command, cwd=tree, env=environment, check=False).returncode
