"""The capture filter: plain ACKs and data of sessions stay in the kernel, and workers share the rest."""

from collections.abc import Iterable

# FIN, SYN, RST, ACK: a packet with ACK alone belongs to a session.
_MASK = 0x17
_ACK_ONLY = 0x10
_EXTENSIONS = (0, 43, 44, 51, 60)
_FIRST_NEIGHBOUR_DISCOVERY = 130  # RFC 4443, RFC 4861: MLD and neighbour discovery follow echo


def kernel_filter(served_udp: Iterable[int], *, vlan: bool, worker: int = 0, workers: int = 1) -> str:
    """The filter as a libpcap expression.

    Args:
        served_udp: UDP ports served here; their packets are never evidence and stay in the kernel.
        vlan: whether the link can carry VLAN tags (Ethernet); libpcap refuses the keyword on others.
        worker: number of the worker, from 0.
        workers: how many share the packets, a power of two.
    """
    udp = " and ".join(["udp", *(f"not port {port}" for port in sorted(served_udp))])
    # A load beyond the end of a packet rejects it, whatever follows the `or`. Fragments come first: loading
    # the flags would reject the first piece of `nmap -f`, which has 8 bytes of TCP.
    parts = [
        "(ip[6:2] & 0x3fff != 0)",
        f"(tcp[13] & {_MASK:#x} != {_ACK_ONLY:#x})",  # libpcap reads `tcp[13]` in IPv4 only
        f"(ip6[6] = 6 and ip6[53] & {_MASK:#x} != {_ACK_ONLY:#x})",
        f"({udp})",
        "icmp",
        f"(ip6[6] = 58 and ip6[40] < {_FIRST_NEIGHBOUR_DISCOVERY})",
        # Behind extension headers the flags can be anywhere.
        "(" + " or ".join(f"ip6[6] = {number}" for number in _EXTENSIONS) + ")",
        "(ip and not tcp and not udp and not icmp)",
        "(ip6 and not ip6[6] = 6 and not ip6[6] = 17 and not ip6[6] = 58)",
    ]
    expression = " or ".join(parts)
    if workers > 1:
        expression = f"({expression}) and ({_share(worker, workers)})"
    if not vlan:
        return expression
    # Each `vlan` moves all offsets after it, so the tagged forms come last, the double tag within the single.
    return f"({expression}) or (vlan and (({expression}) or (vlan and ({expression}))))"


def _share(worker: int, workers: int) -> str:
    """By the last bytes of both addresses: they are the same in a flow, its answers and its fragments."""
    mask = workers - 1
    return f"(ip[15] + ip[19]) & {mask} = {worker} or (ip6[23] + ip6[39]) & {mask} = {worker}"
