"""Which versions of nats-server are unsafe, and why."""

import re

# CVE-2025-30215: a client that may publish below `$JS.` could administer every stream. Fixed here, and after 2.11.0.
_FIXED = (2, 10, 27)
_LATE = (2, 11, 0)
# Later versions fixed more: rules that deny, leaf nodes, memory of the server before login.
_RECOMMENDED = (2, 12, 8)
_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)


def weakness(version: str) -> str:
    """What is wrong with a version of the broker, in a sentence; empty if nothing is known."""
    found = _VERSION.match(version)
    if not found:
        return "the version of the broker is unknown; use nats-server 2.12.8 or newer."
    number = tuple(map(int, found.groups()))
    shown = ".".join(found.groups())
    if number < _FIXED or number == _LATE:
        return f"the broker is nats-server {shown}, and a stolen key can delete its streams (CVE-2025-30215); upgrade."
    if number < _RECOMMENDED:
        return f"the broker is nats-server {shown}, which lacks fixes of 2026; use 2.12.8 or newer."
    return ""
