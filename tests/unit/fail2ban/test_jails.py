"""What fail2ban answers about our jails, in the words of its versions, becomes states and notes."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.errors import Fail2banError, PermissionDenied
from portsentry_py.fail2ban.client import CommandFailed, JailNotLoaded, NotAnswering, NotInstalled
from portsentry_py.fail2ban.jails import Fail2banState, JailBan, _bans, read_jails
from tests.support.build import no_deadline
from tests.support.fake_fail2ban import Answer, FakeClient

NOW_US = round(datetime(2026, 11, 20, 12, 30, tzinfo=timezone.utc).timestamp()) * 1_000_000

LIST = "Status\n|- Number of jail:\t{count}\n`- Jail list:\t{names}\n"
JAIL = """\
Status for the jail: {name}
|- Filter
|  |- Currently failed:\t0
|  |- Total failed:\t2
|  `- File list:\t/var/log/portsentry.log
`- Actions
   |- Currently banned:\t{now}
   |- Total banned:\t{total}
   `- Banned IP list:\t{banned}
"""
TIMED = """\
192.0.2.7 \t2026-11-20 12:26:11 + 600 = 2026-11-20 12:36:11
2001:db8::7 \t2026-11-20 12:26:11 + 86400 = 2026-11-21 12:26:11
192.0.2.9 \t2026-11-20 12:26:11 + -1 = 9999-12-31 23:59:59
"""
TWO_JAILS = LIST.format(count=2, names="portsentry, portsentry-trap")
EMPTY_JAIL = JAIL.format(name="portsentry-trap", now=0, total=0, banned="")


@pytest.fixture(autouse=True)
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def answers(timed: Answer = TIMED, banned: str = "192.0.2.7 2001:db8::7 192.0.2.9") -> dict[str, Answer]:
    return {
        "status": LIST.format(count=2, names="sshd, portsentry"),
        "status portsentry": JAIL.format(name="portsentry", now=3, total=17, banned=banned),
        "get portsentry banip --with-time": timed,
    }


def read(given: Mapping[str, Answer]) -> Fail2banState:
    return read_jails(FakeClient(answers=given), NOW_US)


def test_a_jail_has_its_numbers_and_its_bans_have_their_times() -> None:
    state = read(answers())
    assert (state.standing, state.note) == ("answers", "")
    (jail,) = state.jails
    assert (jail.name, jail.currently_banned, jail.total_banned) == ("portsentry", 3, 17)
    assert jail.logs == ("/var/log/portsentry.log",)
    since, until = "2026-11-20T12:26:11.000000Z", "2026-11-20T12:36:11.000000Z"
    assert jail.bans[0] == JailBan("192.0.2.7", since, until, 600, 371)
    assert (jail.bans[1].address, jail.bans[1].left_seconds) == ("2001:db8::7", 86171)
    assert jail.bans[2] == JailBan("192.0.2.9", since, permanent=True)


def test_times_are_in_the_time_zone_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    (jail,) = read(answers("192.0.2.7 \t2026-11-20 21:26:11 + 600 = 2026-11-20 21:36:11\n")).jails
    assert jail.bans == (JailBan("192.0.2.7", "2026-11-20T12:26:11.000000Z", "2026-11-20T12:36:11.000000Z", 600, 371),)


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("192.0.2.7 \t2026-11-20 12:20:00 + 600 = 2026-11-20 12:30:00", 0),
        ("192.0.2.7 \t2026-11-20 12:19:58 + 600 = 2026-11-20 12:29:58", 0),
        ("192.0.2.7 \t2026-11-20 08:20:00 + 600 = 2026-11-20 08:30:00", None),
        ("192.0.2.7 \t2026-11-20 18:20:00 + 600 = 2026-11-20 18:30:00", None),
        ("192.0.2.7 \t2026-11-20 18:20:00 + 600 = 2026-11-31 18:30:00", None),
    ],
)
def test_a_clock_that_cannot_be_ours_gives_no_time_left(line: str, left: int | None) -> None:
    (ban,) = read(answers(line)).jails[0].bans
    assert (ban.left_seconds, ban.ban_seconds, ban.permanent) == (left, 600, False)


def test_only_our_jails_are_read() -> None:
    given = answers()
    given["status"] = LIST.format(count=3, names="sshd, portsentry-trap, portsentry, xportsentry")
    given["status portsentry-trap"] = EMPTY_JAIL
    given["get portsentry-trap banip --with-time"] = "\n"
    assert [(jail.name, len(jail.bans)) for jail in read(given).jails] == [("portsentry", 3), ("portsentry-trap", 0)]


def test_a_ban_can_be_of_a_network() -> None:
    line = "192.0.2.0/24 \t2026-11-20 12:26:11 + 600 = 2026-11-20 12:36:11"
    assert [ban.address for ban in read(answers(line)).jails[0].bans] == ["192.0.2.0/24"]


def test_bans_without_times_are_kept() -> None:
    listed = "192.0.2.7 2001:DB8::7 fe80::1%eth0 x 192.0.2.9"
    (jail,) = read(answers(CommandFailed("the command is invalid."), listed)).jails
    assert jail.bans == tuple(JailBan(address) for address in ("192.0.2.7", "2001:db8::7", "192.0.2.9"))
    assert "0.11" in jail.note


def test_unreadable_lines_are_counted_and_no_address_is_lost() -> None:
    strange = "scanner.example \t2026-11-20 12:26:11 + 600 = 2026-11-20 12:36:11\nfe80::1%eth0 \x1b[2J\n...\n"
    (jail,) = read(answers(TIMED.splitlines()[0] + "\n" + strange)).jails
    assert [ban.address for ban in jail.bans] == ["192.0.2.7", "2001:db8::7", "192.0.2.9"]
    assert jail.note.startswith("3 lines")


def test_a_jail_that_disappears_does_not_hide_the_others() -> None:
    lost = JailNotLoaded("portsentry-trap")
    here, gone = read({**answers(), "status": TWO_JAILS, "status portsentry-trap": lost}).jails
    assert len(here.bans) == 3
    assert (gone.currently_banned, gone.bans, gone.note) == (None, (), str(lost))


@pytest.mark.parametrize("text", [LIST.format(count=1, names="sshd"), LIST.format(count=0, names=""), "text"])
def test_without_a_jail_of_ours_the_note_names_the_fix(text: str) -> None:
    assert read({"status": text}) == Fail2banState("answers", str(JailNotLoaded("portsentry")))


@pytest.mark.parametrize(
    ("error", "standing"),
    [
        (NotInstalled(), "absent"),
        (NotAnswering("silent."), "silent"),
        (PermissionDenied("only root."), "forbidden"),
        (CommandFailed("broken."), "failed"),
        (Fail2banError("something else."), "failed"),
    ],
)
def test_an_error_becomes_the_standing_and_the_note(error: Fail2banError, standing: str) -> None:
    state = read({"status": error})
    assert (state.standing, state.note, state.jails) == (standing, str(error), ())


def test_a_server_that_stops_in_between_keeps_the_jails_that_were_read() -> None:
    given = {**answers(), "status": TWO_JAILS}
    for command in ("status portsentry-trap", "get portsentry-trap banip --with-time"):
        state = read({**given, command: NotAnswering("silent.")})
        assert (state.standing, [jail.name for jail in state.jails]) == ("silent", ["portsentry"])
        given["status portsentry-trap"] = EMPTY_JAIL


@no_deadline
@given(st.text() | st.lists(st.sampled_from([*TIMED.split(), "\t", " ", "\n", "+", "=", "٣"])).map("".join))
def test_garbage_in_the_list_of_bans_never_raises(text: str) -> None:
    bans, unreadable = _bans(text, NOW_US)
    assert len(bans) + unreadable == len([line for line in text.splitlines() if line.strip()])
    assert all(str(ban).isascii() for ban in bans)
