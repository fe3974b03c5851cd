"""Addresses that must never be banned, read from a tree of files that stands for the system's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portsentry_py.host.never_ban import protected_addresses, ssh_ports
from tests.support.build import no_deadline

ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t{gateway}\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
"""
ROUTES6 = """\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
20010db8000100000000000000000000 40 00000000000000000000000000000000 00 \
00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
20010db8000100000000000000000001 00000400 00000001 00000000 00000003     eth1
"""
# The kernel writes the address as a number of the machine's own byte order.
GATEWAY = "C0000201" if sys.byteorder == "big" else "010200C0"


def write(root: Path, **files: str) -> Path:
    """A tree of files; `__` in a name stands for a slash, `_dot_` for a full stop."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_an_empty_system_protects_no_address(tmp_path: Path) -> None:
    assert protected_addresses(tmp_path) == {}


def test_gateways_of_both_families(tmp_path: Path) -> None:
    routes = ROUTES.format(gateway=GATEWAY)
    write(tmp_path, proc__net__route=routes, proc__net__ipv6_route=ROUTES6)
    assert protected_addresses(tmp_path) == {"192.0.2.1": "gateway", "fe80::1": "gateway", "2001:db8:1::1": "gateway"}


def test_resolvers(tmp_path: Path) -> None:
    write(
        tmp_path,
        etc__resolv_dot_conf="# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.53\n"
        "nameserver 2001:DB8::53\n  nameserver\t198.51.100.53 # ours\noptions edns0\n",
        run__systemd__resolve__resolv_dot_conf="nameserver 198.51.100.54\n",
        run__NetworkManager__resolv_dot_conf="nameserver fe80::53%eth0\n",
    )
    assert protected_addresses(tmp_path) == {
        "127.0.0.53": "resolver",
        "2001:db8::53": "resolver",
        "198.51.100.53": "resolver",
        "198.51.100.54": "resolver",
        "fe80::53": "resolver",
    }


def test_time_servers(tmp_path: Path) -> None:
    write(
        tmp_path,
        etc__systemd__timesyncd_dot_conf="[Time]\nNTP=198.51.100.1 2001:db8::123 time.example.org\n"
        "#NTP=198.51.100.2\nFallbackNTP=198.51.100.3\nRootDistanceMaxSec=5\n",
        etc__chrony__chrony_dot_conf="pool 2.debian.pool.ntp.org iburst\nserver 198.51.100.4 iburst\n"
        "allow 203.0.113.0/24\n",
        etc__ntp_dot_conf="peer 198.51.100.5\nrestrict 203.0.113.1\n",
    )
    assert protected_addresses(tmp_path) == dict.fromkeys(
        ("198.51.100.1", "2001:db8::123", "198.51.100.3", "198.51.100.4", "198.51.100.5"), "ntp_server"
    )


def test_lease_servers(tmp_path: Path) -> None:
    write(
        tmp_path,
        var__lib__dhcp__dhclient_dot_eth0_dot_leases="lease {\n  fixed-address 192.0.2.10;\n"
        "  option dhcp-server-identifier 192.0.2.2;\n  option routers 192.0.2.9;\n}\n",
        run__systemd__netif__leases__2="ADDRESS=192.0.2.10\nSERVER_ADDRESS=192.0.2.3\nROUTER=192.0.2.9\n",
        var__lib__NetworkManager__internal_dot_lease="SERVER_ADDRESS=192.0.2.4\n",
    )
    assert protected_addresses(tmp_path) == dict.fromkeys(("192.0.2.2", "192.0.2.3", "192.0.2.4"), "dhcp_server")


def test_an_address_with_several_roles_has_the_most_important_reason(tmp_path: Path) -> None:
    """A home router is everything at once."""
    write(
        tmp_path,
        proc__net__route=ROUTES.format(gateway=GATEWAY),
        etc__resolv_dot_conf="nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
        run__systemd__netif__leases__2="SERVER_ADDRESS=192.0.2.2\n",
    )
    assert protected_addresses(tmp_path) == {"192.0.2.1": "gateway", "192.0.2.2": "resolver"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nameserver\n",
        "nameserver 1.2.3\nnameserver 1.2.3.4.5\nnameserver 999.1.1.1\n",
        "nameserver ::::\nnameserver 12345::1\nnameserver resolver.example.org\n",
        "\x00\x01\x02 nameserver",
    ],
)
def test_other_text_adds_nothing(tmp_path: Path, text: str) -> None:
    assert protected_addresses(write(tmp_path, etc__resolv_dot_conf=text)) == {}


@pytest.mark.parametrize("name", ["proc__net__route", "proc__net__ipv6_route"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "header\n",
        "header\neth0 0\n",
        "header\neth0 00000000 nothing 0003 0 0 100\n",
        "header\neth0 00000000 010200C0 flags 0 0 100\n",
        "header\neth0 00000000 1010200C00 0003 0 0 100\n",
        "0 0 0 0 nothing 0 0 0 3 eth0\n",
        "0 0 0 0 fe80 0 0 0 3 eth0\n",
        "0 0 0 0 fe800000000000000000000000000001 0 0 0 flags eth0\n",
    ],
)
def test_odd_routes_add_nothing_and_stop_nothing(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, **{name: text}, etc__resolv_dot_conf="nameserver 198.51.100.53\n")
    assert protected_addresses(tmp_path) == {"198.51.100.53": "resolver"}


def test_a_file_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc/resolv.conf").mkdir(parents=True)
    write(tmp_path, etc__ntp_dot_conf="server 198.51.100.1\n")
    assert protected_addresses(tmp_path) == {"198.51.100.1": "ntp_server"}


def test_bytes_that_are_no_text_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_bytes(b"\xff\xfe\nnameserver 198.51.100.53\n")
    assert protected_addresses(tmp_path) == {"198.51.100.53": "resolver"}


@no_deadline
@given(st.text(max_size=200))
def test_no_text_makes_it_raise(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("root")
    files = ("etc/resolv.conf", "etc/ntp.conf", "proc/net/route", "proc/net/ipv6_route")
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"nameserver {text}\n{text}", encoding="utf-8", errors="surrogatepass")
    assert set(protected_addresses(root).values()) <= {"gateway", "resolver", "ntp_server", "dhcp_server"}


def test_this_machine_is_read_without_complaint() -> None:
    assert isinstance(protected_addresses(), dict)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("", set()),
        ("Port 2222\nport 2223\n", {2222, 2223}),
        ('#Port 2222\nPort = 2223\nPort=2224\nPort "2225"\n', {2223, 2224, 2225}),
        ("ListenAddress 192.0.2.10:2222\nListenAddress [2001:db8::1]:2223\n", {2222, 2223}),
        ("ListenAddress 192.0.2.10\nListenAddress 2001:db8::1\nListenAddress host.example\n", set()),
        ("PortForwarding 1\nGatewayPorts 2\nPort ssh\nPort 123456\nPort\nPermitListen 8080\n", set()),
    ],
)
def test_the_ports_of_sshd_are_read(tmp_path: Path, text: str, ports: set[int]) -> None:
    assert ssh_ports(write(tmp_path, etc__ssh__sshd_config=text)) == ports


def test_sshd_has_several_files(tmp_path: Path) -> None:
    write(tmp_path, etc__ssh__sshd_config="Port 2222\n", etc__ssh__sshd_config_dot_d__a_dot_conf="Port 2223\n")
    assert ssh_ports(tmp_path) == {2222, 2223}


@pytest.mark.parametrize(
    ("files", "ports"),
    [
        ({"usr__lib": "[Socket]\nListenStream=22\n"}, {22}),
        ({"usr__lib": "ListenStream=0.0.0.0:22\nListenStream=[::]:2222\n"}, {22, 2222}),
        ({"usr__lib": "ListenStream=/run/ssh.sock\nListenStream=vsock::22\nListenStreams=1\n"}, set()),
        ({"usr__lib": "ListenStream=22\n", "etc": "ListenStream=2222\n"}, {2222}),
    ],
)
def test_the_ports_of_ssh_socket_units_are_read(tmp_path: Path, files: dict[str, str], ports: set[int]) -> None:
    write(tmp_path, **{f"{place}__systemd__system__ssh_dot_socket": text for place, text in files.items()})
    assert ssh_ports(tmp_path) == ports


def test_a_drop_in_cancels_the_ports_of_the_socket(tmp_path: Path) -> None:
    write(
        tmp_path,
        usr__lib__systemd__system__ssh_dot_socket="[Socket]\nListenStream=22\n",
        run__systemd__generator__ssh_dot_socket_dot_d__addresses_dot_conf="[Socket]\nListenStream=\nListenStream=2222\n",
        etc__systemd__system__ssh_dot_socket_dot_d__port_dot_conf="[Socket]\nListenStream = 2223\n",
    )
    assert ssh_ports(tmp_path) == {2222, 2223}
    # Of two drop-ins with the same name, the administrator's counts.
    write(tmp_path, etc__systemd__system__ssh_dot_socket_dot_d__addresses_dot_conf="[Socket]\nListenStream=2224\n")
    assert ssh_ports(tmp_path) == {22, 2224, 2223}


def test_a_file_that_may_not_be_read_adds_nothing(tmp_path: Path) -> None:
    write(
        tmp_path,
        etc__resolv_dot_conf="nameserver 192.0.2.1\n",
        etc__ntp_dot_conf="server 192.0.2.2\n",
        etc__ssh__sshd_config="Port 2222\n",
        var__lib__NetworkManager__eth0_dot_lease="SERVER_ADDRESS=192.0.2.3\n",
    )
    for name in ("etc/ssh/sshd_config", "etc/ntp.conf", "var/lib/NetworkManager"):
        (tmp_path / name).chmod(0)
    code = (
        "import sys; from pathlib import Path; from portsentry_py.host.never_ban import *\n"
        "for read in protected_addresses, ssh_ports: print(*read(Path(sys.argv[1])))"
    )
    # Root without capabilities is a user like any other.
    unprivileged = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*unprivileged, sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    (tmp_path / "var/lib/NetworkManager").chmod(0o700)  # so that it can be removed
    assert done.stdout.split() == ["192.0.2.1"]
