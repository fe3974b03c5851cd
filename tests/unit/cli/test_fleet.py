"""`fleet`: the operator makes a fleet, and no secret is printed."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from portsentry_py.fleet import credentials
from portsentry_py.fleet.snapshot import Source, Swept, snapshot, write
from tests.support.command import Command, fails
from tests.support.fleet import NOW_US, SCANNER, ban, ban_payload, receiver

HOSTS = ("web1", "web2")
_LATE_US = 4_000_000_000_000_000


@pytest.fixture
def folder(command: Command, tmp_path: Path) -> Path:
    done = command("fleet", "init-operator", tmp_path / "fleet", "--broker", "127.0.0.1")
    assert done.code == 0, done.err
    assert "tls://127.0.0.1:4222" in done.out
    return tmp_path / "fleet"


def test_a_host_is_added_and_removed_and_no_secret_is_printed(command: Command, folder: Path) -> None:
    added = command("fleet", "add-host", folder, "web1", "--address", "192.0.2.1")
    assert added.code == 0, added.err
    path = folder / "hosts/web1.json"
    assert str(path) in added.out.replace("\n", "")
    assert credentials.read(path).seed not in added.out + added.err
    assert command("fleet", "allow", folder, "9.9.9.0/24").code == 0
    removed = command("fleet", "remove-host", folder, "web1")
    assert (removed.code, path.exists()) == (0, False)


def test_a_wrong_option_is_one_sentence(command: Command, folder: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (("add-host", folder, "x.y", "--address", "192.0.2.1"), 64, "no name of a host"),
        (("add-host", folder, "web1", "--address", "192.0.2.0/24"), 64, "a network"),
        (("remove-host", folder, "web1"), 64, "no host of this fleet"),
        (("allow", folder, "everybody"), 64, "ADDRESS"),
        (("add-host", tmp_path, "web1", "--address", "192.0.2.1"), 78, "init-operator"),
        (("init-operator", tmp_path / "b", "--broker", "192.0.2.1", "--no-tls"), 78, "everybody on the way"),
    ):
        fails(command("fleet", *words), code, text)


def test_a_host_without_the_key_of_sources_cannot_hide_them(command: Command, tmp_path: Path) -> None:
    credentials.write(tmp_path / "web1.json", credentials.Credentials("web1", ("tls://127.0.0.1:1",), "", ""))
    config = tmp_path / "config.yaml"
    config.write_text(f"fleet: {{credentials: {tmp_path / 'web1.json'}, hash_sources: true}}\n")
    fails(command("fleet", "run", "-c", config), 78, "have no key for it")


def test_status_list_and_why_read_the_state(command: Command, tmp_path: Path) -> None:
    known = receiver()
    known.take("ban", "web1", ban_payload(ban(until_us=_LATE_US)), NOW_US)
    state = tmp_path / "state.json"
    known.take("seen", "stranger", b"x", NOW_US)
    accepted = snapshot(known, "db1", "tls://x", "ban", NOW_US)
    sources = {name: Source(_LATE_US, one.reports) for name, one in accepted.sources.items()}
    sweeps = {"45.7.7.7": Swept(_LATE_US, True, False, 22, HOSTS), "45.8.8.8": Swept(_LATE_US, False, True, 80, HOSTS)}
    write(state, replace(accepted, sources=sources, sweeps=sweeps, counted=4))
    config = tmp_path / "config.yaml"
    config.write_text(f"fleet: {{state: {state}}}\n")
    shown = command("fleet", "status", "-c", config)
    assert "1 bans accepted" in shown.out
    assert "sweeps: 1 to ban, 1 to watch; 4 sources counted" in shown.out
    assert "clock +0.0 s, lag 0.0 s; 1 of 500 bans, 1 accepted, room for 199 new" in shown.out.replace("\n", " ")
    assert "?: refused: 1 unknown_host" in shown.out
    assert "web3: not heard" in shown.out
    assert command("fleet", "list", "-c", config).out == f"45.7.7.7\n{SCANNER}\n"
    out = tmp_path / "list.txt"
    assert command("fleet", "list", "-c", config, "--format", "cidr", "--output", out).out == ""
    assert out.read_text() == f"45.7.7.7/32\n{SCANNER}/32\n"
    swept = command("fleet", "why", "45.8.8.0/24", "-c", config).out
    assert "45.8.8.8: fleet_sweep, unverified, watched until" in swept
    assert "asked in vain, last for port 80: web1, web2" in swept
    assert "fleet_sweep, verified, banned until" in command("fleet", "why", "45.7.7.7", "-c", config).out
    assert "web1: verified port_scan" in command("fleet", "why", SCANNER, "-c", config).out
    assert "no host reports it" in command("fleet", "why", "45.9.9.9", "-c", config).out
    config.write_text("fleet: {state: off}\n")
    fails(command("fleet", "status", "-c", config), 78, "fleet.state is off")
    fails(command("fleet", "run", "-c", config), 78, "fleet.credentials is off")
