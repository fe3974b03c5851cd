"""The configuration file: sensible without, exact with, and every problem told at once with its place."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config import loader as config
from portsentry_py.config.settings import PortScan, Settings
from portsentry_py.errors import ConfigError, PermissionDenied
from tests.support.build import unhurried
from tests.support.other_users import unprivileged


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "file")
    return str(caught.value).splitlines()


def problem(text: str) -> str:
    (sentence,) = problems(text)
    return sentence


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "served:\n  # tcp: [80]\n", "ignore:\n"])
def test_nothing_said_means_the_defaults(text: str) -> None:
    assert config.parse(text) == Settings()


def test_no_file_at_the_default_place_means_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "none.yaml")
    assert config.load(None) == Settings()
    (tmp_path / "none.yaml").write_text("connections: 'off'\n", encoding="utf-8")
    assert config.load(None).connections == "off"


@pytest.mark.parametrize("word", ["off", "'off'", "no"])
def test_yaml_reads_off_as_false_and_so_may_it_stand_there(word: str) -> None:
    settings = config.parse(f"connections: {word}\nstate: {word}\n")
    assert (settings.connections, settings.state) == ("off", "off")


def test_every_kind_of_value_is_read() -> None:
    settings = config.parse(
        """
        interfaces: eth0
        log: "-"
        state: /run/state
        home: [192.0.2.0/24, "2001:db8::/32"]
        ignore: 198.51.100.7
        connections: all
        served: {tcp: [80, "8000-8002"], udp: 53}
        traps: {tcp: [], ban_on: first}
        detectors: {port_scan: {min_ports: 5}}
        lines: {repeat_seconds: 120}
        limits: {max_sources: 100}
        capture: {buffer_mib: 2, workers: 4}
        """
    )
    assert settings.interfaces == ("eth0",)
    assert (settings.log, settings.state) == ("-", "/run/state")
    assert settings.home == (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert settings.ignore == (ip_network("198.51.100.7/32"),)
    assert settings.connections == "all"
    assert settings.served.tcp == {80, 8000, 8001, 8002}
    assert settings.served.udp == {53}
    assert settings.traps.tcp == frozenset()
    assert settings.traps.ban_on == "first"
    assert settings.traps.udp == Settings().traps.udp
    assert settings.detectors.port_scan == PortScan(min_ports=5)
    assert (settings.lines.repeat_seconds, settings.limits.max_sources) == (120, 100)
    assert (settings.capture.buffer_mib, settings.capture.workers) == (2, 4)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ignored: []", ["file:1", "ignored: unknown key", "did you mean ignore?"]),
        ("traps:\n  tpc: [1]", ["file:2", "traps.tpc: unknown key", "did you mean tcp?"]),
        ("zzzzzz: 1", ["zzzzzz: unknown key", "known here:", "connections"]),
        ("connections: some", ["file:1", "connections", "'some'", "unserved"]),
        ("connections: no-no", ["connections", "'off'"]),
        ("state: ''", ["file:1", "state", "not the path of a file"]),
        ("state: /", ["state", "'/'", "not the path of a file"]),
        ('state: "/a\\0"', ["state", "not the path of a file"]),
        ("state: true", ["state"]),
        ("served:\n  tcp: ['9-5']", ["file:2", "served.tcp", "upside down", "5-9"]),
        ("served: {tcp: [70000]}", ["70000", "65535"]),
        ("served: {tcp: [http]}", ["'http'", "neither a port nor a range"]),
        ("served: {tcp: [true]}", ["neither a port nor a range"]),
        ("served: {tcp: [-5]}", ["neither a port nor a range"]),
        ("ignore: [192.0.2.300]", ["file:1", "ignore", "'192.0.2.300'", "not an IP address"]),
        ("ignore: [192.0.2.1/24]", ["192.0.2.1/24", "bits are set"]),
        ("ignore: [5]", ["ignore", "5", "not an IP address"]),
        ("ignore: [2001:20]", ["ignore"]),
        ("home: [true]", ["home"]),
        ("home: [example.org]", ["home", "example.org"]),
        ("detectors: {port_scan: {min_ports: 1}}", ["detectors.port_scan.min_ports", "2"]),
        ("detectors: {port_scan: {min_ports: 8.5}}", ["min_ports"]),
        ("detectors: {port_scan: {min_ports: many}}", ["min_ports", "'many'"]),
        ("detectors: {port_scan: {min_ports: true}}", ["min_ports"]),
        ("capture: {workers: 3}", ["file:1", "capture.workers: 3 is none of 'auto', 1, 2, 4 or 8."]),
        ("capture: {workers: 16}", ["capture.workers: 16 is none of"]),
        ("capture: {workers: '2'}", ["capture.workers: '2' is none of"]),
        ("limits: 5", ["file:1", "limits"]),
        ("limits: {max_sources: 99999999999}", ["limits.max_sources", "1000000"]),
        ("interfaces: [1]", ["interfaces"]),
        ("log: [a, b]", ["log"]),
        ("log: /a\nlog: /b", ["file:2", "log: given twice", "line 1"]),
        ("traps:\n  tcp: [1]\n  tcp: [2]", ["file:3", "given twice", "line 2"]),
        ("ignore: [", ["file:", "broken YAML"]),
        ("a: b: c", ["file:1", "broken YAML"]),
        ("\tlog: x", ["broken YAML"]),
        ("- a\n- b", ["must hold keys and values"]),
        ("just words", ["must hold keys and values"]),
        ("log: !!python/object/apply:os.getcwd []", ["broken YAML"]),
        ("log: &a [*a]", ["file:1", "alias *a", "write out"]),
        ("a: {<<: &a {b: 1}}\nc: *a", ["file:2", "alias *a"]),
        (f"\nlog: {'x' * 10_001}", ["file:2", "more than 10000 characters"]),
        ("log: !!int ''", ["broken YAML", "not what its tag says"]),
        ("log: 2026-02-31", ["broken YAML", "out of range"]),
        ('log: "\\ud800"', ["file:1", "log", "no file name"]),
        ('log: "a\\0b"', ["file:1", "log", "no file name"]),
        ('interfaces: ["a\\0b"]', ["file:1", "interfaces.0", "no file name"]),
        ('"\\e[31m": 1', ["file:1", "?[31m: unknown key"]),
        ("log: 0x" + "f" * 5000, ["log", "thousands of digits"]),
        ("connections: " + "x" * 5000, ["'" + "x" * 59 + "… is none of"]),
        ("[" * 5000, ["nested too deeply"]),
    ],
)
def test_a_problem_is_one_sentence_with_its_place(text: str, parts: list[str]) -> None:
    sentence = problem(text)
    for part in parts:
        assert part in sentence


def test_all_problems_are_told_at_once() -> None:
    told = problems("ignored: 1\nconnections: some\nserved:\n  tcp: ['9-5']\nlimits:\n  max_sources: 1\n")
    assert sorted(sentence.split(":")[1] for sentence in told) == ["1", "2", "4", "6"]


def test_so_many_problems_are_told_as_a_person_would_read() -> None:
    assert len(problems("".join(f"key{nth}: 1\n" for nth in range(100)))) == 20


def test_every_port_may_be_named_again_and_again() -> None:
    text = ", ".join(["0-65535", "22", "20-30"] * 5_000)
    assert config.parse(f"served: {{tcp: [{text}]}}").served.tcp == frozenset(range(65_536))
    assert config.parse("served: {tcp: ['7 - 9', 8, '9-10', 22]}").served.tcp == {7, 8, 9, 10, 22}


def test_a_file_that_never_ends_is_told() -> None:
    with pytest.raises(ConfigError, match="longer than 524288 bytes"):
        config.load(Path("/dev/zero"))


def test_a_number_of_a_section_keeps_its_bounds() -> None:
    assert config.parse("lines: {repeat_seconds: 10}").lines.repeat_seconds == 10
    assert "lines.repeat_seconds" in problem("lines: {repeat_seconds: 9}")
    assert "lines.repeat_seconds" in problem("lines: {repeat_seconds: 3601}")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such configuration file; name one with -c"):
        config.load(tmp_path / "none.yaml")


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        config.load(tmp_path)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"log: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(path)


def test_a_file_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionDenied, match="may not read the configuration"):
        config.load(tmp_path / "secret.yaml")


def test_a_default_place_that_may_not_be_searched_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The directory is root's alone: what stands in it is not known, so the defaults would be a guess."""
    folder = tmp_path / "root-only"
    folder.mkdir()
    (folder / "portsentry.yaml").touch()
    monkeypatch.setattr(config, "DEFAULT_PATH", folder / "portsentry.yaml")
    folder.chmod(0)
    try:
        with unprivileged(), pytest.raises(PermissionDenied, match="may not read the configuration"):
            config.load(None)
    finally:
        folder.chmod(0o700)


def parsed_or_told(text: str) -> Settings | str:
    try:
        return config.parse(text)
    except ConfigError as error:
        return str(error)


@unhurried
@given(st.text(max_size=80))
def test_any_text_gives_settings_or_a_config_error(text: str) -> None:
    assert parsed_or_told(text)


names = st.sampled_from(["ignore", "served", "tcp", "traps", "limits", "max_sources", "log", "detectors"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names | st.integers(), below, max_size=3),
    max_leaves=8,
)


@unhurried
@given(st.dictionaries(names | st.integers() | st.none(), values, max_size=4))
def test_any_tree_gives_settings_or_a_config_error(tree: dict[object, object]) -> None:
    assert parsed_or_told(yaml.safe_dump(tree))
