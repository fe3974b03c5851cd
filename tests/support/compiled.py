"""A tree with the compiled core, and the tests beside it."""

import shutil
import sys
import zipfile
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.running import run


def lay_out(place: Path) -> None:
    """Put the compiled package and the tests into a folder; a process there imports both.

    The packages that are installed build it: nothing is downloaded.
    """
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT)
    run("env", "HATCH_BUILD_HOOK_ENABLE_CUSTOM=true", *build, seconds=900)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    shutil.copytree(ROOT / "tests", place / "tests")
    shutil.copy2(ROOT / "pyproject.toml", place)
