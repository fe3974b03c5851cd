# noqa: INP001 - hatchling reads it as a file
"""Compiles the core with mypyc while a wheel is built, if HATCH_BUILD_HOOK_ENABLE_CUSTOM=true asks for it.

The modules stay in the wheel beside the libraries. A Python that the libraries are not made for reads the modules.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = "portsentry_py"
_CORE = f"{_PACKAGE}/core"


class CompiledCore(BuildHookInterface[Any]):
    """Adds the libraries to the wheel, which then is for one version of Python and one kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface.

        Raises:
            subprocess.CalledProcessError: there is no compiler, no header of Python, or no mypyc; it said which.
        """
        if version == "editable":  # reads the checkout itself
            return
        self._place = TemporaryDirectory()
        place = Path(self._place.name)
        shutil.copytree(Path(self.root, _PACKAGE), place / _PACKAGE, ignore=shutil.ignore_patterns("*.so"))
        subprocess.run([sys.executable, __file__], cwd=place, check=True)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(one): str(one.relative_to(place)) for one in place.rglob("*.so")})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - its own
        """See BuildHookInterface."""
        if version != "editable":
            self._place.cleanup()


def _compile() -> None:
    """Compile the core below the working directory, in place."""
    from mypyc.build import mypycify  # noqa: PLC0415 - hatchling reads this file without them
    from setuptools import setup  # noqa: PLC0415 - likewise

    modules = sorted(str(one) for one in Path(_CORE).rglob("*.py") if one.name != "__init__.py")
    # Without debugging information, which names the folder: the same source gives the same bytes.
    parts = mypycify(
        ["--config-file=", "--ignore-missing-imports", *modules],
        opt_level="3",
        debug_level="0",
        group_name=f"{_PACKAGE}_core",
        target_dir="build",
    )
    setup(
        name=_PACKAGE,
        packages=[],
        ext_modules=parts,
        script_args=["--quiet", "build_ext", "--inplace", "--build-temp", "build", "--build-lib", "build"],
    )
    shutil.rmtree("build")


if __name__ == "__main__":
    _compile()
