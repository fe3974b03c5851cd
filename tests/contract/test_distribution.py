"""The wheel and the sdist hold what they must, and work where they are installed."""

import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from portsentry_py import __version__
from tests.support.paths import ROOT
from tests.support.running import ran, run

VERSION = f"portsentry_py-{__version__}"
SHIPPED = [path for name in ("config", "fail2ban") for path in sorted((ROOT / name).rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both; the build packages of this environment make them, so nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def sdist(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built / f"{VERSION}.tar.gz") as archive:
        assert all(member.isfile() for member in archive), "a link is lost on some systems"
    run("tar", "-xzf", built / f"{VERSION}.tar.gz", "-C", folder)
    return folder / VERSION


def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"{VERSION}-py3-none-any.whl")


def test_the_index_accepts_both(built: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(built.iterdir()))


def test_the_wheel_has_the_package_and_the_shipped_files(built: Path) -> None:
    with wheel(built) as archive:
        for path in SHIPPED:
            assert archive.read(f"portsentry_py/data/{path.relative_to(ROOT)}") == path.read_bytes()
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        package = (path for path in (ROOT / "portsentry_py").rglob("*") if path.is_file() and path.suffix != ".pyc")
        code = {str(path.relative_to(ROOT)) for path in package}
        assert names == code | {f"portsentry_py/data/{path.relative_to(ROOT)}" for path in SHIPPED}


def test_the_long_description_has_no_relative_link(built: Path) -> None:
    with wheel(built) as archive:
        metadata = BytesParser().parsebytes(archive.read(f"{VERSION}.dist-info/METADATA"))
    text = str(metadata.get_payload())
    assert "](https://" in text
    assert not [word for word in text.split("](")[1:] if not word.startswith(("https://", "#"))]
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) >= {"report", "metrics", "scan", "fleet"}


def test_the_sdist_has_every_file_of_the_checkout(sdist: Path) -> None:
    for folder in ("portsentry_py", "tests", "config", "fail2ban", "docker", "docs"):
        wanted = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        wanted = {path for path in wanted if "__pycache__" not in path.parts}
        assert wanted <= {path.relative_to(sdist) for path in (sdist / folder).rglob("*")}


def test_the_tests_run_in_the_sdist(sdist: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:xdist", "tests/unit/fail2ban/test_pack.py", "tests/unit/test_shipped.py")
    done = ran(sys.executable, *words, folder=sdist)
    assert done.returncode == 0, done.stdout


def test_an_installed_wheel_finds_its_files(built: Path, tmp_path: Path) -> None:
    """In an environment of its own; the libraries are those of this one."""
    environment = tmp_path / "venv"
    venv.create(environment)
    python = environment / "bin/python"
    (file,) = built.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", file)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    command = environment / "bin/portsentry-py"
    assert __version__ in run(command, "--version")
    root = tmp_path / "root"
    (root / "etc/fail2ban").mkdir(parents=True)
    run(command, "fail2ban", "install", "--root", root, "--ban-action", "nftables[type=allports]")
    for path in (path for path in SHIPPED if path.suffix == ".conf" and path.is_relative_to(ROOT / "fail2ban")):
        assert (root / "etc" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
