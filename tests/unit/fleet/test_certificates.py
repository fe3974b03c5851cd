"""A client that trusts the authority trusts the broker by each of its names, and by no other."""

import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from portsentry_py.errors import LibraryMissing
from portsentry_py.fleet.certificates import certify

NAMES = ("broker.example", "192.0.2.1", "2001:db8::1")


def handshake(folder: Path, name: str) -> None:
    """Between two ends in memory."""
    authority, broker = certify(NAMES)
    (folder / "broker.pem").write_bytes(broker.certificate + broker.key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "broker.pem")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = ssl.create_default_context(cadata=authority.certificate.decode())
    client = client_side.wrap_bio(back, there, server_hostname=name)
    server = server_side.wrap_bio(there, back, server_side=True)
    pending: list[Callable[[], None]] = [client.do_handshake, server.do_handshake]
    while pending:
        side = pending.pop(0)
        try:
            side()
        except ssl.SSLWantReadError:
            pending.append(side)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_trusts_the_broker_by_its_names(tmp_path: Path, name: str) -> None:
    handshake(tmp_path, name)


def test_a_client_trusts_nobody_else(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, "other.example")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(LibraryMissing, match="cryptography"):
        certify(NAMES)
