"""The hash of a source: members of the fleet can compare it, and the broker learns no address."""

import hmac
import os

_KEY_BYTES, _BYTES = 32, 16


def new_key() -> str:
    """A new key of a fleet."""
    return os.urandom(_KEY_BYTES).hex()


def hashed(key: bytes, source: str) -> str:
    """The hash of a source, HMAC-SHA256 cut to 128 bits, in hex digits."""
    return hmac.digest(key, source.encode(), "sha256")[:_BYTES].hex()
