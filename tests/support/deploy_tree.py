"""A tree of a system, and programs that stand in for systemctl and fail2ban-client."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.needs import require_root, require_tool
from tests.support.programs import write_program

# Others write these at each change of an account.
_BY_PRODUCTS = {".pwd.lock", "passwd-", "group-", "shadow-", "gshadow-"}
_SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>{calls}
case "$*" in
*--root=*) exec {systemctl} "$@" ;;
*is-active*) exit 3 ;;
esac
"""
_CLIENT = """#!/bin/sh
echo "fail2ban-client $*" >>{calls}
"""


@dataclass(frozen=True)
class Tree:
    """A system without the service, and what is called."""

    root: Path
    calls_file: Path

    def calls(self) -> list[str]:
        """The commands to systemd and fail2ban since the last time, without those that only change files."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return [line for line in lines if "--root=" not in line and "is-active" not in line]

    def content(self) -> dict[str, object]:
        """Every path, with what it holds, its owner and mode."""
        return {
            str(path.relative_to(self.root)): _entry(path)
            for path in sorted(self.root.rglob("*"))
            if path.name not in _BY_PRODUCTS
        }


def _entry(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    status = path.stat()
    held = path.read_bytes() if path.is_file() else b""
    return status.st_mode, status.st_uid, status.st_gid, held


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Debian with fail2ban, nftables and our command, but no service; the programs are first in PATH."""
    require_root()
    for name in ("systemd-sysusers", "systemd-tmpfiles"):
        require_tool(name)
    root, programs, calls = tmp_path / "root", tmp_path / "programs", tmp_path / "calls"
    etc = root / "etc"
    for folder in ("action.d", "filter.d", "jail.d"):
        (etc / "fail2ban" / folder).mkdir(parents=True)
    for folder in ("sysusers.d", "tmpfiles.d", "logrotate.d", "systemd/system/multi-user.target.wants"):
        (etc / folder).mkdir(parents=True)
    (etc / "fail2ban/jail.conf").write_text("[DEFAULT]\nbanaction_allports = iptables-allports\n")
    for name, text in {"passwd": "root:x:0:0::/root:/bin/sh\n", "group": "root:x:0:\nadm:x:4:\n"}.items():
        (etc / name).write_text(text)
        (etc / name.replace("passwd", "shadow").replace("group", "gshadow")).touch(mode=0o640)
    (etc / "systemd/system/multi-user.target.wants/other.service").touch()
    for program in ("usr/sbin/nft", "usr/bin/portsentry-py"):
        (root / program).parent.mkdir(parents=True)
        write_program(root / program, "#!/bin/sh\n")
    (root / "var/log").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "opt").mkdir()
    programs.mkdir()
    systemctl = require_tool("systemctl")
    write_program(programs / "systemctl", _SYSTEMCTL.format(calls=calls, systemctl=systemctl))
    write_program(programs / "fail2ban-client", _CLIENT.format(calls=calls))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Tree(root, calls)
