"""A ban waits for no name server."""

import re
from pathlib import Path

import pytest

from tests.integration.fixtures import StartServer
from tests.support.fail2ban_server import DEBIAN, NFTABLES, Fail2ban, Fail2banServer, scan_line
from tests.support.namespaces import Lab

pytestmark = pytest.mark.wire

_SILENT = """
nft add table inet quiet
nft 'add chain inet quiet in { type filter hook input priority 0; }'
nft add rule inet quiet in udp dport 53 counter drop
"""


class Nameless(Fail2ban):
    """Debian's fail2ban on a host whose name is in no file, with a name server that does not answer."""

    def program(self, name: str) -> list[str]:
        script = 'hostname stray.example && mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "--uts", "sh", "-euc", script, self.origin, *super().program(name)]


@pytest.mark.parametrize(("setting", "asks"), [("", False), ("[portsentry]\nignoreself = true\n", True)])
def test_the_first_ban_asks_no_name_server(lab: Lab, tmp_path: Path, setting: str, asks: bool) -> None:
    assert lab.visitor.run("sh", "-euc", _SILENT).returncode == 0
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {lab.visitor.ipv4[0]}\noptions timeout:1 attempts:1\n")
    server = Fail2banServer(lab.target, tmp_path, NFTABLES + setting, which=Nameless(str(resolver), DEBIAN.config))

    server.write(scan_line("192.0.2.1"))
    server.wait_for_ban("192.0.2.1")

    rule = lab.visitor.run("nft", "list", "table", "inet", "quiet").stdout
    questions = re.search(r"counter packets (\d+)", rule)
    assert questions is not None
    assert (int(questions[1]) > 0) == asks, rule


def test_an_address_of_this_host_is_not_banned(lab: Lab, start_server: StartServer) -> None:
    server = start_server(NFTABLES)
    own = lab.target.ipv4[0]

    server.write(scan_line(own), scan_line("192.0.2.1"))
    server.wait_for_ban("192.0.2.1")

    assert server.banned() == {"192.0.2.1"}
    assert any(f"Ignore {own} by command" in line for line in server.messages())
