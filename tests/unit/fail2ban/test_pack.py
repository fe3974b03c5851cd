"""The shipped files come in the order of installation; their jails leave the operator's settings alone."""

import configparser
import shutil
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from portsentry_py.fail2ban.installer import install
from portsentry_py.fail2ban.pack import FLEET_JAIL, pack_files
from tests.support.needs import require_tool
from tests.support.running import ran, run

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


def _spares(network: str, lists: str, etc: Path) -> bool:
    """Whether the shipped `ignorecommand` says that a network is not banned."""
    parser = configparser.RawConfigParser()
    parser.read_string(pack_files()[-1].content.decode())
    command = parser["portsentry"]["ignorecommand"].replace("%(default/ignorecommand)s", "").replace("<ip>", network)
    (etc / "jail.d").mkdir(exist_ok=True)
    (etc / "jail.local").write_text(lists)
    return ran("sh", "-c", command.replace("%(portsentry/_etc)s", str(etc)).replace("%%", "%")).returncode == 0


@pytest.mark.parametrize(
    ("network", "is_spared"),
    [
        ("2001:db8:a::/64", True),
        ("2001:db8:a::1", False),
        ("2001:db8:b::/64", True),
        ("2001:db8:c::/48", True),
        ("2001:db8:c:1::/64", False),
        ("2001:db8:d::/64", False),
        ("2001:db8:e::/64", False),
        ("2001:db8:0:1::/64", True),
        ("2001:0:0:a::/64", True),
        ("2001:db8::/64", True),
        ("198.51.100.0/24", True),
        ("203.0.113.0/24", False),
        ("c633:6400::/32", False),
        ("127.0.0.1", True),
        ("::/64", True),
    ],
)
def test_a_network_with_a_listed_address_or_an_own_one_is_spared(network: str, is_spared: bool, tmp_path: Path) -> None:
    lists = (
        "[DEFAULT]\nignoreip = 127.0.0.1/8 ::1,2001:DB8:a::1, [2001:db8:0:1:2:3:4:5]\n"
        "  2001:0db8:000b:0:1::/80 198.51.100.7 host.example %(mine)s\n"
        "\t2001:db8:c::/48 2001:0:0:a:: 2001:db8::\nmine = 2001:db8:d::1\n\n  2001:db8:e::1\n# 203.0.113.9\n"
    )

    assert _spares(network, lists, tmp_path) is is_spared


_IPV6 = st.tuples(*(st.sampled_from((0, 1, 0xDB8, 0xFFFF)) for _ in range(8))).map(
    lambda parts: IPv6Address(":".join(f"{part:x}" for part in parts))
)
_IPV4 = st.tuples(*(st.sampled_from((0, 1, 10, 255)) for _ in range(4))).map(lambda parts: IPv4Address(bytes(parts)))
_ADDRESSES = st.one_of(_IPV4, _IPV6)


@given(
    listed=st.lists(st.tuples(_ADDRESSES, st.booleans()), max_size=4),
    address=_ADDRESSES,
    bits=st.sampled_from((16, 24, 48, 56, 64)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_network_is_spared_however_a_listed_address_is_written(
    listed: Iterable[tuple[IPv4Address | IPv6Address, bool]],
    address: IPv4Address | IPv6Address,
    bits: int,
    tmp_path: Path,
) -> None:
    network = ip_network(f"{address}/{min(bits, 24) if address.version == 4 else bits}", strict=False)
    assume(IPv6Address("::1") not in network)  # this host's own
    words = [one.exploded.upper() if is_long else str(one) for one, is_long in listed]

    spared = _spares(str(network), f"[DEFAULT]\nignoreip = {' '.join(words)}\n", tmp_path)

    assert spared is any(one in network for one, _ in listed)
