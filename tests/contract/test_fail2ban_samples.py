"""The test runner of fail2ban accepts our filter and our samples in its own format."""

import shutil
import subprocess
from pathlib import Path

import pytest

from portsentry_py.fail2ban.pack import pack_files
from tests.support.needs import require_tool
from tests.support.running import ran, run

SYSTEM_PYTHON = "/usr/bin/python3"  # fail2ban is installed there, not in our environment
SAMPLES = Path(__file__).parent / "failjson" / "portsentry-py"


@pytest.fixture(scope="session")
def fail2ban_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed fail2ban in the layout of its source tree, which its runner needs, with our files."""
    runner = require_tool("fail2ban-testcases")
    tree = tmp_path_factory.mktemp("fail2ban")
    package = run(SYSTEM_PYTHON, "-c", "import fail2ban; print(fail2ban.__path__[0])").strip()
    shutil.copytree(package, tree / "fail2ban", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree("/etc/fail2ban", tree / "config")
    # The runner writes into its own folder, so it must be a copy.
    (tree / "bin").mkdir()
    shutil.copy(runner, tree / "bin")
    for file in pack_files():
        (tree / "config" / file.target).write_bytes(file.content)
    return tree


def run_samples(tree: Path, samples: str) -> subprocess.CompletedProcess[str]:
    (tree / "fail2ban/tests/files/logs/portsentry-py").write_text(samples, encoding="utf-8")
    options = ("--no-network", "--no-gamin", "testSampleRegexsPORTSENTRY-PY")
    done = ran(SYSTEM_PYTHON, "bin/fail2ban-testcases", *options, folder=tree)
    assert "Ran 1 test " in done.stderr, done.stdout + done.stderr
    return done


def test_the_runner_of_fail2ban_accepts_the_samples(fail2ban_tree: Path) -> None:
    done = run_samples(fail2ban_tree, SAMPLES.read_text(encoding="utf-8"))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("truth", "lie"),
    [
        ('"host": "203.0.113.9"', '"host": "203.0.113.8"'),
        ('"host": "203.0.113.0/24"', '"host": "203.0.113.0"'),
        ('"dport": "23"', '"dport": "24"'),
        ('"match": true', '"match": false'),
        ('"match": false, "desc": "source mapped into IPv6"', '"match": true, "desc": "source mapped into IPv6"'),
    ],
)
def test_the_runner_of_fail2ban_refuses_a_false_sample(fail2ban_tree: Path, truth: str, lie: str) -> None:
    samples = SAMPLES.read_text(encoding="utf-8")
    assert truth in samples

    done = run_samples(fail2ban_tree, samples.replace(truth, lie, 1))

    assert done.returncode == 1
    assert "AssertionError" in done.stderr
