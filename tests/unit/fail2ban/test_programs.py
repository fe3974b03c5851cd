"""Programs get no input and an end, and may print anything."""

import subprocess
import sys

import pytest

from portsentry_py.fail2ban.programs import ran


def test_what_it_prints_and_its_exit_code_are_read_whatever_the_bytes() -> None:
    script = "import os, sys; os.write(1, b'\\xff' + sys.stdin.buffer.read()); os.write(2, b'wrong'); sys.exit(3)"
    done = ran([sys.executable, "-c", script], 60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "\ufffd", "wrong")


def test_a_program_that_does_not_end_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        ran([sys.executable, "-c", "import time; time.sleep(600)"], 0.1)
