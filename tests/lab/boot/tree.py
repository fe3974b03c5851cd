"""A Debian tree with everything in it, installed as docs/install.md tells an administrator to."""

import re
import shutil
from pathlib import Path

from tests.support.paths import DOCS, ROOT
from tests.support.running import run

SOURCE = "/usr/local/src/portsentry-py"
METRICS = "/opt/portsentry-py/bin/pip install --quiet '.[metrics]'"
"""Adds to the service what its metrics need."""
IFACE = "wire0"
"""The machine's one interface."""

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "procps", "iproute2", "ca-certificates", "libpam-systemd"),
    *("tshark", "fail2ban", "python3-systemd", "nftables", "python3-venv", "logrotate", "openssh-server"),
    *("libcap2-bin", "iputils-ping"),
)
# What this machine trusts and how it asks, the tree does too: it may sit behind a proxy.
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_NOT_COPIED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")

# Debian 12 has no /var/log/auth.log any more, which its jail for sshd wants. It has no iptables here either.
_JAIL = """\
[sshd]
backend = systemd

[recidive]
enabled = true
"""
_NETWORK = """\
[Match]
Name={iface}

[Link]
RequiredForOnline=yes

[Network]
Address=203.0.113.1/24
Address=2001:db8:113::1/64
IPv6AcceptRA=no
LinkLocalAddressing=ipv6

[Route]
Destination=198.51.100.0/24
Scope=link

[Route]
Destination=2001:db8:100::/64
"""
# sshd on another port than usual: the sensor must know who is logged in there too.
SSH_PORT = 2222


def furnish(source: Path, tree: Path) -> None:
    """Copy `source` to `tree`, which must not exist, and put into the copy all that the machine needs but the sensor.

    Raises:
        AssertionError: a command in the tree failed; its output is in the message.
    """
    run("cp", "-a", "--reflink=auto", source, tree, seconds=600)
    bundle = tree / _CERTIFICATES.relative_to("/")
    inside(tree, "apt-get update -qq")
    inside(tree, f"apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 {' '.join(_PACKAGES)}")
    if _CERTIFICATES.exists():
        shutil.copy(_CERTIFICATES, bundle)
    _write(tree, "etc/fail2ban/jail.d/zz-boot.local", _JAIL)
    _write(tree, "etc/systemd/network/10-wire.network", _NETWORK.format(iface=IFACE))
    _write(tree, "etc/ssh/sshd_config.d/port.conf", f"Port {SSH_PORT}\n")
    _write(tree, "var/log/fail2ban.log", "")
    inside(tree, "systemctl enable systemd-networkd ssh fail2ban && systemctl set-default multi-user.target")


def obey(tree: Path, *commands: str) -> None:
    """Run commands of the page in the folder of the source, a copy of this one.

    Raises:
        AssertionError: one failed; its output is in the message.
    """
    folder = tree / SOURCE[1:]
    if not folder.exists():
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    for command in commands:
        inside(tree, f"cd {SOURCE} && {command}")


def release(tree: Path) -> str:
    """The name of the part of a page about this tree, such as debian12."""
    names = dict(line.split("=", 1) for line in (tree / "etc/os-release").read_text(encoding="utf-8").splitlines())
    return f"{names['ID']}{names['VERSION_ID']}".replace('"', "")


def steps() -> list[str]:
    """The first block of commands in docs/install.md, As a service."""
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    section = page.partition("\n## As a service\n")[2]
    block = re.search(r"^(    \S.*\n)+", section, re.MULTILINE)
    assert block, "the page shows no commands"
    return [line.strip() for line in block[0].splitlines()]


def inside(tree: Path, script: str) -> None:
    """Run a script in the tree, which is not booted, with this machine's network."""
    run(
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "-D", tree),
        # The package systemd may bring a resolver of its own, which does not run here.
        "--resolv-conf=replace-host",
        # The package tzdata replaces /etc/localtime, which is a mount otherwise.
        "--timezone=off",
        *("--setenv=DEBIAN_FRONTEND=noninteractive", f"--setenv=PIP_CERT={_CERTIFICATES}"),
        *("--setenv=PIP_DEFAULT_TIMEOUT=180", "--setenv=SYSTEMD_OFFLINE=1"),
        *("sh", "-euc", script),
        seconds=3600,
    )


def _write(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
