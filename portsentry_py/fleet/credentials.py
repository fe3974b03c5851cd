"""The file by which a host, or the operator, speaks with the broker: a secret."""

import os
import re
import stat
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from portsentry_py.errors import ConfigError, OutputError, PermissionDenied
from portsentry_py.fleet.roster import NAME
from portsentry_py.replacement import replace

_MOST_BYTES = 1 << 16
_HEX = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a host needs.

    Attributes:
        name: of the host, or `operator`.
        servers: the brokers, as URLs with tls:// or nats://.
        seed: the secret key.
        operator: the public key that signs the roster.
        authority: the certificate that the brokers are certified by; empty without TLS.
        source_key: hides the addresses of sources from the broker, in hex digits; all hosts have the same.
    """

    name: str
    servers: tuple[str, ...]
    seed: str
    operator: str
    authority: str = ""
    source_key: str = ""

    def __repr__(self) -> str:
        return f"Credentials(name={self.name!r})"  # never the seed, not even in a traceback


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that its owner alone can read; the other one with this name is replaced.

    Raises:
        OutputError, PermissionDenied: it cannot be written.
    """
    try:
        replace(path, content, 0o600)
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not write it; run this as root or name another folder.") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot write it ({error.strerror}); correct that and run this again.") from error


def write(path: Path, credentials: Credentials) -> None:
    """Write the file of a host.

    Raises:
        OutputError, PermissionDenied: it cannot be written.
    """
    write_secret(path, msgspec.json.format(msgspec.json.encode(credentials), indent=2) + b"\n")


def read(path: Path) -> Credentials:
    """The credentials in a file.

    Raises:
        ConfigError: others may read it, or it holds none.
        PermissionDenied: the user may not read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{path}: it is no file; name that of `fleet add-host` in fleet.credentials.")
            if status.st_mode & _OTHERS:
                raise ConfigError(f"{path}: others may read this secret; run: chmod 600 {path}")
            content = file.read(_MOST_BYTES)
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read it; its owner is the user of the service.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the credentials ({error.strerror}); run `fleet add-host`.") from error
    try:
        found = msgspec.json.decode(content, type=Credentials)
    except msgspec.MsgspecError as error:
        # Without the cause: its text can have a part of the secret.
        raise ConfigError(f"{path}: these are no credentials; run `fleet add-host` again.") from error
    if not NAME.fullmatch(found.name) or not found.servers or not _HEX.fullmatch(found.source_key):
        raise ConfigError(f"{path}: these are no credentials; run `fleet add-host` again.")
    return found


def refuse_plain_text(servers: tuple[str, ...], *, permitted: bool) -> None:
    """Refuse to speak without TLS, except with a broker on this host.

    Raises:
        ConfigError: a broker is elsewhere, and its URL does not begin with tls://.
    """
    for server in servers:
        url = urlsplit(server)
        if url.scheme != "tls" and not permitted and not _is_loopback(url.hostname or ""):
            raise ConfigError(f"{server}: everybody on the way could read and write; use tls:// or set plain_text.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
