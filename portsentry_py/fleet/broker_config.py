"""The configuration of the broker, as nats-server reads it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from portsentry_py.fleet.subjects import host_permissions, operator_permissions

MAIN = "nats.conf"
ACCOUNTS = "accounts.conf"
CERTIFICATE, KEY = "broker.pem", "broker-key.pem"


def main_config(place: PurePosixPath, listen: str, *, tls: bool) -> str:
    """The main file, which the operator may change: `place` is the folder of all files on the broker."""
    lines = [
        "# The broker of a fleet of portsentry-py. This file is yours; accounts.conf is written again by each command.",
        f"listen: {_quoted(listen)}",
        "max_payload: 1MB",
        "# A host has one connection.",
        "max_subscriptions: 64",
        "write_deadline: 5s",
        f"jetstream {{ store_dir: {_quoted(str(place / 'store'))}, max_memory_store: 1MB, max_file_store: 2GB }}",
    ]
    if tls:
        # The client begins with TLS, so that nobody between can talk it out of it.
        files = f"cert_file: {_quoted(str(place / CERTIFICATE))}, key_file: {_quoted(str(place / KEY))}"
        lines.append(f"tls {{ {files}, handshake_first: true }}")
    lines.append(f"include {ACCOUNTS}")
    return "\n".join(lines) + "\n"


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
