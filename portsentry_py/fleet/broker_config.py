"""The configuration of the broker, as nats-server reads it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from portsentry_py.fleet.subjects import host_permissions, operator_permissions

MAIN = "nats.conf"
ACCOUNTS = "accounts.conf"
CERTIFICATE, KEY, AUTHORITY = "broker.pem", "broker-key.pem", "authority.pem"
_CLUSTER_PORT = 6222


def main_config(place: PurePosixPath, listen: str, *, tls: bool, brokers: Sequence[str] = ()) -> str:
    """The main file, which the operator may change.

    Args:
        place: the folder of all files on the broker.
        listen: its address and port.
        tls: without it, everybody on the way could read and write.
        brokers: all brokers, as they stand in URLs; several of them form a cluster, over TLS.
    """
    lines = [
        "# The broker of a fleet of portsentry-py. This file is yours; accounts.conf is written again by each command.",
        f"listen: {_quoted(listen)}",
        "max_payload: 1MB",
        "# A host has one connection.",
        "max_subscriptions: 64",
        "write_deadline: 5s",
        "# Every host reads every subject: the cache would cost minutes when thousands of hosts connect at once.",
        "disable_sublist_cache: true",
        f"jetstream {{ store_dir: {_quoted(str(place / 'store'))}, max_memory_store: 1MB, max_file_store: 2GB }}",
    ]
    if tls:
        # The client begins with TLS, so that nobody between can talk it out of it.
        files = f"cert_file: {_quoted(str(place / CERTIFICATE))}, key_file: {_quoted(str(place / KEY))}"
        lines.append(f"tls {{ {files}, handshake_first: true }}")
        if len(brokers) > 1:
            lines += _cluster(brokers, f"{files}, ca_file: {_quoted(str(place / AUTHORITY))}")
    lines.append(f"include {ACCOUNTS}")
    return "\n".join(lines) + "\n"


def _cluster(brokers: Iterable[str], files: str) -> list[str]:
    """Who the other brokers are; what has no certificate of the fleet's authority is none of them."""
    routes = [f"nats-route://{broker}:{_CLUSTER_PORT}" for broker in brokers]
    return [
        "# Start each broker with a name of its own: BROKER=NAME nats-server -c FILE (option -n prevents a reload).",
        "server_name: $BROKER",
        f'cluster {{ name: fleet, listen: "0.0.0.0:{_CLUSTER_PORT}", routes: {json.dumps(routes)},',
        f"  tls {{ {files}, verify: true }} }}",
    ]


def accounts(operator: str, hosts: Mapping[str, str]) -> str:
    """Who may connect, and what each may do; keys are public."""
    users = [_user(operator, *operator_permissions())]
    users += [_user(key, *host_permissions(name), comment=name) for name, key in sorted(hosts.items())]
    inner = "\n".join(users)
    account = f"  FLEET {{\n    jetstream: enabled\n    users: [\n{inner}\n    ]\n  }}"
    return f"# Written by portsentry-py fleet.\naccounts {{\n{account}\n}}\n"


def _user(key: str, publish: Iterable[str], subscribe: Iterable[str], comment: str = "operator") -> str:
    permissions = (
        f"publish: {{ allow: {json.dumps(list(publish))} }}, subscribe: {{ allow: {json.dumps(list(subscribe))} }}"
    )
    return f"      # {comment}\n      {{ nkey: {key}, permissions: {{ {permissions} }} }}"


def _quoted(text: str) -> str:
    return json.dumps(text)
