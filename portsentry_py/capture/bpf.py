"""The capture filter: plain ACKs, data and what tells nothing of visits stay in the kernel; workers share the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

# FIN, SYN, RST, ACK: a packet with ACK alone belongs to a session.
_MASK = 0x17
_ACK_ONLY = 0x10
_FIN_ACK = 0x11
# SYN alone, in a header of 40 bytes, as Linux and Android send it. Other stacks have other headers, so our SYN-ACK
# tells of this one.
_CALL = 0xA002
_EXTENSIONS = (0, 43, 44, 51, 60)
_FIRST_NEIGHBOUR_DISCOVERY = 130  # RFC 4443, RFC 4861: MLD and neighbour discovery follow echo
MAX_OWN = 128
_MAX_SERVED_ADDRESSES = 16
_MAX_RANGES = 24
_MAX_TCP_ADDRESSES = 8
_MAX_TCP_RANGES = 12
MAX_LINKS = 8
_MAX_ELSEWHERE = 128
_MAX_NETWORKS = 16
# The kernel takes 4,096 instructions. Of a longer filter it takes none: every packet is copied, and libpcap filters
# alone. So what stays in the kernel has the room that the forged sources leave. In a filter for tagged links, the parts
# take at most so many instructions, by the version of the address; measured with those that have no bits in common.
_ROOM = 3_300
_OWN = {4: (5, 3), 6: (24, 15)}  # with up to one tag, and behind two
_NETWORK = {4: (15, 9), 6: (22, 13)}
_SERVED_ADDRESS = {4: 8, 6: 36}
_SERVED_UDP = 100
_UDP_PORT, _UDP_RANGE = 24, 47
_SERVED_TCP, _VISITS = 400, 300


@dataclass(frozen=True, slots=True)
class FilterHost:
    """This host, as far as the filter uses it.

    Attributes:
        own: its addresses. What comes in with one of them as its source is forged.
        served_udp: UDP ports that it serves; their packets are no evidence.
        elsewhere: pairs of an interface and a network of ours that does not live there. What comes in there from the
            network is forged.
        twice: indexes of interfaces whose packets come from another capture too; that of all others leaves them out.
        served_tcp: TCP ports that it serves; its own end of a session is no evidence, nor is a client's first segment.
        wants_visits: whether those first segments are wanted all the same, for a line each.
    """

    own: frozenset[str] = frozenset()
    served_udp: frozenset[int] = frozenset()
    elsewhere: frozenset[tuple[str, str]] = frozenset()
    twice: frozenset[int] = frozenset()
    served_tcp: frozenset[int] = frozenset()
    wants_visits: bool = False

    @property
    def routable(self) -> frozenset[str]:
        """The addresses that strangers can forge; each container adds a link-local one."""
        return frozenset(one for one in self.own if not _is_local(ip_address(one)))

    @property
    def plain(self) -> "FilterHost":
        """The same host, of which nothing but the interfaces is known."""
        return FilterHost(twice=self.twice)

    @property
    def left_out(self) -> list[int]:
        """The interfaces that the capture of all others has room to leave out; the oldest have the lowest numbers."""
        return sorted(self.twice)[:_MAX_ELSEWHERE]

    @property
    def filtered_udp(self) -> frozenset[int]:
        """The served ports that the filter has room for."""
        return _ports_of(_fitting(self).udp)

    @property
    def unvisited_tcp(self) -> frozenset[int]:
        """The served ports to which first segments stay in the kernel."""
        return _ports_of(_fitting(self).visited)


PLAIN = FilterHost()
"""Nothing is known of the host: nothing of its own stays in the kernel."""


@dataclass(frozen=True, slots=True)
class _Fitting:
    """What of a host a filter has room for.

    Attributes:
        twice: how many of its addresses and networks are looked for behind two tags.
        udp: ranges of served UDP ports.
        tcp: ranges of served TCP ports, for our own ends of sessions.
        visited: the same, for first segments of clients.
    """

    twice: int
    udp: tuple[tuple[int, int], ...]
    tcp: tuple[tuple[int, int], ...]
    visited: tuple[tuple[int, int], ...]


@lru_cache(maxsize=8)
def _fitting(host: FilterHost) -> _Fitting:
    """What a filter for tagged links has room for: first what tells forged sources, then what is often sent."""
    own = [_version(one) for one in _widest_first(host.own)[:MAX_OWN]]
    sources = [*(_OWN[version] for version in own), *_networks(host)]
    left, twice = _ROOM - sum(once for once, _ in sources), 0
    for _, again in sources:
        if again > left:
            break
        left, twice = left - again, twice + 1
    left -= _SERVED_UDP + sum(_SERVED_ADDRESS[version] for version in own[:_MAX_SERVED_ADDRESSES])
    udp = []
    for low, high in _ranges(host.served_udp):
        left -= _UDP_PORT if low == high else _UDP_RANGE
        if left < 0:
            break
        udp.append((low, high))
    tcp = tuple(_ranges(host.served_tcp)[:_MAX_TCP_RANGES]) if left >= _SERVED_TCP else ()
    is_room = left >= _SERVED_TCP + _VISITS and not host.wants_visits and host.own
    return _Fitting(twice, tuple(udp), tcp, tcp if is_room else ())


def _networks(host: FilterHost) -> list[tuple[int, int]]:
    """What the networks that are forged take, on the interface where they take most."""
    found = dict[str, list[tuple[int, int]]]()
    for interface, network in host.elsewhere:
        found.setdefault(interface, []).append(_NETWORK[_version(network)])
    taken = (sorted(some)[-_MAX_NETWORKS:] for some in found.values())
    return max(taken, key=lambda some: sum(map(sum, some)), default=[])


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def kernel_filter(
    host: FilterHost,
    *,
    vlan: bool,
    interface: str = "",
    direction: bool = False,
    loopback: bool = False,
    others: bool = False,
    links: Iterable[str] = (),
    worker: int = 0,
    workers: int = 1,
) -> str:
    """The filter as a libpcap expression, of bounded length however much a host has.

    Args:
        host: what stays in the kernel because of this host.
        vlan: whether the link can carry VLAN tags (Ethernet); libpcap refuses the keyword on others.
        interface: its name.
        direction: whether the link tells which frames came in: every live one but loopback, where all do.
        loopback: whether it is the loopback interface, where a scanner may have the source address of a server.
        others: whether it is the filter for all other interfaces.
        links: on Ethernet, the link addresses of our interfaces.
        worker: number of the worker, from 0.
        workers: how many share the packets, a power of two.
    """
    forged = _forged(from_own(host, interface), links) if direction else ""
    share = _share(worker, workers) if workers > 1 else ""
    expression = _wanted(host, forged, share, ends=loopback)
    if others:
        # Frames with two tags have no IP header where the filter looks for it.
        left_out = " or ".join(f"ifindex {index}" for index in host.left_out) or "ifindex 0"
        return f"not ({left_out}) and ({expression} or ether proto 0x8100 or ether proto 0x88a8)"
    if not vlan:
        return expression
    # Each `vlan` moves all offsets after it, so the tagged forms come last, the double tag within the single.
    # Two tags are too rare to spend instructions on what they need not carry: what is served passes there.
    forged_twice = _forged(from_own(host, interface, _fitting(host).twice), links) if direction else ""
    twice = _wanted(PLAIN, forged_twice, share, ends=True)
    return f"({expression}) or (vlan and (({expression}) or (vlan and ({twice}))))"


def _wanted(host: FilterHost, forged: str, share: str, *, ends: bool) -> str:
    """What is let through of the packets of one link, with as many tags as the expressions before have skipped.

    Args:
        host: what stays in the kernel because of this host.
        forged: what is dropped; empty for nothing.
        share: what this worker takes; empty for all.
        ends: whether first segments to served ports and our own ends of sessions are let through too.
    """
    # A load beyond the end of a packet rejects it, whatever follows the `or`. Fragments come first: loading
    # the flags would reject the first piece of `nmap -f`, which has 8 bytes of TCP.
    parts = [
        "(ip[6:2] & 0x3fff != 0)",
        *(f"({one})" for one in _tcp(FilterHost() if ends else host)),
        f"({_udp(host)})",
        "icmp",
        f"(ip6[6] = 58 and ip6[40] < {_FIRST_NEIGHBOUR_DISCOVERY})",
        # Behind extension headers the flags can be anywhere.
        "(" + " or ".join(f"ip6[6] = {number}" for number in _EXTENSIONS) + ")",
        "(ip and not tcp and not udp and not icmp)",
        "(ip6 and not ip6[6] = 6 and not ip6[6] = 17 and not ip6[6] = 58)",
    ]
    expression = " or ".join(parts)
    if forged:
        expression = f"not ({forged}) and ({expression})"
    return f"({expression}) and ({share})" if share else expression


def from_own(host: FilterHost, interface: str = "", most: int = MAX_OWN + _MAX_NETWORKS) -> str:
    """An expression for the packets whose source is ours, so that they cannot come in; empty if none is known.

    Args:
        host: whose addresses and networks.
        interface: where they come in.
        most: so many of them are looked for, addresses first.
    """
    networks = sorted(network for name, network in host.elsewhere if name == interface)[:_MAX_NETWORKS]
    hosts = [f"src host {one}" for one in _widest_first(host.own)[:MAX_OWN]]
    return " or ".join([*hosts, *(f"src net {network}" for network in networks)][:most])


def _forged(own: str, links: Iterable[str]) -> str:
    """An expression for the packets that came in with a source of ours; empty if none is known."""
    return f"({own}){_unless_from(links)} and inbound" if own else ""


def _unless_from(links: Iterable[str]) -> str:
    """A condition that spares frames which carry one of our link addresses as their source.

    libpcap itself filters what comes in the first moments of a capture, and knows no direction then: it drops each
    packet whose direction the filter asks for. No stranger on another network can send such a frame. A neighbour can,
    but a switch sends it back to nobody, unless it is addressed to a group.
    """
    ours = " or ".join(f"ether src {link}" for link in sorted(links)[:MAX_LINKS])
    return f" and not (({ours}) and ether[0] & 1 = 0)" if ours else ""


def _tcp(host: FilterHost) -> tuple[str, str]:
    """Segments of IPv4 and of IPv6, less plain ACKs, data, and two of each session with a served port of ours.

    Those are the FIN that ends it from there, and its first segment if an ordinary client sends it. Our SYN-ACK tells
    of the latter, or our RST refuses it, and a proof is in the client's own FIN or RST. A FIN without ACK ends no
    session: a scanner on this host sends it.
    """
    # libpcap reads `tcp[13]` in IPv4 only. Behind tags, a port that it looks for behind IP options costs three times
    # as much as one at a fixed place; no stack sends these segments with options.
    found = []
    ranges, visited = _fitting(host).tcp, _fitting(host).visited
    for wanted, version, header, plain in (("tcp[13]", "ip", 20, "ip[0] & 15 = 5 and "), ("ip6[53]", "ip6", 40, "")):
        expression = f"{wanted} & {_MASK:#x} != {_ACK_ONLY:#x}"
        own = [one for one in _widest_first(host.own)[:_MAX_TCP_ADDRESSES] if (":" in one) == (version == "ip6")]
        if ranges and own:
            end = f"{version}[{header + 13}] & {_MASK:#x} = {_FIN_ACK:#x}"
            kept = _kept(end, f"{version}[{header}:2]", ranges, f"{version} src host", own)
            if visited:
                call = f"{version}[{header + 12}:2] = {_CALL:#x}"
                kept += f" or {_kept(call, f'{version}[{header + 2}:2]', visited, f'{version} dst host', own)}"
            expression += f" and not ({plain}({kept}))"
        found.append(expression)
    return found[0], f"ip6[6] = 6 and {found[1]}"


def _kept(segment: str, port: str, ranges: Iterable[tuple[int, int]], side: str, own: Iterable[str]) -> str:
    """A condition for segments of a kind that a served port of ours, on that side, sends or gets."""
    served = " or ".join(_port(port, low, high) for low, high in ranges)
    ours = " or ".join(f"{side} {one}" for one in own)
    return f"({segment} and ({served}) and ({ours}))"


def _ports_of(ranges: Iterable[tuple[int, int]]) -> frozenset[int]:
    return frozenset(port for low, high in ranges for port in range(low, high + 1))


def _port(number: str, low: int, high: int) -> str:
    """A condition for a port in a range: numbers have no sign, so one comparison is enough."""
    return f"{number} = {low}" if low == high else f"{number} - {low} <= {high - low}"


def _udp(host: FilterHost) -> str:
    """Datagrams, less those to and from a served port of ours.

    `not port N` would let a scan pass unseen that comes from source port N.
    """
    ranges = _fitting(host).udp
    own = _widest_first(host.own)[:_MAX_SERVED_ADDRESSES]
    if not ranges or not own:
        return "udp"
    # What is sent to a group is sent to every member: it probes nobody.
    to_us = f"{_addresses('dst', own)} or ip[16] >= 224 or ip6[24] = 255"
    return (
        f"udp and not (({_ports('dst', ranges)}) and ({to_us}))"
        f" and not (({_ports('src', ranges)}) and ({_addresses('src', own)}))"
    )


def _widest_first(own: Iterable[str]) -> list[str]:
    """In the order in which the addresses are worth a place: strangers know global ones, neighbours local ones."""
    found = sorted(
        map(ip_address, own),
        key=lambda one: (one.is_loopback, _is_local(one), not one.is_global, one.version, int(one)),
    )
    return list(map(str, found))


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    return address.is_loopback or address.is_link_local


def _ranges(ports: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbouring ports as ranges; the lowest first, because every user can open the others."""
    found: list[tuple[int, int]] = []
    for port in sorted(ports):
        if found and found[-1][1] == port - 1:
            found[-1] = (found[-1][0], port)
        else:
            found.append((port, port))
    return found[:_MAX_RANGES]


def _ports(side: str, ranges: Iterable[tuple[int, int]]) -> str:
    return " or ".join(
        f"udp {side} port {low}" if low == high else f"udp {side} portrange {low}-{high}" for low, high in ranges
    )


def _addresses(side: str, addresses: Iterable[str]) -> str:
    return " or ".join(f"{side} host {address}" for address in addresses)


def _share(worker: int, workers: int) -> str:
    """By the last bytes of both addresses: they are the same in a flow, its answers and its fragments."""
    mask = workers - 1
    return f"(ip[15] + ip[19]) & {mask} = {worker} or (ip6[23] + ip6[39]) & {mask} = {worker}"
