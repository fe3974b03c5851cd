"""Credentials are a secret of one user, and TLS is no choice beyond this host."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from portsentry_py.errors import ConfigError, OutputError
from portsentry_py.fleet.credentials import Credentials, read, refuse_plain_text, write

GOOD = Credentials("web1", ("tls://broker.example:4222",), "SUSECRET", "OPUBLIC", "PEM", "5ec2e7" + "0" * 58)


def test_credentials_come_back_and_nobody_else_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "web1.json"
    old_mask = os.umask(0)
    try:
        write(path, GOOD)
    finally:
        os.umask(old_mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read(path) == GOOD
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read(path)


def test_the_secret_is_in_no_text() -> None:
    assert "SECRET" not in f"{GOOD!r} {GOOD}"
    assert "5ec2e7" not in f"{GOOD!r} {GOOD}"


@pytest.mark.parametrize("text", ["", "{}", '{"seed":"SUSECRET"}', "[" * 9000, '{"seed":SUSECRET}'])
def test_what_is_damaged_is_refused_without_the_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "web1.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no credentials") as caught:
        read(path)
    assert "SECRET" not in str(caught.value)


def test_a_file_of_an_older_version_has_no_key_of_sources(tmp_path: Path) -> None:
    write(tmp_path / "x", replace(GOOD, source_key=""))
    assert read(tmp_path / "x").source_key == ""
    write(tmp_path / "x", replace(GOOD, source_key="5ec2e7"))
    with pytest.raises(ConfigError, match="no credentials") as caught:
        read(tmp_path / "x")
    assert "5ec2e7" not in str(caught.value)


def test_a_name_that_no_host_can_have_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x", Credentials("a.b", ("tls://x:1",), "", ""))
    with pytest.raises(ConfigError, match="no credentials"):
        read(tmp_path / "x")


def test_a_file_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            read(path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "missing" / "web1.json", GOOD)


@pytest.mark.parametrize(
    "server", ["nats://127.0.0.1:4222", "nats://[::1]:4222", "nats://localhost:4222", "tls://x:4222"]
)
def test_a_broker_on_this_host_or_with_tls_is_safe(server: str) -> None:
    refuse_plain_text((server,), permitted=False)


@pytest.mark.parametrize(
    "server", ["nats://192.0.2.1:4222", "nats://localhost.example:4222", "ws://192.0.2.1", "192.0.2.1"]
)
def test_plain_text_elsewhere_is_refused_unless_permitted(server: str) -> None:
    with pytest.raises(ConfigError, match="everybody on the way"):
        refuse_plain_text(("tls://a:1", server), permitted=False)
    refuse_plain_text((server,), permitted=True)
