"""The Debian package has what it must, twice the same bytes, and no fault that lintian knows."""

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.support.man_pages import pages
from tests.support.needs import require_tool
from tests.support.paths import ROOT
from tests.support.running import run

pytestmark = pytest.mark.slow
BUILD = ROOT / "docker/packages/build"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for Debian 13, which every release can build."""
    return built(tmp_path_factory.mktemp("first"))


def built(folder: Path) -> Path:
    run("env", f"OUTPUT={folder}", BUILD, "debian13", seconds=300)
    (package,) = folder.glob("*.deb")
    return package


def test_two_builds_give_the_same_bytes(package: Path, tmp_path: Path) -> None:
    again = built(tmp_path)
    assert again.name == package.name
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_lintian_finds_no_error_and_misses_no_manual_page(package: Path) -> None:
    found = run(require_tool("lintian"), "--allow-root", "--fail-on", "error", package)
    assert "no-manual-page" not in found


def test_it_has_the_manual_pages_and_the_completion_of_each_shell(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "-x", package, tmp_path)
    share = tmp_path / "usr/share"
    for name, page in pages().items():
        packed = (share / f"man/man{name[-1]}/{name}.gz").read_bytes()
        assert gzip.decompress(packed).decode() == page.rstrip("\n") + "\n"
    for place in (
        "bash-completion/completions/portsentry-py",
        "zsh/vendor-completions/_portsentry-py",
        "fish/vendor_completions.d/portsentry-py.fish",
    ):
        assert "_portsentry_py_completion" in (share / place).read_text(encoding="ascii")


def test_it_has_the_files_of_the_service_and_the_operator_keeps_the_changes(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "-R", package, tmp_path)
    kept = (tmp_path / "DEBIAN/conffiles").read_text(encoding="ascii").split()
    pack = sorted((ROOT / "fail2ban").glob("*.d/*.conf"))
    places = {path: f"/etc/{path.relative_to(ROOT)}" for path in pack}
    places |= {
        ROOT / "config/portsentry.yaml": "/etc/portsentry-py/portsentry.yaml",
        ROOT / "config/portsentry-py.logrotate": "/etc/logrotate.d/portsentry-py",
    }
    assert set(kept) == set(places.values())
    places |= {
        ROOT / "config/portsentry-py.service": "/usr/lib/systemd/system/portsentry-py.service",
        **{
            ROOT / f"config/{name}": f"/usr/lib/systemd/system/{name}"
            for name in ("portsentry-py-fleet.service", "portsentry-py-fleet-unban.service")
        },
        ROOT / "config/portsentry-py.sysusers": "/usr/lib/sysusers.d/portsentry-py.conf",
        ROOT / "config/portsentry-py.tmpfiles": "/usr/lib/tmpfiles.d/portsentry-py.conf",
    }
    for source, place in places.items():
        assert (tmp_path / place[1:]).read_bytes() == source.read_bytes()
    assert os.access(tmp_path / "usr/bin/portsentry-py", os.X_OK)
    assert not list(tmp_path.rglob("*.so")), "one package is for every architecture"


def test_its_list_of_parts_names_what_it_carries(package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "-x", package, tmp_path)
    document = json.loads((tmp_path / "usr/share/doc/portsentry-py/sbom.cdx.json").read_text(encoding="utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    assert {part["name"] for part in document["components"]} >= {"pyshark", "appdirs", "nats-py", "nkeys"}
    folders = {path.name.split("-")[0] for path in (tmp_path / "usr/lib/portsentry-py").glob("*.dist-info")}
    assert folders == {"portsentry_py", "pyshark", "appdirs", "nats_py", "nkeys"}
