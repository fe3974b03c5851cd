"""Every seed and everything that was found, through its target; a bounded search; the fuzzer itself."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.fuzz import __main__ as program
from tests.lab.fuzz import columns, configuration, oracle, status, worker
from tests.lab.fuzz.store import CORPUS, HERE, REGRESSIONS, Case, read, write
from tests.lab.fuzz.targets import TARGETS
from tests.lab.fuzz.trial import Trial, changed
from tests.support.build import SCANNER, no_deadline, syn
from tests.support.needs import require_tool

# As in pyproject.toml, from where ./quickstart installs it.
GUIDED_HERE = (3, 11) <= sys.version_info < (3, 14) and platform.machine() == "x86_64"
TOOLS = {"jail": "fail2ban-regex", "captures": "tshark"}
MOST_BYTES = 100_000
MOST_CORPUS_BYTES = 250_000


def target(name: str) -> Any:
    if name in TOOLS:
        require_tool(TOOLS[name])
    return importlib.import_module(f"tests.lab.fuzz.{name}")


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_dealt_with(name: str) -> None:
    cases = read(CORPUS, name)
    assert cases
    for case in cases:
        target(name).check(case.data)


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}: {case.why}") for name in TARGETS for case in read(REGRESSIONS, name)],
)
def test_what_was_found_is_mended(name: str, case: Case) -> None:
    target(name).check(case.data)


def test_the_cases_are_small_and_of_targets_that_exist() -> None:
    files = [*CORPUS.iterdir(), *REGRESSIONS.iterdir()]
    assert {path.stem for path in files} == set(TARGETS)
    assert max(path.stat().st_size for path in files) < MOST_BYTES
    assert sum(path.stat().st_size for path in files) < MOST_CORPUS_BYTES
    assert {path.name for path in HERE.glob("*.jsonl")} == set()


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """What comes of a seed after a few mutations."""
    module, seeds = target(name), [case.data for case in read(CORPUS, name)]

    def mutate(seed: bytes, number: int, times: int) -> bytes:
        random = Random(number)
        for _ in range(times):
            seed = module.mutated(seed, random, lambda some: changed(some, random))
        return seed

    return st.builds(mutate, st.sampled_from(seeds), st.integers(0, 1 << 64), st.integers(1, 4))


@no_deadline
@given(st.lists(inputs("columns"), min_size=1, max_size=30), st.integers(0, 3))
def test_any_lines_of_tsharks(data: list[bytes], situation: int) -> None:
    sensor = columns.Sensor(situation)
    for one in data:
        sensor.check(one)
    sensor.end()


@no_deadline
@given(inputs("configuration"))
def test_any_configuration(data: bytes) -> None:
    configuration.check(data)


@no_deadline
@given(inputs("status"))
def test_any_log(data: bytes) -> None:
    status.check(data)


@no_deadline
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for check in (columns.check, configuration.check, status.check):
        check(data)


@pytest.mark.parametrize("name", ["jail", "output", "captures"])
def test_a_few_of_the_slow_ones(name: str) -> None:
    module, random = target(name), Random(7)
    for seed in [case.data for case in read(CORPUS, name)][:5]:
        module.check(module.mutated(seed, random, lambda some: changed(some, random)))


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"columns"}))  # those take tshark a quarter of a minute
def test_the_seeds_can_be_made_anew(name: str) -> None:
    assert len(target(name).seeds()) >= 5


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"timestamp":"x","event_type":"scan"}\n', '{"é":1}\n'.encode()])
def test_what_is_no_line_is_told(line: bytes) -> None:
    with pytest.raises((AssertionError, ValueError, LookupError)):
        oracle.check_line(line)


def event(**changes: object) -> bytes:
    line = read(CORPUS, "status")[-1].data.split(status.SEPARATOR)[0].split(b"\n")[0]
    return json.dumps({**json.loads(line), **changes}, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"src_ip": "fe80::1%eth0"},
        {"src_ip": "2001:DB8::1"},
        {"dest_port": -1},
        {"dest_port": 65_536},
        {"verdict": "maybe"},
        {"timestamp": "2026-11-20T08:41:57Z"},
        {"in_iface": 'a"b'},
        {"comment": "x"},
    ],
)
def test_a_wrong_value_is_told(changes: dict[str, object]) -> None:
    oracle.check_line(event())
    with pytest.raises((AssertionError, LookupError)):
        oracle.check_line(event(**changes))


@pytest.mark.parametrize("text", ["\x1b[31m", "\x9b", "\u202e", "\r", "\u2028", "\udcff"])
def test_what_a_terminal_would_obey_is_told(text: str) -> None:
    oracle.check_sentences("one.\ntwo?")
    with pytest.raises(AssertionError):
        oracle.check_text(text)


def test_a_failure_comes_down_to_the_inputs_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = columns.Columns()
    probes = syn(SCANNER, 22, 23, 24, 25, 26)
    for probe in [*syn("10.0.0.1", *range(40)), *probes]:
        trial(probe.line.encode())
    monkeypatch.setattr(columns, "fails", lambda data, _: data.count(b"203.0.113.9") >= 2)
    found = trial.reproduction().decode().split("\n")
    assert len(found) == 2
    assert set(found) <= {probe.line for probe in probes}


def test_a_sensor_that_raises_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "\n".join(probe.line for probe in syn(SCANNER, 22, 23, 24, 25)).encode()
    assert not columns.fails(data, 0)

    def refuse(_: bytes) -> None:
        raise ValueError

    monkeypatch.setattr(columns, "check_line", refuse)
    assert columns.fails(data, 0)


def test_each_place_that_raises_is_kept_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def check(data: bytes) -> None:
        if data.startswith(b"a"):
            raise ValueError
        if data.startswith(b"b"):
            raise KeyError

    finds = worker.Finds(tmp_path, "x", Trial(check))
    for data in (b"c", b"a1", b"a2", b"b\xff"):
        finds.check(data)
    assert [case.data for case in read(tmp_path, "x")] == [b"a1", b"b\xff"]
    assert "ValueError" in capsys.readouterr().err


def test_cases_are_kept_as_they_are(tmp_path: Path) -> None:
    cases = [Case("why", bytes(range(256))), Case("é", b"")]
    write(tmp_path, "x", cases)
    assert read(tmp_path, "x") == cases


def test_the_guided_targets_name_modules_that_exist() -> None:
    modules = {module for one in TARGETS.values() for module in one.modules}
    assert [one for one in modules if find_spec(f"portsentry_py.{one}") is None] == []


def test_a_short_run_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / program.PAGE
    page.write_text("before\n<!-- fuzz -->\n<!-- end of fuzz -->\nafter\n", encoding="utf-8")
    words = ["output", "--inputs", "3", "--seconds", "60", "--finds", str(tmp_path / "finds"), "-o", str(tmp_path)]
    assert program.main(words) == 0
    assert "| 3 |" in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").endswith("<!-- end of fuzz -->\nafter\n")
    assert "finds" in capsys.readouterr().out


def test_what_is_found_is_counted_and_ends_with_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def found(name: str, *_: object) -> program.Row:
        return program.Row(name, 1_000, 2.0, 3, ["ValueError at x.py:1"])

    monkeypatch.setattr(program, "fuzz", found)
    assert program.main(["output", "--print-only", "--finds", str(tmp_path)]) == 1


def test_how_far_the_fuzzer_is_stands_in_its_words() -> None:
    said = "#2\tINITED cov: 1 ft: 1 corp: 1/1b\n#1024\tpulse  cov: 12 ft: 34 corp: 5/67b exec/s: 512\n"
    assert program._progress(said) == (1024, 5)
    assert program._progress("") == (0, 0)


@pytest.mark.parametrize("words", [["nobody"], ["--inputs", "many"]])
def test_what_cannot_be_done_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.main(words)


def test_without_atheris_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(_: str) -> None:
        """No program has it."""

    monkeypatch.setattr("importlib.util.find_spec", missing)
    with pytest.raises(SystemExit, match="2"):
        program.main(["columns", "--finds", str(tmp_path)])
    assert "pip install" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not GUIDED_HERE, reason="atheris is built for Python 3.11 to 3.13 on x86-64 alone")
@pytest.mark.parametrize("name", [name for name, one in TARGETS.items() if one.modules])
def test_coverage_guides(name: str, tmp_path: Path) -> None:
    row = program.fuzz(name, 500, 60, tmp_path)
    assert row.inputs >= 500
    assert row.finds == []
