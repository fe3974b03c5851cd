"""What the image and the Debian packages leave out of the Python packages is not missed."""

import importlib
import shutil
from pathlib import Path

from tests.support.needs import require_tool
from tests.support.paths import ROOT
from tests.support.running import run, run_python

TRIM = ROOT / "docker/packages/trim"
CAPTURE = ROOT / "tests/scenarios/cases/scan_of_24_hours/capture.pcap"
# What is taken whole, and what parts are taken of.
WHOLE, PARTLY = {"pygments", "markdown_it", "mdurl"}, {"rich", "lxml"}
_SCRIPT = """
    import importlib, os, pkgutil, sys

    folder, taken, log, capture = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4]
    sys.path.insert(0, folder)
    sys.modules.update(dict.fromkeys(taken))  # these cannot be imported

    import portsentry_py

    for module in pkgutil.walk_packages(portsentry_py.__path__, "portsentry_py."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert all(sys.modules[name].__file__.startswith(folder) for name in ("rich", "lxml"))

    from portsentry_py.cli.main import main

    for words in (["replay", capture, "--output", log], ["sources", "--log", log], ["report", log]):
        sys.argv[1:] = words
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, words
"""


def test_every_module_loads_and_tables_are_drawn_without_what_is_left_out(tmp_path: Path) -> None:
    require_tool("strip")
    folder = tmp_path / "lib"
    for name in WHOLE | PARTLY:
        module = importlib.import_module(name)
        assert module.__file__
        shutil.copytree(Path(module.__file__).parent, folder / name)
    run(TRIM, folder)
    assert {one.name for one in folder.iterdir()} == PARTLY
    assert not [one for one in folder.rglob("*.*") if one.suffix in {".c", ".h", ".pxd", ".pxi", ".pyi", ".pyx"}]
    done = run_python(_SCRIPT, folder, ",".join(sorted(WHOLE)), tmp_path / "log", CAPTURE)
    assert "203.0.113.9" in done.stdout


def test_the_image_and_the_packages_leave_out_the_same() -> None:
    assert "/src/docker/packages/trim /usr/lib/portsentry-py" in (ROOT / "docker/Dockerfile").read_text("utf-8")
    assert '"$here/trim" "$lib"' in (ROOT / "docker/packages/build").read_text("utf-8")
    assert "!docker/packages/trim" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
