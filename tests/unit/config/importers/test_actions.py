"""Each way to block becomes an action of fail2ban, or nothing."""

import pytest

from portsentry_py.config.importers.actions import FIREWALL, hosts_deny, kill_route, receivers, run_command


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("/usr/local/bin/iptables -I INPUT -s $TARGET$ -j DROP", FIREWALL),
        ("nft add rule ip filter input ip saddr $TARGET$ drop", FIREWALL),
        ("/sbin/route add -host $TARGET$ reject", 'route[blocktype="unreachable"]'),
        ("ip route add blackhole $TARGET$", 'route[blocktype="blackhole"]'),
        ("/opt/block $TARGET$", None),
    ],
)
def test_a_blocking_command(command: str, action: str | None) -> None:
    assert kill_route(command) == action


@pytest.mark.parametrize(
    ("daemons", "action"),
    [
        ("ALL", "portsentry-py-hostsdeny"),
        ("sshd, vsftpd", 'portsentry-py-hostsdeny[daemon_list="sshd, vsftpd"]'),
        ('x"]\naction = y', None),
    ],
)
def test_an_entry_in_hosts_deny(daemons: str, action: str | None) -> None:
    assert hosts_deny(daemons) == action


@pytest.mark.parametrize(
    "command", ["a 'b'", "a %(b)s", "a <matches>", "a ; b", "a\nb", "a `b`", "a # b", "a \\ b", "date +%s", "ä"]
)
def test_a_command_that_a_jail_file_reads_otherwise_is_refused(command: str) -> None:
    assert run_command(command) is None


def test_a_plain_command_stays() -> None:
    command = 'echo "$SRC_IP" | tee -a /var/log/x && sync'
    assert run_command(command) == f"portsentry-py-command[command='{command}']"


@pytest.mark.parametrize(
    ("addresses", "names"),
    [("root@localhost, a@b.example", "root@localhost,a@b.example"), ("", None), ("a@b;c", None), ("%(x)s", None)],
)
def test_receivers_of_mail(addresses: str, names: str | None) -> None:
    assert receivers(addresses) == names
