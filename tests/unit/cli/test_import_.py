"""`import` writes what other programs' files become, and nothing over a file that is there."""

from pathlib import Path

import pytest

from portsentry_py.config.loader import load
from tests.support.command import Command, fails
from tests.support.import_examples import EXAMPLES
from tests.support.other_users import shared_folder, unprivileged


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in EXAMPLES}


def test_standard_output_is_a_configuration(command: Command, files: dict[str, Path], tmp_path: Path) -> None:
    done = command("import", files["portsentry.conf"], files["portsentry.ignore"])
    assert (done.code, done.err) == (0, "")
    (tmp_path / "made.yaml").write_text(done.out, encoding="utf-8")
    settings = load(tmp_path / "made.yaml")
    assert (settings.profile, len(settings.ignore)) == ("portsentry", 4)
    assert "# [portsentry]\n" in done.out


def test_both_files_are_written(command: Command, files: dict[str, Path], tmp_path: Path) -> None:
    output, jail = tmp_path / "new.yaml", tmp_path / "new.local"
    done = command("import", files["psad.conf"], "-o", output, "--jail", jail)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [f"wrote {output}", f"wrote {jail}"]
    assert load(output).profile == "psad"
    assert jail.read_text().count("[portsentry]\n") == 1


def test_a_file_that_is_there_stays_and_nothing_is_left(
    command: Command, files: dict[str, Path], tmp_path: Path
) -> None:
    output, jail = tmp_path / "new.yaml", tmp_path / "new.local"
    jail.write_text("mine")
    fails(command("import", files["auto_dl"], "-o", output, "--jail", jail), 73, str(jail), "already")
    assert jail.read_text() == "mine"
    assert not output.exists()
    fails(command("import", files["auto_dl"], "-o", tmp_path / "no/such"), 73, "cannot write the file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", ["file:1", "no format", "give a file"]),
        ('TCP_PORTS="x"\n', ["file:1", "'x' is not a port", "write a number"]),
        ("192.0.2.1\n\n192.0.2.300\n", ["file:3", "192.0.2.300", "correct or remove"]),
    ],
)
def test_a_wrong_file_is_65(command: Command, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "file").write_text(text)
    fails(command("import", tmp_path / "file"), 65, *words)


def test_a_missing_file_is_65(command: Command, tmp_path: Path) -> None:
    fails(command("import", tmp_path / "missing"), 65, "cannot read the file", "name another")


def test_no_file_is_64(command: Command) -> None:
    fails(command("import"), 64, "FILES")


def test_what_a_user_may_not_read_or_write_is_77(command: Command) -> None:
    with shared_folder() as folder:
        for name, mode in (("auto_dl", 0o600), ("psad.conf", 0o644)):
            (folder / name).write_text(EXAMPLES[name], encoding="utf-8")
            (folder / name).chmod(mode)
        assert command("import", folder / "psad.conf").code == 0  # another user could not load the modules
        with unprivileged():
            fails(command("import", folder / "auto_dl"), 77, "may not read")
            fails(command("import", folder / "psad.conf", "-o", folder / "new"), 77, "may not make")
