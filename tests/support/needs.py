"""What a test needs from the machine. What is missing fails the test, with the cure in the message."""

import os
import shutil
from typing import NoReturn

import pytest

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# The Debian package of each program that is not named like its package.
_PACKAGES = {
    **dict.fromkeys(("ip", "bridge"), "iproute2"),
    **dict.fromkeys(("dumpcap", "editcap", "capinfos"), "wireshark-common"),
    **dict.fromkeys(("mkfs.ext4", "chattr"), "e2fsprogs"),
    **dict.fromkeys(("setpriv", "unshare", "nsenter", "fsfreeze"), "util-linux"),
    **dict.fromkeys(("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"), "systemd"),
    **dict.fromkeys(("ssh", "scp", "ssh-keygen"), "openssh-client"),
    **dict.fromkeys((f"fail2ban-{name}" for name in ("server", "client", "regex", "testcases")), "fail2ban"),
    "groff": "groff-base",
    "nft": "nftables",
    "promtool": "prometheus",
    "rsyslogd": "rsyslog",
    "sshd": "openssh-server",
}


def require_tool(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        missing(name, _PACKAGES.get(name, name))
    return path


def require_root() -> None:
    """The right to make namespaces, to become another user, to capture."""
    if os.geteuid() != 0:
        pytest.fail("this test needs root; run it with ./quickstart test, or with sudo.")


def require_wire(*tools: str) -> None:
    """All that a test between network namespaces needs, and these programs."""
    require_root()
    for name in ("ip", "nsenter", "unshare", *tools):
        require_tool(name)


def missing(what: str, package: str) -> NoReturn:
    """Fail because something is not installed."""
    pytest.fail(f"{what} is not installed; run ./quickstart test, or apt-get install {package}.")


def unsupported(reason: str) -> NoReturn:
    """Skip what this kernel or container cannot do and no package changes; under CI fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
