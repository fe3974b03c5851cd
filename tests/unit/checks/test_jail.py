"""The jail's files, the running server and the reach of a ban: each fault is seeded, named and told with its fix."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from portsentry_py.checks import jail as module
from portsentry_py.checks.jail import Fail2banHost, check_jail
from portsentry_py.checks.result import Level
from portsentry_py.config.settings import DEFAULT_LOG
from portsentry_py.errors import PermissionDenied, PortsentryError
from portsentry_py.fail2ban.client import CommandFailed, NotAnswering
from portsentry_py.fail2ban.installer import MANIFEST, install
from portsentry_py.fail2ban.pack import PackFile, pack_files
from portsentry_py.fail2ban.placing import record
from tests.support.fake_fail2ban import Answer, FakeClient

FILTER = "etc/fail2ban/filter.d/portsentry-py.conf"
STATUS = f"Status for the jail: portsentry\n|- Filter\n|  `- File list:\t{DEFAULT_LOG}\n`- Actions\n"
NO_SUCH: Answer = CommandFailed("no such parameter")
ANSWERS: Mapping[str, Answer] = {
    "status": "Status\n|- Number of jail:\t1\n`- Jail list:\tportsentry",
    "status portsentry": STATUS,
    "get portsentry banip --with-time": "",
    "get portsentry actions": "The jail portsentry has the following actions:\nnftables-tcp",
    "get portsentry action nftables-tcp chain_hook": "prerouting",
    "get portsentry action nftables-tcp chain": "<known/chain>",
    "get portsentry ignoreself": "False",
}
PUBLISHED = "table ip nat {\n  chain DOCKER {\n    tcp dport 8080 counter dnat to 172.17.0.2:80\n  }\n}\n"
PUBLISHED += "-A DOCKER ! -i docker0 -p udp -m udp --dport 5353 -j DNAT --to-destination 172.17.0.3:53\n"

Found = list[tuple[Level, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with fail2ban and our pack, and nothing that it warns of."""
    for path in ("etc/fail2ban/action.d/nftables.conf", "usr/sbin/nft", "usr/bin/fail2ban-server"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    local = "[DEFAULT]\nbanaction_allports = nftables[type=allports]\n"
    (tmp_path / "etc/fail2ban/jail.local").write_text(local)
    install(tmp_path)
    return tmp_path


def found(
    root: Path,
    answers: Mapping[str, Answer] | None = None,
    *,
    log: str = DEFAULT_LOG,
    rules: str = "",
    is_slow: bool = False,
) -> Found:
    client = FakeClient(answers={**ANSWERS, **(answers or {})})
    host = Fail2banHost(root, client, lambda: rules, lambda: is_slow)
    return [(result.level, result.text) for result in check_jail(log, host, 0)]


def levels(results: Found) -> set[str]:
    return {level for level, _ in results}


def faults(results: Found) -> list[tuple[Level, str]]:
    return [result for result in results if result[0] != "ok"]


def test_a_jail_that_bans_has_no_fault(root: Path) -> None:
    assert found(root) == [("ok", f"installed in {root}/etc/fail2ban"), ("ok", "runs, and bans with nftables-tcp")]


def test_without_fail2ban_the_jail_has_one_warning(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == [
        ("warning", f"fail2ban is not installed below {tmp_path}/none; run `apt-get install fail2ban`.")
    ]


def test_a_pack_that_was_not_installed_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "etc/fail2ban").mkdir(parents=True)
    assert found(tmp_path)[0][0] == "warning"
    assert "no jail portsentry" in found(tmp_path)[0][1]


def test_an_empty_pack_is_broken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that a ZIP has lost give such a package."""
    monkeypatch.setattr(module, "pack_files", list)
    text = "this installation holds no jail and no filter; reinstall portsentry-py."
    assert found(root) == [("broken", text)]


def test_a_missing_file_is_broken(root: Path) -> None:
    (root / FILTER).unlink()
    assert ("broken", f"{root / FILTER} is missing; {module._INSTALL}.") in found(root)


def test_an_edited_file_is_a_warning(root: Path) -> None:
    (root / FILTER).write_text("mine")
    ((level, text),) = faults(found(root))
    assert level == "warning"
    assert text.startswith(f"{root / FILTER} was edited; move your changes to a .local file")


def test_a_file_of_an_earlier_version_is_a_warning(root: Path) -> None:
    older = PackFile(next(file.target for file in pack_files() if file.target in FILTER), b"older\n")
    record(root / MANIFEST, [older])
    (root / FILTER).write_bytes(older.content)
    assert faults(found(root)) == [("warning", f"{root / FILTER} is of an earlier version; {module._INSTALL}.")]


def test_a_missing_reload_is_broken(root: Path) -> None:
    """The files are there, and the server that runs has never read them."""
    ((level, text),) = faults(found(root, {"status": "Status\n`- Jail list:\tsshd"}))
    assert level == "broken"
    assert "nobody is banned: fail2ban has no jail portsentry" in text
    assert "fail2ban install --reload" in text


@pytest.mark.parametrize(
    ("error", "level"), [(NotAnswering("it is down."), "broken"), (PermissionDenied("only root."), "warning")]
)
def test_a_server_that_does_not_answer(root: Path, error: PortsentryError, level: Level) -> None:
    ((seen, text),) = faults(found(root, {"status": error}))
    assert seen == level
    assert str(error) in text


@pytest.mark.parametrize(("log", "level"), [("/var/log/other.log", "broken"), ("-", "warning")])
def test_a_jail_that_reads_another_log(root: Path, log: str, level: Level) -> None:
    ((seen, text),) = faults(found(root, log=log))
    assert seen == level
    assert f"it reads {DEFAULT_LOG}" in text


def test_a_jail_without_an_action_is_broken(root: Path) -> None:
    empty = {"get portsentry actions": "No actions for jail portsentry"}
    words = "correct `action` in jail.local, then run `fail2ban-client reload --restart portsentry`."
    assert ("broken", f"nobody is banned: [portsentry] has no action; {words}") in found(root, empty)


def test_a_jail_that_is_disabled_beside_others_is_a_warning(root: Path) -> None:
    others = {
        "status": "`- Jail list:\tportsentry-trap",
        "status portsentry-trap": STATUS,
        "get portsentry-trap banip --with-time": "",
    }
    assert faults(found(root, others)) == [
        ("warning", "[portsentry] is disabled; portsentry-trap may ban in its place.")
    ]


def test_a_ban_action_without_its_program_is_broken(root: Path) -> None:
    """fail2ban lists such bans, and no rule carries them out."""
    (root / "etc/fail2ban/action.d/iptables-allports.conf").touch()
    (root / "etc/fail2ban/jail.local").write_text("[portsentry]\nbanaction = iptables-allports\n")
    ((level, text),) = faults(found(root))
    assert level == "broken"
    assert "the banaction of [portsentry] is iptables-allports, which needs `iptables`" in text


@pytest.mark.parametrize(
    ("hook", "chain", "is_told"),
    [
        ("input", "<known/chain>", True),
        (NO_SUCH, "INPUT", True),
        ("prerouting", "<known/chain>", False),
        (NO_SUCH, "DOCKER-USER", False),
        (NO_SUCH, NO_SUCH, False),
    ],
)
def test_forwarded_ports_that_no_ban_covers_are_a_warning(
    root: Path, hook: Answer, chain: Answer, *, is_told: bool
) -> None:
    answers = {"get portsentry action nftables-tcp chain_hook": hook, "get portsentry action nftables-tcp chain": chain}
    told = [text for _, text in faults(found(root, answers, rules=PUBLISHED)) if "forwards ports (5353, 8080)" in text]
    assert bool(told) is is_told
    assert faults(found(root, answers)) == []


def test_a_name_that_cannot_be_looked_up_in_time_is_a_warning(root: Path) -> None:
    asks = {"get portsentry ignoreself": "True"}
    ((level, text),) = faults(found(root, asks, is_slow=True))
    assert level == "warning"
    assert "set ignoreself = false" in text
    assert faults(found(root, asks)) == faults(found(root, is_slow=True)) == []


def test_the_manifest_may_be_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root reads /var/lib/portsentry-py."""

    def refuse(_path: Path) -> None:
        raise PermissionDenied("only root.")

    monkeypatch.setattr(module, "read_manifest", refuse)
    assert levels(found(root)) == {"ok"}
