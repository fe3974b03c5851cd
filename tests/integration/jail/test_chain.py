"""What a line of the log brings about in the kernel, with fail2ban's own actions."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.ban_chain import CASES, listed, prove
from tests.support.fail2ban_server import (
    FIREWALLS,
    NAME,
    NETWORK_FIREWALLS,
    NETWORK_NAME,
    NFTABLES,
    Fail2banServer,
    scan_line,
)
from tests.support.namespaces import Lab
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

_BAN = """\
import json, sys
from pathlib import Path
from portsentry_py.fail2ban.ban_test import ban_and_unban
from portsentry_py.fail2ban.client import Fail2banClient
from portsentry_py.errors import PortsentryError
try:
    rules = ban_and_unban(Fail2banClient(etc=Path(sys.argv[2])), sys.argv[1])
except PortsentryError as error:
    print(json.dumps({"code": error.exit_code, "error": str(error)}))
else:
    print(json.dumps({"rules": rules}))
"""


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_scan_line_becomes_a_rule_and_an_unban_takes_it_away(
    lab: Lab, start_server: StartServer, firewall: str
) -> None:
    server = start_server(FIREWALLS[firewall])

    for case in CASES[NAME]:
        assert prove(lab, server, case).errors == []


def banned_for_a_test(lab: Lab, server: Fail2banServer, address: str) -> dict[str, object]:
    done = lab.target.run(sys.executable, "-c", _BAN, address, server.config)
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("firewall", FIREWALLS)
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_a_test_ban_finds_its_rule_and_leaves_nothing(
    lab: Lab, start_server: StartServer, firewall: str, address: str
) -> None:
    server = start_server(FIREWALLS[firewall])

    report = banned_for_a_test(lab, server, address)

    assert any(address in rule for rule in report["rules"])  # type: ignore[attr-defined] # texts
    assert server.banned() == set()
    assert not listed(server, address)
    assert server.errors() == []


def test_a_test_ban_notices_an_action_that_does_not_work(lab: Lab, start_server: StartServer) -> None:
    # Three of the five tried versions fail with this: "all" is no protocol in their nftables rule.
    server = start_server(f'{NFTABLES}[portsentry]\naction_ = %(default/action_)s[protocol="nonsense"]\n')

    report = banned_for_a_test(lab, server, "192.0.2.1")

    assert "fail2ban lists 192.0.2.1 as banned, but the kernel has no rule" in str(report["error"])
    assert server.banned() == set()


def test_a_test_ban_names_a_jail_that_is_not_there(lab: Lab, start_server: StartServer) -> None:
    server = start_server(f"{NFTABLES}[portsentry]\nenabled = false\n[portsentry-strict]\nenabled = true\n")

    report = banned_for_a_test(lab, server, "192.0.2.1")

    assert report["code"] == 69
    assert "portsentry-py fail2ban install" in str(report["error"])


def test_a_test_ban_keeps_its_hands_off_an_address_that_is_banned(lab: Lab, start_server: StartServer) -> None:
    server = start_server(NFTABLES)
    server.write(scan_line("192.0.2.1"))
    wait_for(lambda: listed(server, "192.0.2.1"), "the ban", evidence=server.evidence)

    report = banned_for_a_test(lab, server, "192.0.2.1")

    assert "blocked already" in str(report["error"])
    assert server.banned() == {"192.0.2.1"}


def test_a_mode_that_does_not_exist_bans_nobody_and_takes_no_jail_down(lab: Lab, start_server: StartServer) -> None:
    mine = "[zz-mine]\nenabled = true\nfilter = portsentry-py\nbackend = auto\nmaxretry = 1\n"
    server = start_server(
        f"{NFTABLES}[portsentry]\nmode = agressive\n{mine}logpath = %(portsentry/logpath)s\n"
        "[portsentry-strict]\nenabled = true\n"
    )

    server.write(scan_line("192.0.2.1"))
    server.wait_for_bans(["192.0.2.1"], "zz-mine")

    assert "portsentry, portsentry-strict, zz-mine" in server.client("status")
    assert server.banned() == set()
    assert server.errors() == []
    assert lab.scanner.reaches(lab.target.ipv4[0], 80)


def test_each_mode_bans_what_it_says(start_server: StartServer) -> None:
    modes = ("normal", "strict", "aggressive", "scan", "trap", "sweep", "slow")
    jails = "".join(
        f"[{mode}]\nenabled = true\nfilter = portsentry-py[mode={mode}]\nbackend = auto\nmaxretry = 1\n"
        "logpath = %(portsentry/logpath)s\naction =\n"
        for mode in modes
    )
    server = start_server(f"{NFTABLES}{jails}[portsentry-net]\nenabled = true\naction =\n")
    server.write(
        scan_line("192.0.2.1"),
        scan_line("192.0.2.2", verified=True),
        scan_line("192.0.2.3", verdict="watch"),
        scan_line("192.0.2.4", event_type="trap", technique="trap"),
        scan_line("192.0.2.5", technique="sweep"),
        scan_line("192.0.2.6", technique="slow"),
        scan_line("192.0.2.7", technique="distributed", network="192.0.2.0/24"),
        scan_line("192.0.2.8", verdict="ignore"),
        scan_line("192.0.2.9", event_type="connection", verdict="none"),
    )
    normal = [f"192.0.2.{number}" for number in (1, 2, 4, 5, 6, 7)]
    expected = {
        "portsentry": normal,
        "normal": normal,
        "strict": ["192.0.2.2"],
        "aggressive": [*normal, "192.0.2.3"],
        "scan": ["192.0.2.1", "192.0.2.2", "192.0.2.7"],
        "trap": ["192.0.2.4"],
        "sweep": ["192.0.2.5"],
        "slow": ["192.0.2.6"],
        "portsentry-net": ["192.0.2.0/24"],
    }

    for jail, banned in expected.items():
        server.wait_for_bans(banned, jail)
    assert server.errors() == []


_RECORD = """\
[Definition]
actionban = printf '%%s\\n' "<ip> <F-SCAN> <F-TECHNIQUE> <F-DPORT> <F-NET>" >> "<file>"
[Init]
file = /dev/null
"""


def test_what_the_filter_captures_can_be_used_in_actions(start_server: StartServer, tmp_path: Path) -> None:
    record = tmp_path / "record"
    server = start_server(
        f'[portsentry]\naction = record[file="{record}"]\n'
        f'[portsentry-net]\nenabled = true\naction = record[file="{record}.net"]\n',
        {"action.d/record.conf": _RECORD},
    )

    server.write(scan_line("192.0.2.1"), scan_line("2001:db8::1", technique="distributed", network="2001:db8::/64"))

    expected = {"192.0.2.1 syn port_scan 23 203.0.113.0/24", "2001:db8::/64 syn distributed 23 2001:db8::/64"}
    wait_for(
        lambda: record.exists() and set(record.read_text().splitlines()) == expected,
        "the record",
        evidence=server.evidence,
    )
    net = Path(f"{record}.net")
    wait_for(net.exists, "the network's record", evidence=server.evidence)
    assert net.read_text() == "2001:db8::/64 syn distributed 23 2001:db8::/64\n"
    assert server.errors() == []


@pytest.mark.parametrize("firewall", NETWORK_FIREWALLS)
def test_a_distributed_scan_has_its_network_banned(lab: Lab, start_server: StartServer, firewall: str) -> None:
    server = start_server(NETWORK_FIREWALLS[firewall])

    for case in CASES[NETWORK_NAME]:
        assert prove(lab, server, case, NETWORK_NAME).errors == []

    # A scan by one address alone is not this jail's.  Networks can lie in one another.
    server.write(scan_line("192.0.2.1", network="192.0.2.0/24"))
    groups = ["2001:db8:0:1234::/64", "2001:db8::/48", "2001:db8:0:1200::/56"]
    # One line each: a second one that fail2ban reads after the unban bans again.
    for group in groups:
        server.write(scan_line("2001:db8:0:1234::1", technique="distributed", network=groups[0], group=group))
    server.wait_for_bans(groups, NETWORK_NAME)

    def is_gone(network: str) -> bool:
        return not listed(server, network)

    for banned in groups:
        wait_for(partial(listed, server, banned), f"a rule about {banned}", evidence=server.evidence)
        server.client("set", NETWORK_NAME, "unbanip", banned)
        wait_for(partial(is_gone, banned), "the rule to go", evidence=server.evidence)
    server.stop()
    assert "f2b" not in server.listing()
    assert server.errors() == []


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_the_ban_of_a_network_outlives_a_restart(lab: Lab, start_server: StartServer, firewall: str) -> None:
    server = start_server(FIREWALLS[firewall])
    case = CASES[NAME][1]
    server.write(case.line)
    wait_for(lambda: listed(server, case.banned), "the ban", evidence=server.evidence)

    server.stop()
    assert "f2b" not in server.listing()
    server.start()

    wait_for(lambda: listed(server, case.banned), "the ban", evidence=server.evidence)
    assert not lab.scanner.reaches(lab.target.ipv6[0], 80, source=case.scanner)
    server.client("reload")
    assert server.banned() == {case.banned}
    server.client("unban", case.banned)
    wait_for(lambda: not listed(server, case.banned), "the rule to go", evidence=server.evidence)
    assert server.errors() == []


def test_an_address_of_the_ignore_list_protects_its_network(start_server: StartServer) -> None:
    lists = "127.0.0.1/8 ::1,2001:db8:a::1\n  2001:db8:b:0:1::/80 198.18.1.7 2001:db8:c::/48 host.example"
    server = start_server(
        f"{NFTABLES}ignoreip = {lists}\nignorecommand = test <ip> = 198.18.2.1\n[portsentry-net]\nenabled = true\n"
    )
    networks = [
        "2001:db8:a::/64",
        "2001:db8:b::/64",
        "2001:db8:c:7::/64",
        "2001:db8:113::/64",  # its own
    ]
    lines = [scan_line(network.replace("::/64", "::99"), network=network) for network in networks]
    lines += [
        scan_line("198.18.1.9", technique="distributed", network="198.18.1.0/24", group="198.18.1.0/24"),
        scan_line("198.18.2.1"),
        scan_line("2001:db8:d::1", network="2001:db8:d::/64"),
    ]

    server.write(*lines)

    server.wait_for_bans(["2001:db8:d::/64", "198.18.1.9"])
    assert server.banned(NETWORK_NAME) == set()
    ignored = [line for line in server.messages() if "by command" in line or "Ignore" in line]
    assert [network for network in networks if not any(network in line for line in ignored)] == []
    assert server.errors() == []
