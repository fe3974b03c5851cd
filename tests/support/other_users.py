"""Users other than root: one without any right, one who may capture, and scripts that run as them."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support.needs import missing, require_root, require_tool
from tests.support.paths import ROOT

NOBODY = 65_534
# The beginning of a command line: it makes an ordinary user of root, and lets that user capture.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
NET_RIGHTS = ("--inh-caps=+net_raw,+net_admin", "--ambient-caps=+net_raw,+net_admin")
_BECOME = """
import os, sys
from pathlib import Path
from portsentry_py.checks import check
from portsentry_py.output import log_file
from portsentry_py.output import json_log
from portsentry_py.errors import PortsentryError
from tests.support.build import connection_events as events
sys.path.clear()  # what is imported from here on, this user could not read
os.setgroups([])
os.setgid({0})
os.setuid({0})
"""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A directory that every user may enter; those of pytest are root's alone."""
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


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let this process act as that user for a while; one that is not root stays what it is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@cache
def python_for_all() -> str:
    """A Python that every user may run: ours may lie in somebody's home."""
    require_root()
    require_tool("setpriv")
    # setpriv is still root when it starts the first one; that one starts the second.
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import ctypes, json'])"
    for python in (sys.executable, "/usr/bin/python3"):
        command = [*AS_NOBODY, python, "-I", "-S", "-c", again]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return python
    return missing("a Python that every user may run", "python3")
