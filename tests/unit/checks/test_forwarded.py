"""Forwarded ports are found in the words of nft and of iptables."""

import pytest

from portsentry_py.checks.forwarded import forwarded_ports, kernel_rules, shown


@pytest.mark.parametrize(
    ("rule", "port"),
    [
        ("tcp dport 8080 counter packets 0 bytes 0 dnat to 172.17.0.2:80", "8080"),
        ("tcp dport { 80, 443 } dnat ip to 10.0.0.2", "80, 443"),
        ("iifname eth0 dnat to 10.0.0.2", "all"),
        ("-A DOCKER ! -i docker0 -p tcp -m tcp --dport 5000:5010 -j DNAT --to-destination 172.17.0.2", "5000:5010"),
        ("-A PREROUTING -p tcp -m multiport --dports 80,443 -j DNAT --to-destination 10.0.0.2", "80,443"),
    ],
)
def test_a_rule_that_forwards_gives_its_port(rule: str, port: str) -> None:
    assert forwarded_ports(f"*nat\n{rule}\nCOMMIT\n") == [port]


@pytest.mark.parametrize("rule", ["tcp dport 22 accept", "ip saddr 10.0.0.0/8 masquerade", "-A INPUT -j ACCEPT", ""])
def test_another_rule_gives_none(rule: str) -> None:
    assert forwarded_ports(rule) == []


def test_many_ports_are_cut_short() -> None:
    assert shown(map(str, range(10))) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_without_programs_there_are_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_words: None)
    assert not kernel_rules()


def test_a_program_that_cannot_be_started_gives_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_words: "/nonexistent")
    assert not kernel_rules()
