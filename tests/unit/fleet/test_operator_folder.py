"""The operator's folder has all secrets, readable by its owner alone; hosts come and go."""

import base64
import json
from ipaddress import ip_network
from pathlib import Path, PurePosixPath

import pytest

from portsentry_py.errors import ConfigError, UsageError
from portsentry_py.fleet import credentials
from portsentry_py.fleet.identity import new_seed, public_key, sign
from portsentry_py.fleet.operator_folder import (
    add_host,
    allow,
    create,
    operator_credentials,
    read_signed,
    remove_host,
    signed_roster,
)
from tests.support.fleet import NOW_US


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "fleet", ["127.0.0.1", "::1"], None, tls=True, plain_text=False)
    return tmp_path / "fleet"


def test_every_file_belongs_to_its_owner_alone(folder: Path) -> None:
    add_host(folder, "web1", "192.0.2.1")
    modes = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert len(modes) >= 10
    assert {name: oct(mode) for name, mode in modes.items() if mode not in {0o600, 0o700}} == {}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_fleet_is_never_made_twice(folder: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        create(folder, ["127.0.0.1"], None, tls=True, plain_text=False)


def test_without_tls_the_broker_is_on_this_host(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everybody on the way"):
        create(tmp_path / "fleet", ["192.0.2.1"], None, tls=False, plain_text=False)
    assert not (tmp_path / "fleet").exists()
    made = create(tmp_path / "fleet", ["192.0.2.1"], PurePosixPath("/etc/nats"), tls=False, plain_text=True)
    assert made.servers == ("nats://192.0.2.1:4222",)
    assert '"/etc/nats/store"' in made.config.read_text()


def test_several_brokers_need_tls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="omit --no-tls"):
        create(tmp_path / "fleet", ["127.0.0.1", "127.0.0.2"], None, tls=False, plain_text=False)
    assert not (tmp_path / "fleet").exists()


def test_a_host_gets_a_key_of_its_own(folder: Path) -> None:
    found = [credentials.read(add_host(folder, name, f"192.0.2.{number}")) for number, name in enumerate(("a", "b"))]
    accounts = (folder / "broker/accounts.conf").read_text()
    for one in found:
        assert public_key(one.seed) in accounts
        assert one.seed not in accounts
        assert one.servers == ("tls://127.0.0.1:4222", "tls://[::1]:4222")
        assert "BEGIN CERTIFICATE" in one.authority
    assert found[0].seed != found[1].seed
    assert operator_credentials(folder).operator == found[0].operator


def test_all_hosts_have_one_key_of_sources_also_in_a_folder_of_an_older_version(folder: Path) -> None:
    one, other = (credentials.read(add_host(folder, f"web{number}", f"192.0.2.{number}")) for number in range(2))
    assert one.source_key == other.source_key != ""
    (folder / "source-key").unlink()
    assert len(credentials.read(add_host(folder, "web3", "192.0.2.9")).source_key) == 64


def test_a_host_that_is_removed_is_in_no_list(folder: Path) -> None:
    key = public_key(credentials.read(add_host(folder, "web1", "192.0.2.1")).seed)
    remove_host(folder, "web1")
    assert key not in (folder / "broker/accounts.conf").read_text()
    assert not (folder / "hosts/web1.json").exists()
    assert read_signed(signed_roster(folder, NOW_US), operator_credentials(folder).operator).hosts == {}
    with pytest.raises(UsageError, match="no host of this fleet"):
        remove_host(folder, "web1")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("", "192.0.2.1"),
        ("Web", "192.0.2.1"),
        ("a.b", "192.0.2.1"),
        ("../x", "192.0.2.1"),
        ("*", "192.0.2.1"),
        ("operator", "192.0.2.1"),
        ("x" * 33, "192.0.2.1"),
        ("web2", "192.0.2.0/24"),
        ("web2", "example"),
        ("web1", "192.0.2.9"),
    ],
)
def test_a_wrong_host_is_refused(folder: Path, name: str, address: str) -> None:
    add_host(folder, "web1", "192.0.2.1")
    with pytest.raises(UsageError):
        add_host(folder, name, address)


def test_the_roster_has_hosts_and_allowlist_and_the_operators_signature(folder: Path) -> None:
    add_host(folder, "web1", "192.0.2.1")
    allow(folder, ip_network("9.9.9.0/24"))
    operator = operator_credentials(folder).operator
    found = read_signed(signed_roster(folder, NOW_US), operator)
    assert (found.issued_us, dict(found.hosts), found.allow) == (
        NOW_US,
        {"web1": ip_network("192.0.2.1")},
        (ip_network("9.9.9.0/24"),),
    )


def test_a_roster_of_somebody_else_is_refused(folder: Path) -> None:
    payload = signed_roster(folder, NOW_US)
    operator = operator_credentials(folder).operator
    other = new_seed("operator")
    text = json.loads(payload)["roster"]
    forged = base64.b64encode(sign(other, text.encode())).decode()
    with pytest.raises(ValueError, match="did not sign"):
        read_signed(payload, public_key(other))
    for wrong in (
        json.dumps({"roster": text, "signature": forged}).encode(),
        payload.replace(b"hosts", b"hostz"),
        b"",
        b"{}",
        b"[" * 9000,
        b" " * (1 << 21),
    ):
        with pytest.raises(ValueError, match=r"did not sign|not a roster"):
            read_signed(wrong, operator)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init-operator"):
        add_host(tmp_path, "web1", "192.0.2.1")
    (tmp_path / "fleet.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        add_host(tmp_path, "web1", "192.0.2.1")
