"""The settings that docs/fail2ban.md shows, as it shows them, in a real server."""

import json
import platform
import re
import textwrap
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.ban_chain import open_ports
from tests.support.fail2ban_server import NFTABLES, scan_line
from tests.support.namespaces import Lab
from tests.support.paths import DOCS
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

PAGE = (DOCS / "fail2ban.md").read_text(encoding="utf-8")

_RECORD = """\
#!/usr/bin/python3
import json, os, sys
with open({file!r} + ".environment", "w") as file:
    json.dump({{name: os.environ.get(name) for name in {names!r}}}, file)
with open({file!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
_NAMES = ["SRC_IP", "DEST_PORT", "SCAN_TYPE", "TECHNIQUE", "SRC_NET", "HOST_NAME"]
_LOOSE = """\
[Definition]
failregex = ^\\{"timestamp":"","src_ip":"<ADDR>","scan_type":"<F-SCAN>.{1,240}</F-SCAN>"\\}$
datepattern = ^\\{"timestamp":"(%%Y-%%m-%%dT%%H:%%M:%%S\\.%%f%%z)"
"""


def example(heading: str) -> str:
    """The block that the page shows below a heading."""
    section = PAGE.split(f"# {heading}\n")[1].split("\n#")[0]
    block = re.search(r"^    .*(?:\n(?:    .*)?)*", section, re.MULTILINE)
    assert block is not None
    return textwrap.dedent(block[0]).rstrip() + "\n"


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def recorder(folder: Path) -> tuple[Path, Path]:
    """Make a program that writes down its environment, then its arguments, and name the file of the arguments."""
    record = folder / "record"
    return program(folder / "on-scan", _RECORD.format(file=str(record), names=_NAMES)), record


def recorded(record: Path) -> list[list[str]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def test_hosts_deny(start_server: StartServer, tmp_path: Path) -> None:
    deny = tmp_path / "hosts.deny"
    deny.write_text("# mine\n")
    server = start_server(NFTABLES + example("KILL_HOSTS_DENY").replace("/etc/hosts.deny", str(deny)))

    networks = {"2001:db8::1": "2001:db8::/64", "2001:db8:1::1": "2001:db8:1::1/128"}
    server.write(scan_line("192.0.2.1"), *(scan_line(address, network=networks[address]) for address in networks))

    denied = {"# mine", "ALL: 192.0.2.1", "ALL: [2001:db8::]/64", "ALL: [2001:db8:1::1]"}
    wait_for(lambda: set(deny.read_text().splitlines()) == denied, "the lines", evidence=server.evidence)
    assert "192.0.2.1" in server.listing()
    server.client("unban", "--all")
    wait_for(lambda: deny.read_text() == "# mine\n", "the lines to go", evidence=server.evidence)
    assert server.errors() == []


def test_route(lab: Lab, start_server: StartServer) -> None:
    # The lab's routes are to single hosts; a real one is to a network.
    for old, new in (("198.51.100.66", "198.51.100.0/24"), ("2001:db8:100::66", "2001:db8:100::/48")):
        lab.target.run("ip", "route", "add", new, "dev", "eth0")
        lab.target.run("ip", "route", "del", old)
    pairs = [(lab.target.ipv4[0], lab.scanner.ipv4[0]), (lab.target.ipv6[0], lab.scanner.ipv6[0])]
    server = start_server(example("KILL_ROUTE"))
    assert all(open_ports(lab.scanner, *pair) == {"tcp", "udp"} for pair in pairs)

    server.write(*(scan_line(scanner, network="2001:db8:100::/64") for _, scanner in pairs))

    wait_for(
        lambda: not any(open_ports(lab.scanner, *pair) for pair in pairs),
        "both to be refused",
        evidence=server.evidence,
    )
    server.client("unban", "--all")
    wait_for(
        lambda: all(open_ports(lab.scanner, *pair) == {"tcp", "udp"} for pair in pairs),
        "both to be answered again",
        evidence=server.evidence,
    )
    assert server.errors() == []


def test_a_program_of_the_operators_gets_words(start_server: StartServer, tmp_path: Path) -> None:
    on_scan, record = recorder(tmp_path)
    server = start_server(NFTABLES + example("KILL_RUN_CMD").replace("/usr/local/sbin/on-scan", str(on_scan)))

    server.write(scan_line("192.0.2.1"), scan_line("2001:db8::1", technique="slow", network="2001:db8::/64"))
    words = ["192.0.2.1", "23", "syn", "port_scan", "203.0.113.0/24"]
    others = ["2001:db8::/64", "23", "syn", "slow", "2001:db8::/64"]
    wait_for(lambda: len(recorded(record)) == 2, "two calls", evidence=server.evidence)
    assert sorted(recorded(record)) == [["ban", *words], ["ban", *others]]
    environment = json.loads(Path(f"{record}.environment").read_text())
    assert list(environment.values()) in ([*words, platform.node()], [*others, platform.node()])

    server.stop()
    server.start()
    server.wait_for_bans(["192.0.2.1", "2001:db8::/64"])
    server.client("set", "portsentry", "banip", "192.0.2.9")
    wait_for(lambda: ["ban", "192.0.2.9", "", "", "", ""] in recorded(record), "a ban by hand")
    calls = recorded(record)
    assert [call for call in calls if call[0] == "ban"].count(["ban", *words]) == 1  # not for a restored one
    server.client("unban", "192.0.2.1")
    wait_for(lambda: ["unban", *words] in recorded(record), "the unban", evidence=server.evidence)
    assert server.errors() == []


@pytest.mark.parametrize(
    "action",
    [
        'portsentry-py-command[program="{}"]',
        """portsentry-py-command[command='{} ban "<src_ip>" "<dest_port>" "<scan_type>" "" ""']""",
        """portsentry-py-command[command='{} ban "$SRC_IP" "$DEST_PORT" "$SCAN_TYPE" "$TECHNIQUE" "$SRC_NET"']""",
    ],
    ids=["program", "tags", "variables"],
)
def test_no_shell_sees_what_the_log_says(start_server: StartServer, tmp_path: Path, action: str) -> None:
    # With a filter that lets everything through, so that the action is all that stands in between.
    on_scan, record = recorder(tmp_path)
    trace = tmp_path / "trace"
    hostile = [
        f"$(touch {trace})",
        f"`touch {trace}`",
        f"; touch {trace} ;",
        f"' ; touch {trace} ; '",
        f'" ; touch {trace} ; "',
        f"| touch {trace}",
        f"> {trace}",
        f'\\" ; touch {trace} #',
        "$HOME two words *",
        "<ip> <matches> %(action)s",
        "--help",
    ]
    server = start_server(
        f"{NFTABLES}[loose]\nenabled = true\nfilter = loose\nbackend = auto\nmaxretry = 1\n"
        f"logpath = %(portsentry/logpath)s\naction = {action.format(on_scan)}\n",
        {"filter.d/loose.conf": _LOOSE},
    )

    begin = json.loads(scan_line("192.0.2.1"))["timestamp"]
    lines = [
        f'{{"timestamp":"{begin}","src_ip":"192.0.2.{number}","scan_type":"{text}"}}'
        for number, text in enumerate(hostile, start=1)
    ]
    server.write(*lines)
    by_hand = ["$(id)", "`id`", "; id ;", "' ; id ; '", '" ; id ; "']
    for text in by_hand:
        server.client("set", "loose", "banip", text)
    calls = len(hostile) + len(by_hand)
    wait_for(lambda: len(recorded(record)) == calls, "all calls", evidence=server.evidence)

    by_address = {call[1]: call for call in recorded(record) if call[1].startswith("192.")}
    for number, text in enumerate(hostile, start=1):
        assert by_address[f"192.0.2.{number}"] == ["ban", f"192.0.2.{number}", "", text, "", ""]
    for text in by_hand:
        assert ["ban", text, "", "", "", ""] in recorded(record)
    assert not trace.exists()


def said(heading: str, name: str, start_server: StartServer, folder: Path) -> list[str]:
    """The arguments of the program `name` in the block below a heading, after a ban and an unban."""
    stand_in, record = recorder(folder)
    server = start_server(NFTABLES + example(heading).replace(f"'{name} ", f"'{stand_in} "))
    server.write(scan_line("192.0.2.1"))
    wait_for(lambda: recorded(record), "the call", evidence=server.evidence)
    assert "192.0.2.1" in server.listing()
    server.client("unban", "192.0.2.1")
    assert server.errors() == []
    (arguments,) = recorded(record)
    return arguments


def test_portanoias_command_speaks(start_server: StartServer, tmp_path: Path) -> None:
    spoken = said("portanoia's command", "espeak-ng", start_server, tmp_path)
    assert spoken == ["Scan from 192.0.2.1, port 23"]


def test_a_notification_names_the_host(start_server: StartServer, tmp_path: Path) -> None:
    assert said("A notification", "apprise", start_server, tmp_path) == [
        "--config=/etc/apprise.conf",
        f"--title={platform.node()} bans 192.0.2.1",
        "--body=port_scan (syn), last at port 23, network 203.0.113.0/24",
    ]
