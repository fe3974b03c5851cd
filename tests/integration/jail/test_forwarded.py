"""A ban covers the ports that are forwarded to a container."""

from collections.abc import Iterator

import pytest

from tests.integration.fixtures import StartServer
from tests.support import namespaces
from tests.support.fail2ban_server import FORWARDED, NFTABLES, scan_line
from tests.support.namespaces import Host, Lab
from tests.support.waiting import wait_for

pytestmark = pytest.mark.wire

PUBLISHED = 8080
_INSIDE = "172.17.0.2"
_TRANSLATE = {
    "nftables": f"""
        nft add table ip published
        nft 'add chain ip published in {{ type nat hook prerouting priority dstnat; }}'
        nft add rule ip published in tcp dport {PUBLISHED} dnat to {_INSIDE}:80
    """,
    "iptables": f"iptables -t nat -A PREROUTING -p tcp --dport {PUBLISHED} -j DNAT --to {_INSIDE}:80",
}
_FIREWALLS = {"nftables": NFTABLES, "iptables": FORWARDED}


@pytest.fixture
def container(lab: Lab) -> Iterator[Host]:
    """A web server that only the target reaches."""
    host = Host("container", (_INSIDE,), ())
    name, target = host.namespace, lab.target.namespace
    namespaces.ip("netns", "add", name)
    try:
        namespaces.ip("-n", name, "link", "set", "lo", "up")
        namespaces.ip("-n", target, "link", "add", "docker0", "type", "veth", "peer", "name", "eth0", "netns", name)
        for space, link, address in ((target, "docker0", "172.17.0.1"), (name, "eth0", _INSIDE)):
            namespaces.ip("-n", space, "addr", "add", f"{address}/16", "dev", link)
            namespaces.ip("-n", space, "link", "set", link, "up")
        namespaces.ip("-n", name, "route", "add", "default", "via", "172.17.0.1")
        lab.target.set_kernel("echo 1 >/proc/sys/net/ipv4/ip_forward")
        host.serve("serve")
        yield host
    finally:
        host.end()
        namespaces.remove(name)


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize("firewall", _FIREWALLS)
def test_a_banned_source_reaches_no_published_port(lab: Lab, start_server: StartServer, firewall: str) -> None:
    done = lab.target.run("sh", "-euc", _TRANSLATE[firewall])
    assert done.returncode == 0, done.stderr
    banned, neighbour = lab.scanner.ipv4
    server = start_server(_FIREWALLS[firewall])

    def reaches(source: str) -> bool:
        return lab.scanner.reaches(lab.target.ipv4[0], PUBLISHED, source=source)

    assert reaches(banned)
    server.write(scan_line(banned))
    wait_for(lambda: not reaches(banned), "the published port to be closed", evidence=server.evidence)
    assert reaches(neighbour)
    server.client("unban", "--all")
    wait_for(lambda: reaches(banned), "the port to be open again", evidence=server.evidence)
    assert server.errors() == []
