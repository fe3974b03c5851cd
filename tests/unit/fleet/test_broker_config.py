"""The broker accepts the configuration."""

import subprocess
import sys
from pathlib import Path, PurePosixPath

from portsentry_py.fleet.broker_config import ACCOUNTS, MAIN, accounts, main_config
from portsentry_py.fleet.identity import new_seed, public_key

OPERATOR, HOST = (public_key(new_seed("host")) for _ in range(2))


def test_the_broker_accepts_it(tmp_path: Path) -> None:
    (tmp_path / MAIN).write_text(main_config(PurePosixPath(tmp_path), "127.0.0.1:4222", tls=False))
    (tmp_path / ACCOUNTS).write_text(accounts(OPERATOR, {"web1": HOST}))
    broker = Path(sys.executable).with_name("nats-server")
    done = subprocess.run([broker, "-c", tmp_path / MAIN, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_user_has_allow_lists_and_no_deny() -> None:
    text = accounts(OPERATOR, {"web1": HOST})
    assert "deny" not in text
    assert text.count("nkey:") == text.count("publish: { allow:") == text.count("subscribe: { allow:") == 2


def test_with_tls_a_client_has_to_begin_with_it() -> None:
    assert "handshake_first: true" in main_config(PurePosixPath("/etc/nats"), "0.0.0.0:4222", tls=True)


def test_several_brokers_form_a_cluster_in_which_each_has_a_certificate() -> None:
    text = main_config(PurePosixPath("/etc/nats"), "0.0.0.0:4222", tls=True, brokers=("b1", "[2001:db8::2]"))
    assert '"nats-route://b1:6222", "nats-route://[2001:db8::2]:6222"' in text
    assert "verify: true" in text
    assert "server_name: $BROKER" in text
    assert "cluster" not in main_config(PurePosixPath("/etc/nats"), "0.0.0.0:4222", tls=True, brokers=("b1",))


def test_thousands_of_hosts_may_connect_at_once() -> None:
    """With the cache of nats-server, each subscription changes a thousand lists of all hosts."""
    assert "disable_sublist_cache: true" in main_config(PurePosixPath("/etc/nats"), "0.0.0.0:4222", tls=True)
