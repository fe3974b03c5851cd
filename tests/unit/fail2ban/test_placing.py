"""Shipped files are placed and removed; the installer's tests show what is kept."""

from pathlib import Path

from portsentry_py.fail2ban.pack import PackFile
from portsentry_py.fail2ban.placing import key, place, read_manifest, record, remove

FILE = PackFile("etc/a.conf", b"new\n")


def test_a_manifest_remembers_every_version(tmp_path: Path) -> None:
    manifest = tmp_path / "var/manifest"
    older = PackFile(FILE.target, b"old\n")

    assert record(manifest, [older]) == frozenset()
    assert record(manifest, [FILE]) == {key(FILE, b"old\n")}
    assert read_manifest(manifest) == {key(FILE, b"old\n"), key(FILE, b"new\n")}


def test_a_file_is_placed_in_a_folder_that_is_missing_and_removed(tmp_path: Path) -> None:
    path = tmp_path / FILE.target

    assert place(path, FILE, frozenset()).action == "installed"
    assert place(path, FILE, frozenset()).action == "unchanged"
    assert remove(path, FILE, frozenset(), "needed").note == "needed"
    assert remove(path, FILE, frozenset()).action == "removed"
    assert not path.exists()
