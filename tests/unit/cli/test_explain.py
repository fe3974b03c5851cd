"""`explain`: one screen about one source."""

from pathlib import Path

import pytest

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.checkpoint import Checkpoint
from tests.support.build import SCANNER, US, evidence, log_lines, refused, strict, syn, watch
from tests.support.command import Command, fails

PIPELINE = Pipeline(strict(), US)
EVENTS = watch(PIPELINE, refused(syn(SCANNER, 20, 21, 22, 24)))


@pytest.fixture
def words(tmp_path: Path) -> tuple[object, ...]:
    """The options that keep this machine out."""
    (tmp_path / "log").write_bytes(b"".join(log_lines(EVENTS)))
    (tmp_path / "given.yaml").write_text(f"ignore: {SCANNER}\nallowlist: off\n", encoding="utf-8")
    Checkpoint(PIPELINE, str(tmp_path / "state")).close()
    return (
        *("--log", tmp_path / "log", "--socket", tmp_path / "none"),
        *("--state", tmp_path / "state", "-c", tmp_path / "given.yaml"),
    )


def test_an_address_and_an_event_id_give_the_same_screen(command: Command, words: tuple[object, ...]) -> None:
    done = command("explain", SCANNER, *words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == SCANNER
    assert len(lines) < 40
    for heading in ("verdict", "rule", "counted", "for it", "protected", "fail2ban", "to change", "lines"):
        assert any(line.startswith(heading) for line in lines), heading
    assert "ignore_list: " in done.out
    assert command("explain", evidence(EVENTS)[0].event_id, *words).out == done.out


def test_a_source_that_nobody_knows_is_no_error(command: Command, words: tuple[object, ...]) -> None:
    done = command("explain", "192.0.2.77", *words)
    assert done.code == 0, done.err
    assert "none: " in done.out


def test_a_damaged_state_is_a_sentence_of_the_screen(
    command: Command, words: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "state").write_bytes(b"x")
    assert "not a state file" in " ".join(command("explain", SCANNER, *words).out.split())


def test_what_is_no_source_is_64_and_a_missing_log_65(command: Command, words: tuple[object, ...]) -> None:
    fails(command("explain", "nobody", *words), 64, "nobody")
    fails(command("explain", "0123456789abcdef", *words), 65, "0123456789abcdef")
    fails(command("explain", SCANNER, *words, "--log", "/nonexistent/log"), 65, "/nonexistent/log")
