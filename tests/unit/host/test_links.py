"""The links of this host, as the kernel describes them."""

import json
import sys

from portsentry_py.host.links import Link, links
from tests.support.needs import require_root
from tests.support.running import run

_SMALL_HOST = """
ip link add br0 up type bridge
ip link add in0 type veth peer name out0
ip link set in0 master br0
ip tuntap add dev tun0 mode tun
exec "$0" -c '
import dataclasses, json
from portsentry_py.host.links import links
print(json.dumps([dataclasses.asdict(link) for link in links()]))
'
"""


def test_loopback_is_there_and_says_so() -> None:
    (loopback,) = [link for link in links() if link.loopback]
    assert (loopback.index, loopback.name, loopback.kind, loopback.master) == (1, "lo", "", 0)


def test_a_bridge_its_port_and_a_tunnel_are_told_apart() -> None:
    require_root()
    described = json.loads(run("unshare", "--net", "sh", "-euc", _SMALL_HOST, sys.executable))
    found = {link.name: link for link in (Link(**fields) for fields in described)}
    bridge, port, peer, tunnel = (found[name] for name in ("br0", "in0", "out0", "tun0"))
    assert (bridge.kind, bridge.up, tunnel.kind, tunnel.up) == ("bridge", True, "tun", False)
    assert (port.kind, port.master, peer.parent) == ("veth", bridge.index, port.index)
