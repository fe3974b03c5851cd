"""Keys of hosts and of the operator: nkeys, which are Ed25519 keys as NATS writes them."""

import base64
import binascii
import os
from typing import Any, Literal

from portsentry_py.errors import LibraryMissing


def new_seed(kind: Literal["host", "operator"]) -> str:
    """A new secret key.

    Raises:
        LibraryMissing: nkeys is not installed.
    """
    nkeys = _nkeys()
    prefix = nkeys.PREFIX_BYTE_USER if kind == "host" else nkeys.PREFIX_BYTE_OPERATOR
    return str(nkeys.encode_seed(os.urandom(32), prefix).decode())


def public_key(seed: str) -> str:
    """The public key of a secret one.

    Raises:
        LibraryMissing: nkeys is not installed.
        ValueError: it is no seed.
    """
    return str(_pair(seed).public_key.decode())


def sign(seed: str, text: bytes) -> bytes:
    """The signature of a text.

    Raises:
        LibraryMissing, ValueError: as `public_key`.
    """
    return bytes(_pair(seed).sign(text))


def is_signed(public: str, text: bytes, signature: bytes) -> bool:
    """Whether the owner of the public key signed the text.

    Raises:
        LibraryMissing: PyNaCl is not installed.
    """
    _nkeys()
    import nacl.exceptions  # noqa: PLC0415 - an extra
    import nacl.signing  # noqa: PLC0415 - an extra

    try:
        raw = base64.b32decode(public + "=" * (-len(public) % 8))
        nacl.signing.VerifyKey(raw[1:33]).verify(text, signature)
    except (nacl.exceptions.BadSignatureError, ValueError, binascii.Error):
        return False
    return True


def _pair(seed: str) -> Any:
    nkeys = _nkeys()
    try:
        return nkeys.from_seed(bytearray(seed.encode()))
    except (nkeys.NkeysError, ValueError) as error:
        raise ValueError("not a seed") from error


def _nkeys() -> Any:
    try:
        import nkeys  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LibraryMissing("nkeys", "fleet") from error
    return nkeys
