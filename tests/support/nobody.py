"""Another user, who may nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import require_root
from tests.support.paths import ROOT

NOBODY = 65_534
_BECOME = """
import os, sys
from pathlib import Path
from portsentry_py.checks import check
from portsentry_py.output import log_file
from portsentry_py.output import json_log as sinks
from portsentry_py.errors import PortsentryError
from tests.unit.output.test_json_log import events
sys.path.clear()  # what is imported from here on, this user could not read
os.setgroups([])
os.setgid({0})
os.setuid({0})
"""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A directory that every user reaches; pytest's are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="portsentry-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def nobody(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A script that runs as that user, with our modules already imported, and pipes to it and from it."""
    require_root()
    command = [sys.executable, "-c", _BECOME.format(NOBODY) + textwrap.dedent(script), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, cwd=ROOT) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
        assert process.wait(60) == 0


def as_nobody(script: str, *arguments: object) -> str:
    """Let a script run to its end as that user; what it prints."""
    with nobody(script, *arguments) as process:
        assert process.stdout
        return process.stdout.read()
