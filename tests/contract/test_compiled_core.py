"""The compiled core of a wheel does what the interpreted one does."""

import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.compiled import lay_out
from tests.support.needs import missing, require_tool
from tests.support.paths import PACKAGE
from tests.support.running import ran, run

_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.mark.slow
def test_the_tests_of_the_core_pass_where_it_is_compiled(tmp_path: Path) -> None:
    require_tool("cc")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing("Python.h", "python3-dev")
    lay_out(tmp_path)
    modules = {one.relative_to(PACKAGE) for one in PACKAGE.glob("core/**/*.py") if one.name != "__init__.py"}
    package = tmp_path / "portsentry_py"
    libraries = {one.relative_to(package) for one in package.rglob(f"*{_SUFFIX}")}
    assert libraries == {one.with_name(one.stem + _SUFFIX) for one in modules}
    assert all((package / one).is_file() for one in modules), "a Python that the libraries are not for reads these"

    found = ran(sys.executable, "-m", "portsentry_py", "check", folder=tmp_path).stdout
    assert "ok      core: compiled" in found.splitlines()
    tests = ("-n", "2", "-m", "not interpreted", "tests/unit/core", "tests/scenarios")
    run(sys.executable, "-m", "pytest", "-q", *tests, folder=tmp_path, seconds=900)
