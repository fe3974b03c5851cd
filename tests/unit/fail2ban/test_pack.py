"""The shipped files come in the order of installation; their jails leave the operator's settings alone."""

import configparser
import shutil
from pathlib import Path

from portsentry_py.fail2ban.installer import install
from portsentry_py.fail2ban.pack import FLEET_JAIL, pack_files
from tests.support.needs import require_tool
from tests.support.running import run

OTHER_JAILS = [f"portsentry-{part}" for part in ("trap", "sweep", "slow", "strict", "net")]


def test_the_filter_comes_before_the_jail_that_needs_it() -> None:
    assert [file.target for file in pack_files()] == [
        "action.d/portsentry-py-command.conf",
        "action.d/portsentry-py-hostsdeny.conf",
        "action.d/portsentry-py-iptables.conf",
        "action.d/portsentry-py-nft-net.conf",
        "filter.d/portsentry-py.conf",
        "jail.d/portsentry-py.conf",
    ]


def test_no_jail_inherits_a_default_that_breaks_it(tmp_path: Path) -> None:
    client = require_tool("fail2ban-client")
    etc = tmp_path / "etc/fail2ban"
    shutil.copytree("/etc/fail2ban", etc)
    install(tmp_path)
    log = tmp_path / "var/log/portsentry.log"
    (etc / "jail.local").write_text(
        f"[DEFAULT]\nbackend = systemd\nmode = ddos\nmaxretry = 9\n[portsentry]\nlogpath = {log}\n"
        + "".join(f"[{name}]\nenabled = true\n" for name in OTHER_JAILS)
    )

    dump = run(client, "-c", etc, "-d")

    for name in ["portsentry", *OTHER_JAILS]:
        assert f"['add', '{name}', 'auto']" in dump
        assert f"['set', '{name}', 'maxretry', 1]" in dump
        assert f"['set', '{name}', 'addlogpath', '{log}', 'head']" in dump
        for protocol in ("tcp", "udp"):
            assert f"['name', '{name}-{protocol}']" in dump
            assert f"['protocol', '{protocol}']" in dump


def test_only_the_jail_portsentry_is_enabled_as_shipped() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(pack_files()[-1].content.decode())

    enabled = {name: parser[name]["enabled"] for name in parser.sections()}
    assert enabled == {"portsentry": "true", **dict.fromkeys((*OTHER_JAILS, FLEET_JAIL), "false")}
    forbidden = {"bantime", "findtime", "ignoreip", "action"}
    set_here = {name: forbidden & set(parser[name]) for name in parser.sections()}
    # What others ban is short, whatever the operator's own bans last.
    assert {name: keys for name, keys in set_here.items() if keys} == {FLEET_JAIL: {"bantime"}}
