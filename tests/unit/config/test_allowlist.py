"""The allowlist keeps what an operator wrote, refuses what others could write, and loses no entry."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest

from portsentry_py.config import allowlist
from portsentry_py.config.allowlist import Entry, add, overlap, read, remove
from portsentry_py.config.settings import Network
from portsentry_py.errors import ConfigError, OutputError, PermissionDenied
from tests.support.build import FRIEND, SCANNER, micros
from tests.support.other_users import shared_folder, unprivileged

NOW_US = micros(0)
HOUR_US = 3_600_000_000


def network(text: str = SCANNER) -> Network:
    return ip_network(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc/allowlist"


def test_a_missing_file_allows_nobody(path: Path) -> None:
    assert read(path) == ()


def test_an_entry_is_read_as_it_was_written(path: Path) -> None:
    entry = Entry(network("2001:db8::/48"), NOW_US + HOUR_US, "the office # 2")
    add(path, entry, NOW_US)
    assert read(path) == (entry,)
    assert oct(path.stat().st_mode & 0o777) == "0o644", "the sensor's user has to read it"
    assert [*path.parent.iterdir()] == [path], "neither a lock nor a half-written file stays behind"


def test_what_a_person_wrote_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"# mine\n\n{FRIEND} # Ann\n{SCANNER}  2026-01-01T00:00:00Z\n10.0.0.0/8\n")
    add(path, Entry(network()), NOW_US)
    remove(path, network("10.0.0.0/8"), NOW_US)
    assert path.read_text() == f"# mine\n\n{FRIEND} # Ann\n{SCANNER}\n"


def test_an_entry_replaces_the_older_one_of_its_network(path: Path) -> None:
    add(path, Entry(network(), None, "old"), NOW_US)
    add(path, Entry(network(), NOW_US + HOUR_US, "new"), NOW_US)
    assert [entry.reason for entry in read(path)] == ["new"]


def test_an_entry_ends_and_then_leaves_the_file(path: Path) -> None:
    entry = Entry(network(), NOW_US + HOUR_US)
    assert entry.holds(NOW_US + HOUR_US - 1)
    assert not entry.holds(NOW_US + HOUR_US)
    add(path, entry, NOW_US)
    add(path, Entry(network(FRIEND)), NOW_US + HOUR_US)
    assert [other.name for other in read(path)] == [FRIEND]


def test_a_reason_stays_on_its_line(path: Path) -> None:
    add(path, Entry(network(), None, f"a\n{FRIEND}\x1b[2J" + "x" * 500), NOW_US)
    (entry,) = read(path)
    assert entry.network == network()
    assert len(entry.reason) <= 201
    assert entry.reason.isprintable()


def test_two_commands_at_once_lose_no_entry(path: Path) -> None:
    names = [f"203.0.113.{last}" for last in range(40)]
    with ThreadPoolExecutor(8) as commands:
        list(commands.map(lambda name: add(path, Entry(network(name)), NOW_US), names))
    assert sorted(entry.name for entry in read(path)) == sorted(names)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("gateway", "'gateway' is not an IP address or network"),
        ("10.0.0.1/8", "(bits are set after the prefix); write 10.0.0.0/8"),
        (f"{SCANNER} tomorrow", "'tomorrow' is no end such as 2027-01-31T12:00:00Z"),
        (f"{SCANNER} for ever", "'for ever' is no end such as 2027-01-31T12:00:00Z"),
    ],
)
def test_a_wrong_line_is_one_sentence_with_its_number(path: Path, line: str, problem: str) -> None:
    path.parent.mkdir()
    path.write_text(f"# mine\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert problem in str(caught.value)
    assert str(caught.value).endswith("; write NETWORK [UNTIL] [# REASON].")
    with pytest.raises(ConfigError):
        add(path, Entry(network()), NOW_US)
    assert path.read_text() == f"# mine\n{line}\n", "nothing is lost"


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    add(path, Entry(network()), NOW_US)
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write it"):
        read(path)


def test_a_link_is_refused_and_stays(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "other")
    (tmp_path / "other").write_text(f"{FRIEND}\n")
    with pytest.raises(ConfigError, match="the allowlist is a symbolic link; name its target in allowlist"):
        add(path, Entry(network()), NOW_US)
    assert path.is_symlink()


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the allowlist"):
        read(tmp_path)


def test_a_full_list_takes_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowlist, "_MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="the allowlist is full"):
        add(path, Entry(network()), NOW_US)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the allowlist"):
        add(tmp_path / "file/allowlist", Entry(network()), NOW_US)


def test_a_user_without_the_right_changes_nothing() -> None:
    with shared_folder() as folder:
        add(folder / "allowlist", Entry(network()), NOW_US)
        with unprivileged():
            assert read(folder / "allowlist")
            with pytest.raises(PermissionDenied, match="you may not write the allowlist; run as root"):
                remove(folder / "allowlist", network(), NOW_US)
        (folder / "allowlist").chmod(0o600)
        with unprivileged(), pytest.raises(PermissionDenied, match="you may not read the allowlist"):
            read(folder / "allowlist")


def test_networks_of_two_families_have_no_address_in_common() -> None:
    assert overlap(network("0.0.0.0/0"), network())
    assert not overlap(network("::/0"), network())
