"""What fail2ban answers, in the words that its versions use, and what is made of no answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.fail2ban.jails import Fail2banState, JailBan, _bans, ask
from tests.support.build import unhurried

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
GONE = "Sorry but the jail 'portsentry' does not exist\n"

Answer = tuple[int, str, str]
# A program in the place of fail2ban-client: answers from a file, by its words.
_CLIENT = """\
#!{python}
import json, sys
answers = json.load(open({answers!r}))
code, output, errors = answers.get(" ".join(sys.argv[1:]), [255, "", "unknown words " + repr(sys.argv)])
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
"""


class Client:
    """Puts a fail2ban-client on the path that gives the answers it was told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers = folder / "answers.json"
        program = folder / "fail2ban-client"
        program.write_text(_CLIENT.format(python=f"{sys.executable} -ISs", answers=str(self._answers)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    def __call__(self, answers: Mapping[str, str | Answer], socket: Path | None = None) -> Fail2banState:
        """Ask while fail2ban-client gives these answers, each by its words."""
        told = {
            words: answer if isinstance(answer, tuple) else (0, answer, "")
            for words, answer in answers.items()
        }
        self._answers.write_text(json.dumps(told))
        return ask(socket, NOW_US)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield Client(tmp_path, monkeypatch)
    monkeypatch.undo()
    time.tzset()


def answers(
    timed: str | Answer = TIMED, banned: str = "192.0.2.7 2001:db8::7 192.0.2.9"
) -> dict[str, str | Answer]:
    return {
        "status": LIST.format(count=2, names="sshd, portsentry"),
        "status portsentry": JAIL.format(name="portsentry", now=3, total=17, banned=banned),
        "get portsentry banip --with-time": timed,
    }


def test_jail_and_bans_are_told_with_their_times(client: Client) -> None:
    state = client(answers())
    assert (state.standing, state.note) == ("answers", "")
    (jail,) = state.jails
    assert (jail.name, jail.currently_banned, jail.total_banned) == ("portsentry", 3, 17)
    assert jail.logs == ("/var/log/portsentry.log",)
    since, until = "2026-11-20T12:26:11.000000Z", "2026-11-20T12:36:11.000000Z"
    assert jail.bans[0] == JailBan("192.0.2.7", since, until, 600, 371)
    assert (jail.bans[1].address, jail.bans[1].left_seconds) == ("2001:db8::7", 86171)
    assert jail.bans[2] == JailBan("192.0.2.9", since, permanent=True)


def test_times_are_of_this_machines_zone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    (jail,) = client(answers("192.0.2.7 \t2026-11-20 21:26:11 + 600 = 2026-11-20 21:36:11\n")).jails
    assert jail.bans == (
        JailBan("192.0.2.7", "2026-11-20T12:26:11.000000Z", "2026-11-20T12:36:11.000000Z", 600, 371),
    )


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
def test_a_clock_that_cannot_be_ours_gives_no_time_left(client: Client, line: str, left: int | None) -> None:
    (ban,) = client(answers(line)).jails[0].bans
    assert (ban.left_seconds, ban.ban_seconds, ban.permanent) == (left, 600, False)


def test_all_our_jails_are_asked_and_no_others(client: Client) -> None:
    told = answers()
    told["status"] = LIST.format(count=3, names="sshd, portsentry-trap, portsentry, xportsentry")
    told["status portsentry-trap"] = JAIL.format(name="portsentry-trap", now=0, total=0, banned="")
    told["get portsentry-trap banip --with-time"] = "\n"
    state = client(told)
    assert [(jail.name, len(jail.bans)) for jail in state.jails] == [
        ("portsentry", 3),
        ("portsentry-trap", 0),
    ]


def test_another_socket_is_named_to_fail2ban(client: Client) -> None:
    told = {f"-s /run/x.sock {words}": answer for words, answer in answers().items()}
    assert len(client(told, Path("/run/x.sock")).jails[0].bans) == 3
    told["-s /run/x.sock status"] = (255, "", "Failed to access socket path: /run/x.sock.")
    assert "at /run/x.sock" in client(told, Path("/run/x.sock")).note


def test_a_network_that_an_administrator_banned_is_told(client: Client) -> None:
    line = "192.0.2.0/24 \t2026-11-20 12:26:11 + 600 = 2026-11-20 12:36:11"
    assert [ban.address for ban in client(answers(line)).jails[0].bans] == ["192.0.2.0/24"]


def test_without_times_the_bans_are_told_all_the_same(client: Client) -> None:
    refused = (255, "Sorry but the command is invalid\n", "")
    listed = "192.0.2.7 2001:DB8::7 fe80::1%eth0 x 192.0.2.9"
    (jail,) = client(answers(refused, listed)).jails
    assert jail.bans == tuple(JailBan(address) for address in ("192.0.2.7", "2001:db8::7", "192.0.2.9"))
    assert "0.11" in jail.note


def test_lines_that_make_no_sense_are_said_and_nobody_is_left_out(client: Client) -> None:
    strange = "scanner.example \t2026-11-20 12:26:11 + 600 = 2026-11-20 12:36:11\nfe80::1%eth0 \x1b[2J\n...\n"
    (jail,) = client(answers(TIMED.splitlines()[0] + "\n" + strange)).jails
    assert [ban.address for ban in jail.bans] == ["192.0.2.7", "2001:db8::7", "192.0.2.9"]
    assert jail.note.startswith("3 lines")


def test_a_jail_that_goes_away_meanwhile_does_not_hide_the_others(client: Client) -> None:
    told = answers()
    told["status"] = LIST.format(count=2, names="portsentry, portsentry-trap")
    told["status portsentry-trap"] = (
        255,
        GONE,
        "2026-11-20 12:26:11,494 fail2ban [1]: ERROR   NOK: ('x',)\n",
    )
    here, gone = client(told).jails
    assert len(here.bans) == 3
    assert (gone.currently_banned, gone.bans) == (None, ())
    assert "NOK: ('x',)" in gone.note
    assert "12:26:11" not in gone.note


def test_no_jail_of_ours_says_how_to_arm_it(client: Client) -> None:
    for text in (LIST.format(count=1, names="sshd"), LIST.format(count=0, names=""), "gibberish"):
        state = client({"status": text})
        assert (state.standing, state.jails) == ("answers", ())
        assert "portsentry-py fail2ban install" in state.note


HEAD = "2026-11-20 12:26:11,896 fail2ban                [7141]: ERROR   "


@pytest.mark.parametrize(
    ("errors", "standing", "fix"),
    [
        ("Permission denied to socket: /x, (you must be root)", "forbidden", "run this as root"),
        ("Failed to access socket path: /x. Is fail2ban running?", "silent", "systemctl start fail2ban"),
        ("[[Errno 111] Connection refused] Unable to contact server. Is it running?", "silent", "systemctl"),
        ("Base\x1b[2J \u200b directory does not exist", "failed", "(Base?[2J ? directory does not exist)"),
        ("", "failed", "no message"),
    ],
)
def test_no_answer_is_one_sentence(client: Client, errors: str, standing: str, fix: str) -> None:
    state = client({"status": (255, "", HEAD + errors + "\n" if errors else "")})
    assert (state.standing, state.jails) == (standing, ())
    assert fix in state.note
    assert state.note.isprintable()
    assert HEAD[:10] not in state.note


def test_whoever_is_not_root_is_told_that_it_may_run_all_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    state = client({"status": (255, "", "Failed to access socket path: /x. Is fail2ban running?")})
    assert "run this as root" in state.note


def test_a_server_that_ends_in_between_keeps_what_was_said(client: Client) -> None:
    silent = (255, "", "Unable to contact server. Is it running?")
    told = {**answers(), "status": LIST.format(count=2, names="portsentry, portsentry-trap")}
    for words in ("status portsentry-trap", "get portsentry-trap banip --with-time"):
        state = client({**told, words: silent})
        assert (state.standing, [jail.name for jail in state.jails]) == ("silent", ["portsentry"])
        told["status portsentry-trap"] = JAIL.format(name="portsentry-trap", now=0, total=0, banned="")


def test_fail2ban_absent_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state = ask(None, NOW_US)
    assert (state.standing, state.jails) == ("absent", ())
    assert "apt-get install fail2ban" in state.note


def test_a_client_that_hangs_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("fail2ban-client", 10)

    monkeypatch.setattr(subprocess, "run", hang)
    state = client({})
    assert (state.standing, state.jails) == ("silent", ())
    assert "10 s" in state.note


def test_a_client_that_cannot_be_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "fail2ban-client"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    state = ask(None, NOW_US)
    assert (state.standing, "reinstall" in state.note) == ("failed", True)


@unhurried
@given(st.text() | st.lists(st.sampled_from([*TIMED.split(), "\t", " ", "\n", "+", "=", "٣"])).map("".join))
def test_garbage_in_the_list_of_bans_never_raises(text: str) -> None:
    bans, strange = _bans(text, NOW_US)
    assert len(bans) + strange == len([line for line in text.splitlines() if line.strip()])
    assert all(str(ban).isascii() for ban in bans)
