"""A ban for a test: whom it may be, and what fail2ban answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from portsentry_py.errors import CaptureError, PermissionDenied, PortsentryError, UsageError
from portsentry_py.fail2ban import ban_test
from portsentry_py.fail2ban.ban_test import ban_and_unban


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860::8", "scanner.example", "192.0.2.0/24"])
def test_nobody_is_banned_for_a_test(address: str) -> None:
    with pytest.raises(UsageError, match="not a documentation address"):
        ban_and_unban(address)


def fake_client(folder: Path, said: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "fail2ban-client"
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {code}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("said", "error", "sentence"),
    [
        ("Failed to access socket path: x. Is fail2ban running?", CaptureError, "systemctl start fail2ban"),
        ("Permission denied to socket: x, (you must be root)", PermissionDenied, "run this as root"),
    ],
)
def test_a_server_that_does_not_answer_has_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[PortsentryError], sentence: str
) -> None:
    fake_client(tmp_path, said, 255, monkeypatch)

    with pytest.raises(error, match=sentence):
        ban_and_unban()


def test_without_fail2ban_client_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CaptureError, match="apt-get install fail2ban"):
        ban_and_unban()


def test_a_ban_without_a_rule_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(tmp_path, "", 0, monkeypatch)
    monkeypatch.setattr(ban_test, "LISTINGS", (("fail2ban-client",),))
    monkeypatch.setattr(ban_test, "BAN_SECONDS", 0.1)

    with pytest.raises(PortsentryError, match="the kernel has no rule about it"):
        ban_and_unban()
