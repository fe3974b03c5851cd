"""The table of known scanners: the shipped one, and an operator's own."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.config import known_scanners as module
from portsentry_py.config.known_scanners import known_scanners, parse
from portsentry_py.config.settings import Settings
from portsentry_py.errors import ConfigError, PermissionDenied
from tests.support.other_users import shared_folder, unprivileged

HEAD = "network,scanner,source,read\n"
ROW = "198.51.100.0/24,censys,its page,2026-03-29\n"


def table(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return Settings(known_scanners_table=str(path))


def test_the_shipped_table_names_each_network_once() -> None:
    rows = known_scanners(Settings())
    assert len(rows) > 400
    assert len({network for network, _ in rows}) == len(rows)
    assert {"censys", "shodan", "shadowserver", "rapid7", "onyphe"} <= {name for _, name in rows}


def test_no_table_names_nobody() -> None:
    assert known_scanners(Settings(known_scanners_table="off")) == ()


def test_an_operator_may_have_a_table_of_both_families(tmp_path: Path) -> None:
    text = f'# ours\n\n{HEAD}{ROW}2001:db8::/32,other,"our own, each night",2026-03-29\n'
    assert known_scanners(table(tmp_path / "mine.csv", text)) == (
        (ip_network("198.51.100.0/24"), "censys"),
        (ip_network("2001:db8::/32"), "other"),
    )
    assert parse("", "empty") == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ROW, "t.csv:1: '198.51.100.0/24,censys,its page,2026-03-29' is not the heading network,scanner,source,read"),
        (HEAD + ROW + "# note\n" + ROW.replace(".0/24", ".1/24"), "t.csv:4: 198.51.100.1/24 has host bits set"),
        (HEAD + ROW.replace("198.51.100.0/24", "censys.io"), "t.csv:2: 'censys.io' does not appear to be"),
        (HEAD + ROW.replace("censys", "cansys"), "t.csv:2: 'cansys' is none of binaryedge, censys"),
        (HEAD + ROW.replace("its page", ""), "t.csv:2: the source is missing"),
        (HEAD + ROW.replace("2026-03-29", "spring"), "t.csv:2: Invalid isoformat string: 'spring'"),
        (HEAD + "198.51.100.0/24,censys\n", "t.csv:2: 2 cells and not the four of network,scanner,source,read"),
        (HEAD + '198.51.100.0/24,"censys\n', "t.csv:2: unexpected end of data"),
    ],
)
def test_a_wrong_line_is_one_sentence_with_its_number(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.csv")
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith("; fix that line.")
    assert caught.value.exit_code == 78


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        known_scanners(Settings(known_scanners_table=str(tmp_path / "none.csv")))
    path = tmp_path / "latin.csv"
    path.write_bytes(b"\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        known_scanners(Settings(known_scanners_table=str(path)))
    monkeypatch.setattr(module, "_MAX_BYTES", 8)
    with pytest.raises(ConfigError, match="longer than 8 bytes"):
        known_scanners(table(path, HEAD))


def test_a_table_that_others_may_write_is_refused(tmp_path: Path) -> None:
    settings = table(tmp_path / "open.csv", HEAD)
    (tmp_path / "open.csv").chmod(0o666)
    with pytest.raises(ConfigError, match="chmod go-w"):
        known_scanners(settings)


def test_a_table_that_the_user_may_not_read_is_refused() -> None:
    with shared_folder() as folder:
        settings = table(folder / "secret.csv", HEAD)
        (folder / "secret.csv").chmod(0o600)
        with unprivileged(), pytest.raises(PermissionDenied, match="may not read the known scanners"):
            known_scanners(settings)
