"""Each step that failed has a hint: the cause that this host shows, and the fix."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest

from portsentry_py.checks.drill import hints as module
from portsentry_py.checks.drill.addresses import Target
from portsentry_py.checks.drill.found import Found
from portsentry_py.checks.drill.hints import Where, hints
from portsentry_py.checks.drill.row import Row
from portsentry_py.checks.drill.sensor_view import SensorView
from portsentry_py.checks.jail import Fail2banHost
from portsentry_py.checks.result import Result, broken, warning
from portsentry_py.config.loader import parse
from portsentry_py.config.settings import Settings
from portsentry_py.errors import Fail2banError
from tests.support.drill_rows import SOURCE, SOURCE6, TARGET, banned, event, tried
from tests.support.fake_fail2ban import Answer, FakeClient

# The time of the lines of `event`.
_NOW_US = round(datetime(2026, 11, 20, 8, 41, 58, tzinfo=timezone.utc).timestamp() * 1_000_000)
_ACTIONS = "The jail portsentry has the following actions:\nnftables-tcp, nftables-udp"
_ANSWERS: Mapping[str, Answer] = {"get portsentry actions": _ACTIONS, "get portsentry ignoreip": "No IP address"}
_NOT_BANNED: Row = banned(jail="", ban_seconds=None, tcp=None, udp=None, unbanned=None, let_in=None)


def found(*rows: Row, **fields: object) -> Found:
    """A drill over one wire on which packets arrived, with a sensor that watches it."""
    made = Found(list(rows), armed=True, sensor=SensorView((5,), frozenset({"eth0"})))
    made.targets, made.arrived, made.reached = (Target(TARGET, "eth0"),), True, {(4, "tcp"), (4, "udp")}
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def healthy_jail(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """What `check` finds about the jail; a test may add a fault."""
    findings = [Result("jail", "runs")]
    monkeypatch.setattr(module, "check_jail", lambda *_: iter(findings))
    return findings


def where(
    root: Path = Path("/nonexistent"),
    answers: Mapping[str, Answer] | None = None,
    *,
    settings: Settings | None = None,
    now_us: int = _NOW_US,
) -> Where:
    client = FakeClient(answers={**_ANSWERS, **(answers or {})})
    return Where(settings or parse("log: /nonexistent/log"), Fail2banHost(root, client), now_us)


def test_a_drill_without_a_fault_has_no_hint() -> None:
    assert hints(found(banned()), where()) == []


def test_a_sensor_that_does_not_run_is_the_only_hint() -> None:
    (hint,) = hints(found(tried(), sensor=SensorView()), where())
    assert hint.startswith("no sensor runs in this network; run `")


@pytest.mark.parametrize(
    ("fields", "settings", "words"),
    [
        (
            {"sensor": SensorView((5,), frozenset({"eth7", "eth8"}))},
            "",
            "the sensor watches eth7, eth8, and strangers come in on eth0; correct `interfaces`",
        ),
        (
            {"sensor": SensorView((5,), logs=(Path("/x/log"),))},
            "",
            "the sensor writes to /x/log, and the configuration",
        ),
        ({"arrived": False}, "", "load the modules act_mirred and cls_u32"),
        ({}, "profile: psad\n", "syn IPv4: the profile psad has other rules"),
        ({}, "", "syn IPv4: the sensor runs and writes no line; run `portsentry-py check --live`"),
    ],
)
def test_without_a_line_the_cause_is_the_first_that_shows(fields: dict[str, object], settings: str, words: str) -> None:
    (hint,) = hints(found(tried(), **fields), where(settings=parse(f"{settings}log: /nonexistent/log")))
    assert words in hint


def test_a_line_of_another_type_is_told() -> None:
    (hint,) = hints(found(banned(line=event(scan_type="fin"))), where())
    assert hint == f"syn IPv4: the line says scan fin; others may use {SOURCE}, so run the drill again."


def test_a_verdict_without_a_ban_names_its_reason() -> None:
    watched = tried(line=event(verdict="watch", reason="spoofed_twins"))
    (hint,) = hints(found(watched), where())
    assert "the verdict is watch (spoofed_twins), so nobody is banned" in hint


@pytest.mark.parametrize(
    ("ignore", "allowed", "words"),
    [
        (
            "198.51.100.0/24",
            "",
            f"`ignore` in the configuration has 198.51.100.0/24, which covers the drill's {SOURCE}",
        ),
        ("10.0.0.0/8", "198.51.0.0/16", "run `portsentry-py deny 198.51.0.0/16`"),
        ("10.0.0.0/8", "203.0.113.9", "the sensor's allowlist covers the drill's"),
    ],
)
def test_an_allowlist_that_covers_the_drill_is_named(tmp_path: Path, ignore: str, allowed: str, words: str) -> None:
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(f"{allowed}\n")
    allowlist.chmod(0o644)
    settings = parse(f"ignore: [{ignore}]\nallowlist: {allowlist}")
    (hint,) = hints(found(tried(line=event(verdict="ignore", reason="ignore_list"))), where(settings=settings))
    assert words in hint


@pytest.mark.parametrize(
    "finding",
    [
        broken("jail", "nobody is banned: it reads /other, and the log is /log; set logpath in jail.local."),
        warning("jail", "[portsentry] is disabled; portsentry-strict may ban in its place."),
        warning("jail", "fail2ban is not installed; run `apt-get install fail2ban`."),
    ],
)
def test_what_check_says_of_the_jail_comes_first(healthy_jail: list[Result], finding: Result) -> None:
    healthy_jail += [warning("jail", "something small"), finding]
    assert hints(found(_NOT_BANNED), where()) == [finding.text]


def test_a_fail2ban_that_does_not_answer_is_told_once(healthy_jail: list[Result]) -> None:
    healthy_jail.append(broken("jail", "worse"))
    assert hints(found(_NOT_BANNED, _NOT_BANNED, fail2ban="it hangs."), where()) == ["it hangs."]


@pytest.mark.parametrize("seconds", [-3600, 3600])
@pytest.mark.parametrize("row", [_NOT_BANNED, banned()], ids=["not banned", "banned"])
@pytest.mark.usefixtures("healthy_jail")
def test_a_clock_that_is_wrong_is_seen_in_the_line(row: Row, seconds: int) -> None:
    (hint,) = hints(found(row), where(now_us=_NOW_US + seconds * 1_000_000))
    assert "a line of this moment is dated 2026-11-20T08:41:57.408980Z" in hint
    assert "correct the clock" in hint


@pytest.mark.usefixtures("healthy_jail")
def test_an_ignoreip_that_covers_the_drill_is_named() -> None:
    answer = "These IP addresses/networks are ignored:\n|- 127.0.0.0/8\n`- 198.51.100.0/24"
    (hint,) = hints(found(_NOT_BANNED), where(answers={"get portsentry ignoreip": answer}))
    assert "fail2ban's ignoreip has 198.51.100.0/24" in hint


@pytest.mark.usefixtures("healthy_jail")
def test_a_ban_that_nothing_explains_leads_to_the_log_of_fail2ban() -> None:
    silent = {"get portsentry ignoreip": Fail2banError("no")}
    (hint,) = hints(found(_NOT_BANNED), where(answers=silent))
    assert f"look for {SOURCE} in /var/log/fail2ban.log" in hint


def test_a_ban_action_without_its_program_is_named(tmp_path: Path) -> None:
    (hint,) = hints(found(banned(tcp=False)), where(tmp_path))
    assert "[portsentry] bans with nftables-udp, which needs nft, and that is not installed" in hint


@pytest.fixture
def with_nft(tmp_path: Path) -> Path:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/nft").touch()
    return tmp_path


def test_a_ban_in_the_list_alone_is_named(with_nft: Path) -> None:
    (hint,) = hints(found(banned(tcp=False, udp=False)), where(with_nft))
    assert f"fail2ban lists {SOURCE} as banned, but the kernel has no rule about it" in hint


def test_a_rule_that_covers_one_transport_is_named(with_nft: Path) -> None:
    (hint,) = hints(found(banned(udp=False), rules=("tcp drop",)), where(with_nft))
    assert "(tcp drop), but udp packets of it are answered" in hint


def test_forwarded_ports_that_answer_are_named() -> None:
    (hint,) = hints(found(banned(forwarded=(8080, 9090))), where())
    assert "a banned source still reaches the forwarded ports 8080, 9090" in hint


def test_a_ban_that_stays_is_named() -> None:
    assert (
        "syn IPv4: the ban was lifted and packets are still refused" in hints(found(banned(let_in=False)), where())[0]
    )
    assert hints(found(banned(unbanned=False), fail2ban="gone."), where()) == ["gone."]


def test_a_family_in_which_nothing_answers_is_no_proof() -> None:
    made = found(banned(tcp=None, udp=None, let_in=None), banned(SOURCE6), reached={(6, "tcp")})
    (hint,) = hints(made, where())
    assert "not tried whether a ban blocks over IPv4" in hint
    assert "rp_filter of eth0 is 1" in hint
    made.armed = False
    assert hints(made, where()) == []


def test_another_program_in_the_log_is_named_besides() -> None:
    assert hints(found(banned(), strange=True), where()) == [
        "another program writes about scans into /nonexistent/log; let each sensor write a log of its own."
    ]
