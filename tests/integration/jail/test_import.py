"""What an import makes of portsentry's reactions, in a real server."""

from pathlib import Path

import pytest

from portsentry_py.config.importers.formats import import_all
from portsentry_py.config.importers.written import jail
from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import NFTABLES, scan_line
from tests.support.import_examples import PORTSENTRY_12, PSAD, source
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire


def imported(text: str, folder: Path) -> str:
    """The jail file, with files of this test in it."""
    page, deny = folder / "page-me", folder / "hosts.deny"
    page.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{folder}/record\n')
    page.chmod(0o755)
    deny.touch()
    made = jail(import_all([source(text)]), ["the old file"])
    return made.replace("hostsdeny", f'hostsdeny[file="{deny}"]').replace("/usr/local/bin/page-me", str(page))


def test_the_jail_does_what_portsentry_did(start_server: StartServer, tmp_path: Path) -> None:
    text = PORTSENTRY_12.replace("/sbin/route add -host $TARGET$ reject", "iptables -I INPUT -s $TARGET$ -j DROP")
    server = start_server(NFTABLES + imported(text, tmp_path))

    udp, tcp = (f',"proto":"{proto}","ports_sample"' for proto in ("udp", "tcp"))
    server.write(
        scan_line("192.0.2.1").replace(',"ports_sample"', udp), scan_line("192.0.2.2").replace(',"ports_sample"', tcp)
    )

    server.wait_for_ban("192.0.2.2")
    deny = tmp_path / "hosts.deny"
    wait_for(lambda: deny.read_text() == "ALL: 192.0.2.2\n", "the entry", evidence=server.evidence)
    assert (tmp_path / "record").read_text() == "192.0.2.2 23 syn\n"
    assert server.banned() == {"192.0.2.2"}
    assert server.errors() == []


def test_the_jail_does_what_psad_did(start_server: StartServer, tmp_path: Path) -> None:
    mail, record = tmp_path / "mail", tmp_path / "record"
    server = start_server(
        NFTABLES + imported(PSAD, tmp_path).replace("%(mta)s-whois[", "stand-in["),
        {"action.d/stand-in.conf": f'[Definition]\nactionban = echo "<ip> <dest>" >>{mail}\n'},
    )

    server.write(scan_line("192.0.2.1"))

    server.wait_for_ban("192.0.2.1")
    wait_for(record.exists, "the page", evidence=server.evidence)
    assert mail.read_text() == "192.0.2.1 root@localhost,noc@example.org\n"
    wait_for(lambda: record.read_text() == "192.0.2.1\n", "all of it")
    assert server.client("get", "portsentry", "bantime").strip() == "-1"
    assert server.errors() == []
