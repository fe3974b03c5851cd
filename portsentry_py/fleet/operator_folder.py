"""The operator's folder: keys, certificates, the list of hosts, and the broker's configuration made from them."""

import base64
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from portsentry_py.config.settings import Network
from portsentry_py.errors import ConfigError, OutputError, PermissionDenied, UsageError
from portsentry_py.fleet import broker_config, credentials, roster
from portsentry_py.fleet.certificates import certify
from portsentry_py.fleet.credentials import Credentials, refuse_plain_text, write_secret
from portsentry_py.fleet.identity import is_signed, new_seed, public_key, sign
from portsentry_py.fleet.roster import NAME, Roster
from portsentry_py.fleet.source_hash import new_key
from portsentry_py.fleet.subjects import OPERATOR

_LIST, _OPERATOR, _SIGNING_KEY, _SOURCE_KEY = "fleet.json", "operator.json", "signing-key", "source-key"
_BROKER = "broker"
_PORT = 4222
_CONTEXT = b"portsentry-py fleet roster 1\n"


class _Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    key: str


class _Fleet(msgspec.Struct, forbid_unknown_fields=True):
    servers: tuple[str, ...]
    hosts: dict[str, _Host] = {}
    allow: list[str] = []


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roster: str
    signature: str


class Made(NamedTuple):
    """What `create` made, for the operator who reads it."""

    config: Path
    servers: tuple[str, ...]


def create(folder: Path, brokers: Sequence[str], place: PurePosixPath | None, *, tls: bool, plain_text: bool) -> Made:
    """Make the folder of a new fleet.

    Args:
        folder: it must not exist.
        brokers: host names or addresses of the brokers, as the hosts reach them.
        place: the folder of the broker's files on the broker; None if it stays where it is.
        tls: without it, the broker must be on this host.
        plain_text: unless this permits another one.

    Raises:
        UsageError, OutputError, PermissionDenied, ConfigError: it cannot be made.
    """
    found = [_host_and_port(broker) for broker in brokers]
    servers = tuple(f"{'tls' if tls else 'nats'}://{_in_url(host)}:{port}" for host, port in found)
    refuse_plain_text(servers, permitted=plain_text)
    if len(servers) > 1 and not tls:
        raise UsageError("several brokers speak with each other over TLS alone; omit --no-tls.")
    seed, signing = new_seed("host"), new_seed("operator")
    authority, broker = certify(host for host, _ in found)
    try:
        (folder / _BROKER).mkdir(mode=0o700, parents=True)
        folder.chmod(0o700)
    except FileExistsError as error:
        raise UsageError(f"{folder}: there is a fleet already; name another folder.") from error
    except PermissionError as error:
        raise PermissionDenied(f"{folder}: you may not make it; run this as root or name another folder.") from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot make it ({error.strerror}); name another folder.") from error
    (folder / "hosts").mkdir(mode=0o700)
    write_secret(folder / _SIGNING_KEY, signing.encode() + b"\n")
    if tls:
        write_secret(folder / "authority-key.pem", authority.key)
        write_secret(folder / _BROKER / broker_config.KEY, broker.key)
        write_secret(folder / _BROKER / broker_config.CERTIFICATE, broker.certificate)
        write_secret(folder / _BROKER / broker_config.AUTHORITY, authority.certificate)
    certificate = authority.certificate.decode() if tls else ""
    credentials.write(folder / _OPERATOR, Credentials(OPERATOR, servers, seed, public_key(signing), certificate))
    where = place or PurePosixPath((folder / _BROKER).resolve())
    # A broker that every network reaches is the purpose; without TLS, only this host reaches it.
    listen = f"{'0.0.0.0' if tls or plain_text else '127.0.0.1'}:{found[0][1]}"  # noqa: S104 - said above
    config = folder / _BROKER / broker_config.MAIN
    names = [_in_url(host) for host, _ in found]
    write_secret(config, broker_config.main_config(where, listen, tls=tls, brokers=names).encode())
    _save(folder, _Fleet(servers))
    return Made(config, servers)


def add_host(folder: Path, name: str, address: str) -> Path:
    """Add a host; its credentials file.

    Args:
        folder: the operator's.
        name: small letters, digits and dashes.
        address: of the host, as the others see it; nobody may ban it.

    Raises:
        UsageError, ConfigError, OutputError, PermissionDenied: it cannot be added.
    """
    fleet = _read(folder)
    if not NAME.fullmatch(name) or name == OPERATOR:
        raise UsageError(f"{name}: no name of a host; take up to 32 of a-z, 0-9 and dashes.")
    if name in fleet.hosts:
        raise UsageError(f"{name}: this host is in the fleet already; remove it first.")
    try:
        network = ip_network(address)
    except ValueError as error:
        raise UsageError(f"{address}: no address; give the one by which others see the host.") from error
    if network.num_addresses > 1:
        raise UsageError(f"{address}: a network; give the address by which others see the host.")
    operator = credentials.read(folder / _OPERATOR)
    seed = new_seed("host")
    path = folder / "hosts" / f"{name}.json"
    if not (folder / _SOURCE_KEY).exists():
        write_secret(folder / _SOURCE_KEY, new_key().encode() + b"\n")
    key = _text(folder / _SOURCE_KEY).decode().strip()
    credentials.write(path, Credentials(name, fleet.servers, seed, operator.operator, operator.authority, key))
    fleet.hosts[name] = _Host(str(network.network_address), public_key(seed))
    _save(folder, fleet)
    return path


def remove_host(folder: Path, name: str) -> None:
    """Remove a host: after a reload of the broker, its key opens nothing.

    Raises:
        UsageError, ConfigError, OutputError, PermissionDenied: it cannot be removed.
    """
    fleet = _read(folder)
    if fleet.hosts.pop(name, None) is None:
        raise UsageError(f"{name}: no host of this fleet; it has {', '.join(sorted(fleet.hosts)) or 'none'}.")
    _save(folder, fleet)
    (folder / "hosts" / f"{name}.json").unlink(missing_ok=True)


def allow(folder: Path, network: Network) -> None:
    """Add a network that no host may ban.

    Raises:
        ConfigError, OutputError, PermissionDenied: the folder cannot be read or written.
    """
    fleet = _read(folder)
    fleet.allow = sorted({*fleet.allow, str(network)})
    _save(folder, fleet)


def operator_credentials(folder: Path) -> Credentials:
    """By which the operator speaks with the broker.

    Raises:
        ConfigError, PermissionDenied: they cannot be read.
    """
    return credentials.read(folder / _OPERATOR)


def signed_roster(folder: Path, now_us: int) -> bytes:
    """The roster as it is published.

    Raises:
        ConfigError: the folder cannot be read.
    """
    fleet = _read(folder)
    hosts = {name: ip_network(host.address) for name, host in fleet.hosts.items()}
    text = roster.write(Roster(now_us, hosts, tuple(map(ip_network, fleet.allow))))
    signature = sign(_text(folder / _SIGNING_KEY).decode().strip(), _CONTEXT + text)
    return msgspec.json.encode(_Signed(text.decode(), base64.b64encode(signature).decode()))


def read_signed(payload: bytes, operator: str) -> Roster:
    """The roster of a message.

    Raises:
        ValueError: the operator did not sign it, or it is none.
    """
    if len(payload) > roster.MOST_BYTES:
        raise ValueError("not a roster")
    try:
        signed = msgspec.json.decode(payload, type=_Signed)
        text, signature = signed.roster.encode(), base64.b64decode(signed.signature, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError("not a roster") from error
    if not is_signed(operator, _CONTEXT + text, signature):
        raise ValueError("the operator did not sign it")
    return roster.read(text)


def _host_and_port(broker: str) -> tuple[str, int]:
    try:
        url = urlsplit(f"//{_in_url(broker) if _is_ipv6(broker) else broker}")
        host, port = url.hostname, url.port or _PORT
    except ValueError as error:
        raise UsageError(f"{broker}: no broker; give HOST, HOST:PORT, or [ADDRESS]:PORT.") from error
    if not host or url.path or url.username is not None:
        raise UsageError(f"{broker}: no broker; give HOST, HOST:PORT, or [ADDRESS]:PORT.")
    return host, port


def _is_ipv6(broker: str) -> bool:
    return broker.count(":") > 1 and not broker.startswith("[")


def _in_url(broker: str) -> str:
    return f"[{broker}]" if ":" in broker else broker


def _read(folder: Path) -> _Fleet:
    try:
        return msgspec.json.decode(_text(folder / _LIST), type=_Fleet)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{folder / _LIST}: damaged ({error}); restore it from a copy.") from error


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise PermissionDenied(f"{path}: you may not read it; run this as the operator of the fleet.") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read it ({error.strerror}); name the folder of `fleet init-operator`."
        ) from error


def _save(folder: Path, fleet: _Fleet) -> None:
    write_secret(folder / _LIST, msgspec.json.format(msgspec.json.encode(fleet), indent=2) + b"\n")
    operator = credentials.read(folder / _OPERATOR)
    keys = {name: host.key for name, host in fleet.hosts.items()}
    text = broker_config.accounts(public_key(operator.seed), keys)
    write_secret(folder / _BROKER / broker_config.ACCOUNTS, text.encode())
