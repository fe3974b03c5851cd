"""The capture filter: what the kernel hands over at all. Plain ACKs and data of running sessions stay there.

Offsets: libpcap's `tcp[13]` sees IPv4 only; in IPv6 without extension headers the flags are byte 53, and a
packet with extension headers is let through whole. Fragments pass, because `nmap -f` splits the header.
Among workers, the last bytes of both addresses decide: a flow, its answers and its fragments have the same.
"""

from collections.abc import Iterable

# FIN, SYN, RST, ACK: only ACK set means established traffic.
_MASK = 0x17
_ACK_ONLY = 0x10
_EXTENSIONS = (0, 43, 44, 51, 60)
_FIRST_NEIGHBOUR_DISCOVERY = 130  # RFC 4443, RFC 4861: above echo come MLD and neighbour discovery


def kernel_filter(served_udp: Iterable[int], *, vlan: bool, worker: int = 0, workers: int = 1) -> str:
    """The libpcap filter expression.

    Args:
        served_udp: UDP ports served here; their traffic is never evidence and stays in the kernel.
        vlan: whether the link can carry VLAN tags (Ethernet); other links refuse the keyword.
        worker: which share of the packets, from 0 on.
        workers: in how many shares they are divided, a power of two.
    """
    udp = " and ".join(["udp", *(f"not port {port}" for port in sorted(served_udp))])
    # A load behind a packet's end rejects the packet, whatever stands after the `or`: fragments come first,
    # or the first piece of `nmap -f` (8 bytes of TCP) would be lost at the load of the flags.
    parts = [
        "(ip[6:2] & 0x3fff != 0)",
        f"(tcp[13] & {_MASK:#x} != {_ACK_ONLY:#x})",
        f"(ip6[6] = 6 and ip6[53] & {_MASK:#x} != {_ACK_ONLY:#x})",
        f"({udp})",
        "icmp",
        f"(ip6[6] = 58 and ip6[40] < {_FIRST_NEIGHBOUR_DISCOVERY})",
        "(" + " or ".join(f"ip6[6] = {number}" for number in _EXTENSIONS) + ")",
        "(ip and not tcp and not udp and not icmp)",
        "(ip6 and not ip6[6] = 6 and not ip6[6] = 17 and not ip6[6] = 58)",
    ]
    expression = " or ".join(parts)
    if workers > 1:
        expression = f"({expression}) and ({_share(worker, workers)})"
    if not vlan:
        return expression
    # Each `vlan` moves all later offsets, so the tagged forms come last, the double tag inside the single.
    return f"({expression}) or (vlan and (({expression}) or (vlan and ({expression}))))"


def _share(worker: int, workers: int) -> str:
    mask = workers - 1
    return f"(ip[15] + ip[19]) & {mask} = {worker} or (ip6[23] + ip6[39]) & {mask} = {worker}"
