"""Programs that run to their end."""

import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.support.needs import require_tool
from tests.support.paths import ROOT


def ran(
    *words: object,
    seconds: float = 120,
    folder: Path = ROOT,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program with this text as its input; the caller judges the exit code."""
    return subprocess.run(
        [str(word) for word in words],
        input=text,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=seconds,
        check=False,
        cwd=folder,
    )


def run(*words: object, seconds: float = 120, folder: Path = ROOT, text: str = "") -> str:
    """Run a program that must succeed; what it prints."""
    done = ran(*words, seconds=seconds, folder=folder, text=text)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def run_python(
    script: str, *arguments: object, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a script that must succeed in another Python, which finds our modules."""
    done = ran(sys.executable, "-c", textwrap.dedent(script), *arguments, stdout=stdout, stderr=stderr)
    assert done.returncode == 0, done.stderr
    return done


def fields(capture: Path, names: Iterable[str], *options: str) -> list[list[str]]:
    """These fields of each packet, as tshark has them; the end of the file may be cut, as it may still be written."""
    words = [word for name in names for word in ("-e", name)]
    done = ran(require_tool("tshark"), "-n", "-r", capture, *options, "-T", "fields", *words, seconds=300)
    return [line.split("\t") for line in done.stdout.splitlines()]
