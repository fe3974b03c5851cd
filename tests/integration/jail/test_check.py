"""What `check` says about a jail agrees with the fail2ban that runs it."""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import NFTABLES, Fail2banServer
from tests.support.namespaces import Lab
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.wire

_CHECK = f"""\
{PATIENCE}
import json, sys
from pathlib import Path
from portsentry_py.checks.jail import Fail2banHost, check_jail
from portsentry_py.fail2ban.client import Fail2banClient
folder, log = Path(sys.argv[1]), sys.argv[2]
host = Fail2banHost(folder, Fail2banClient(etc=folder / "etc/fail2ban"))
print(json.dumps([(one.level, one.text) for one in check_jail(log, host, 0)]))
"""


def checked(lab: Lab, server: Fail2banServer, log: Path) -> list[list[str]]:
    done = lab.target.run(sys.executable, "-c", _CHECK, server.folder, log)
    assert not done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_a_jail_is_seen_to_run_to_read_another_log_and_to_be_gone(lab: Lab, start_server: StartServer) -> None:
    server = start_server(NFTABLES)
    assert ["ok", "runs, and bans with nftables-tcp, nftables-udp"] in checked(lab, server, server.log)
    other = server.folder / "other.log"
    assert [
        "broken",
        f"nobody is banned: it reads {server.log}, and the log is {other}; set logpath in jail.local.",
    ] in checked(lab, server, other)
    server.client("stop", "portsentry")
    (gone,) = [text for level, text in checked(lab, server, server.log) if "nobody is banned" in text]
    assert "fail2ban has no jail portsentry" in gone


@pytest.mark.parametrize(("hook", "is_told"), [("input", True), ("prerouting", False)])
def test_forwarded_ports_are_told_where_the_ban_does_not_cover_them(
    lab: Lab, start_server: StartServer, hook: str, *, is_told: bool
) -> None:
    server = start_server(f'{NFTABLES}[portsentry]\n_hook = chain_hook="{hook}", chain_priority="-150"\n')
    for words in (
        "add table ip nat",
        "add chain ip nat prerouting { type nat hook prerouting priority -100 ; }",
        "add rule ip nat prerouting tcp dport 8080 dnat to 192.0.2.10:80",
    ):
        lab.target.run("nft", words)
    told = [level for level, text in checked(lab, server, server.log) if "this host forwards ports (8080)" in text]
    assert told == (["warning"] if is_told else [])
