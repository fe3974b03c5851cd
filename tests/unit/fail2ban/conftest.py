"""What the tests of the pack share."""

from pathlib import Path

import pytest

from portsentry_py.fail2ban.pack import FOLDERS

VERSION = "usr/lib/python3/dist-packages/fail2ban/version.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tree of a system with fail2ban and without conflicts."""
    for folder in FOLDERS:
        (tmp_path / "etc/fail2ban" / folder).mkdir(parents=True)
    (tmp_path / VERSION).parent.mkdir(parents=True)
    (tmp_path / VERSION).write_text('version = "1.0.2"\n')
    (tmp_path / "etc/fail2ban/action.d/nftables.conf").touch()
    for program in ("nft", "ipset"):
        (tmp_path / "usr/sbin" / program).parent.mkdir(exist_ok=True)
        (tmp_path / "usr/sbin" / program).touch()
    (tmp_path / "etc/fail2ban/jail.conf").write_text(
        "[DEFAULT]\nenabled = false\nbanaction_allports = nftables[type=allports]\n"
        "[portsentry]\nlogpath = /var/lib/portsentry/portsentry.history\n"
    )
    return tmp_path
