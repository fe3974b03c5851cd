"""A word that the schema does not list fails the type check, before any line is written."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import PACKAGE

DETECTOR = '''"""A detector that somebody adds."""

from portsentry_py.core.detectors.base import Detector
from portsentry_py.core.finding import Finding
from portsentry_py.core.sighting import Sighting
from portsentry_py.core.source_record import SourceRecord


class AddedDetector(Detector):
    """Every source is a scanner."""

    def observe(self, sighting: Sighting, record: SourceRecord) -> Finding | None:
        """See Detector."""
        return Finding("{technique}", sighting, record, "{scan_type}", True, "{reason}")
'''
LISTED = {"technique": "port_scan", "scan_type": "syn", "reason": "points"}


def errors(copy: Path, **words: str) -> str:
    """What mypy finds wrong in a copy of the package with one more detector."""
    added = copy / "portsentry_py/core/detectors/added.py"
    added.write_text(DETECTOR.format(**{**LISTED, **words}), encoding="utf-8")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-version=3.10", "--cache-dir=cache"]
    done = subprocess.run([*mypy, str(added)], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return "" if done.returncode == 0 else done.stdout


def test_a_word_that_the_schema_does_not_list_fails_the_type_check(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "portsentry_py", ignore=shutil.ignore_patterns("__pycache__"))
    assert errors(tmp_path) == ""
    for place in LISTED:
        assert "\"Literal['burst']\"" in errors(tmp_path, **{place: "burst"})
