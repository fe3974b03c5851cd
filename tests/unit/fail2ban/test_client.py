"""Every failure of fail2ban's programs is one error with one sentence."""

import os
from pathlib import Path

import pytest

from portsentry_py.errors import Fail2banError, PermissionDenied, PortsentryError
from portsentry_py.fail2ban.client import (
    CommandFailed,
    Fail2banClient,
    JailNotLoaded,
    NotAnswering,
    NotInstalled,
    run,
    server_version,
)
from tests.support.programs import write_program

HEAD = "2026-11-20 12:26:11,896 fail2ban                [7141]: ERROR   "


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, script: str, name: str = "fail2ban-client") -> None:
    write_program(folder / name, f"#!/bin/sh\n{script}\n")


def failing(folder: Path, errors: str, output: str = "") -> None:
    program(folder, f"echo '{output}'\necho '{errors}' >&2\nexit 255")


def test_the_answer_is_the_standard_output(path: Path) -> None:
    program(path, 'echo "$*"; echo noise >&2')
    assert Fail2banClient().ask("status", "portsentry") == "status portsentry\n"
    asked = Fail2banClient(Path("/run/x.sock"), Path("/x/etc")).ask("ping")
    assert asked == "-s /run/x.sock -c /x/etc ping\n"


@pytest.mark.parametrize("version", ["1.0.2", "0.11.2", "1.1.2.dev1"])
def test_the_version_is_the_servers(path: Path, version: str) -> None:
    program(path, f"echo 'Fail2Ban v{version}'", "fail2ban-server")
    assert server_version() == version


def test_a_server_may_name_no_version(path: Path) -> None:
    program(path, "echo Fail2Ban", "fail2ban-server")
    assert server_version() == ""


@pytest.mark.parametrize("name", ["fail2ban-client", "fail2ban-regex"])
def test_a_missing_program_is_named_with_its_package(path: Path, name: str) -> None:
    assert path.is_dir()
    with pytest.raises(NotInstalled) as caught:
        run(name)
    assert str(caught.value) == f"{name} is not installed; run `apt-get install fail2ban`."
    assert caught.value.exit_code == 69


@pytest.mark.parametrize(
    ("errors", "kind", "sentence"),
    [
        (
            "Permission denied to socket: /x, (you must be root)",
            PermissionDenied,
            "fail2ban answers only root; run this as root.",
        ),
        ("[Errno 13] Permission denied: /x", PermissionDenied, "run this as root"),
        (
            "Failed to access socket path: /x. Is fail2ban running?",
            NotAnswering,
            "(Failed to access socket path: /x. Is fail2ban running?); run `systemctl start fail2ban`",
        ),
        (
            "[[Errno 111] Connection refused] Unable to contact server. Is it running?",
            NotAnswering,
            "systemctl start fail2ban",
        ),
        (
            "Base\033[2J \u200b directory does not exist",
            CommandFailed,
            "fail2ban-client failed (Base?[2J ? directory does not exist); look into",
        ),
        ("x" * 10_000, CommandFailed, f"({'x' * 200})"),
    ],
)
def test_a_failure_is_one_sentence_in_plain_text(
    path: Path, errors: str, kind: type[PortsentryError], sentence: str
) -> None:
    failing(path, HEAD + errors)
    with pytest.raises(kind) as caught:
        Fail2banClient().ask("status")
    assert type(caught.value) is kind
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    assert HEAD[:10] not in str(caught.value)


def test_a_failure_without_a_word_is_a_sentence(path: Path) -> None:
    program(path, "exit 3")
    with pytest.raises(CommandFailed, match=r"failed \(no message\)"):
        Fail2banClient().ask("status")


def test_a_jail_that_is_not_loaded_is_named_with_the_fix(path: Path) -> None:
    failing(path, f"{HEAD}NOK: (x,)", output="Sorry but the jail '\\''portsentry-net'\\'' does not exist")
    with pytest.raises(JailNotLoaded, match="no jail portsentry-net; run `portsentry-py fail2ban install --reload`"):
        Fail2banClient().ask("status", "portsentry-net")


def test_only_a_user_who_is_not_root_is_advised_to_become_root(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(path, "Failed to access socket path: /x. Is fail2ban running?")
    for user, advised in ((0, False), (1000, True)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(NotAnswering) as caught:
            Fail2banClient().ask("status")
        assert ("or run this as root" in str(caught.value)) is advised


def test_a_program_that_hangs_is_not_waited_for(path: Path) -> None:
    program(path, f"exec {os.path.realpath('/bin/sleep')} 600")
    with pytest.raises(NotAnswering, match="did not end within 0 s"):
        Fail2banClient().ask("status", timeout_seconds=0.1)


@pytest.mark.parametrize("words", [("status",), ("status", "a\0b")])
def test_a_program_that_cannot_be_started_is_a_sentence(path: Path, words: tuple[str, ...]) -> None:
    write_program(path / "fail2ban-client", "#!/no/such/interpreter\n")
    with pytest.raises(Fail2banError, match=r"cannot be started .* reinstall fail2ban"):
        Fail2banClient().ask(*words)
