"""A tree with the compiled core, and the tests beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.paths import ROOT

_BESIDE = ("tests", "pyproject.toml")


def build_wheel(place: Path, *, compiled: bool) -> Path:
    """Build a wheel, with the packages that are installed; its path.

    Raises:
        subprocess.CalledProcessError: it cannot be built; its output says why.
    """
    environment = os.environ | {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": str(compiled).lower()}
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    return wheel


def compiled_tree(place: Path) -> Path:
    """Lay out the compiled package and the tests in a folder; a process there imports both."""
    with zipfile.ZipFile(build_wheel(place, compiled=True)) as archive:
        archive.extractall(place)
    for name in _BESIDE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, place / name)
    return place
