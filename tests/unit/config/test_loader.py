"""The configuration file: sensible when it is missing, exact when it is not, every problem at once."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.config import loader
from portsentry_py.config.settings import Detectors, PortScan, Served, Settings, Slow, Traps
from portsentry_py.errors import ConfigError, PermissionDenied
from tests.support.build import no_deadline
from tests.support.other_users import unprivileged


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loader.parse(text, "file")
    return str(caught.value).splitlines()


def test_a_missing_file_at_the_default_place_means_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "none.yaml")
    assert loader.load(None) == Settings()
    (tmp_path / "none.yaml").write_text("connections: 'off'\n", encoding="utf-8")
    assert loader.load(None).connections == "off"


def test_every_kind_of_value_is_read() -> None:
    settings = loader.parse(
        """
        interfaces: eth0
        log: "-"
        connections: all
        served: {udp: 53}
        traps: {tcp: [], ban_on: first, listen: yes}
        detectors: {port_scan: {min_ports: 5}, slow: {alpha: 0.01}}
        lines: {repeat_seconds: 10}
        capture: {workers: 4}
        """
    )
    assert (settings.interfaces, settings.log, settings.connections) == (("eth0",), "-", "all")
    assert settings.served == Served(udp=frozenset({53}))
    assert settings.traps == Traps(tcp=frozenset(), ban_on="first", listen=True)
    assert settings.detectors == Detectors(port_scan=PortScan(min_ports=5), slow=Slow(alpha=0.01))
    assert (settings.lines.repeat_seconds, settings.capture.workers) == (10, 4)
    assert settings.limits == Settings().limits


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ignored: []", "file:1: ignored: unknown key; did you mean ignore?"),
        ("traps:\n  tpc: [1]", "file:2: traps.tpc: unknown key; did you mean tcp?"),
        ("served: {zzzz: 1}", "file:1: served.zzzz: unknown key; known here: tcp, udp."),
        ("5: 1", "file:1: 5: unknown key; known here: "),
        ('"\\e[31m": 1', "file:1: ?[31m: unknown key; known here: "),
        ("connections: some", "file:1: connections: 'some' is none of 'unserved', 'all' or 'off'."),
        ("capture: {workers: 3}", "file:1: capture.workers: 3 is none of 'auto', 1, 2, 4 or 8."),
        ("capture: {workers: '2'}", "file:1: capture.workers: '2' is none of "),
        ("limits: 5", "file:1: limits: 5 is not a section; write its keys below it, each with a value."),
        ("detectors:\n  slow: []", "file:2: detectors.slow: [] is not a section; "),
        ("lines: {repeat_seconds: 9}", "file:1: lines.repeat_seconds: 9: input should be greater than or equal to 10."),
        (
            "lines: {repeat_seconds: 3601}",
            "file:1: lines.repeat_seconds: 3601: input should be less than or equal to 3600.",
        ),
        ("detectors: {slow: {alpha: .nan}}", "file:1: detectors.slow.alpha: nan: input should be "),
        ("limits: {max_sources: 16.5}", "file:1: limits.max_sources: 16.5: input should be a valid integer."),
        ("limits: {max_sources: many}", "file:1: limits.max_sources: 'many': input should be "),
        ("limits: {max_sources: true}", "file:1: limits.max_sources: True: input should be "),
        ("traps: {listen: maybe}", "file:1: traps.listen: 'maybe': input should be a valid boolean"),
        ("interfaces: [1]", "file:1: interfaces.0: 1: input should be a valid string."),
        ("log: [a, b]", "file:1: log: ['a', 'b']: input should be a valid string."),
        ("state: true", "file:1: state: True: input should be a valid string."),
        ("log: 0x" + "f" * 5000, "file:1: log: a number of thousands of digits: input should be "),
        ("log: /a\nlog: /b", "file:2: log: given twice, first in line 1; keep one."),
    ],
)
def test_a_problem_is_one_sentence_with_its_place(text: str, sentence: str) -> None:
    (found,) = problems(text)
    assert found.startswith(sentence)


def test_all_problems_are_reported_at_once() -> None:
    found = problems("ignored: 1\nconnections: some\nserved:\n  tcp: ['9-5']\nlimits:\n  max_sources: 1\n")
    assert sorted(sentence.split(":")[1] for sentence in found) == ["1", "2", "4", "6"]


def test_at_most_twenty_problems_are_reported() -> None:
    assert len(problems("".join(f"key{nth}: 1\n" for nth in range(100)))) == 20


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/zero", "longer than 524288 bytes; name the right file with -c."),
        ("none.yaml", "there is no such configuration file; name one with -c."),
        (".", "cannot read the configuration (Is a directory); name a file with -c."),
        ("latin1.yaml", "not UTF-8 text (byte 5); save it as UTF-8."),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "latin1.yaml").write_bytes(b"log: \xff\xfe\n")
    with pytest.raises(ConfigError) as caught:
        loader.load(tmp_path / path)
    assert str(caught.value) == f"{tmp_path / path}: {reason}"


def test_a_default_place_that_the_user_may_not_search_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether there is a file is unknown, so the defaults would be a guess."""
    folder = tmp_path / "root-only"
    folder.mkdir()
    (folder / "portsentry.yaml").touch()
    monkeypatch.setattr(loader, "DEFAULT_PATH", folder / "portsentry.yaml")
    folder.chmod(0)
    try:
        with unprivileged(), pytest.raises(PermissionDenied, match="may not read the configuration"):
            loader.load(None)
    finally:
        folder.chmod(0o700)


names = st.sampled_from(["ignore", "served", "tcp", "traps", "limits", "max_sources", "log", "detectors"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names | st.integers(), below, max_size=3),
    max_leaves=8,
)


trees = st.dictionaries(names | st.integers() | st.none(), values, max_size=4)


@no_deadline
@given(st.text(max_size=80) | trees.map(yaml.safe_dump))
def test_any_text_gives_settings_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(loader.parse(text), Settings)
