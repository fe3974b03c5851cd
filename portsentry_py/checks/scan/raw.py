"""Sends raw probes, and receives the replies from a packet socket, before the firewall of this host sees them."""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress

from portsentry_py.capture.socket_filter import attach, compiled
from portsentry_py.checks.scan.cookies import FIRST_SOURCE_PORT, Cookies
from portsentry_py.checks.scan.model import Answer, Method, Protocol, Target, protocol_of
from portsentry_py.checks.scan.probes import Build, probes_of
from portsentry_py.checks.scan.replies import read_reply
from portsentry_py.checks.scan.rules import state_of
from portsentry_py.core.packet import SCTP, TCP, UDP
from portsentry_py.errors import PermissionDenied, ScanError

_NUMBERS: dict[Protocol, int] = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_BUFFER_BYTES = 8 << 20
_MOST_AT_ONCE = 512
_LONGEST_REPLY = 2048
_SECRET_BYTES = 32
_TAKE_NOTHING = struct.pack("=HBBI", 6, 0, 0, 0)  # linux/bpf_common.h: return 0
# The probe is lost then, as on the way; the next one may pass.
_LOSSES = {errno.EPERM, errno.EACCES, errno.EAGAIN, errno.ENOBUFS, errno.EINVAL, errno.ECONNREFUSED, errno.EPROTO}
_LOSSES |= {errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.EMSGSIZE}


class RawProber:
    """Sends the probes of every method but connect; see Prober.

    Raises:
        PermissionDenied: the user may not open raw sockets.
        ScanError: the kernel takes no filter.
        LibraryMissing: scapy is not installed.
    """

    def __init__(self, method: Method, targets: Iterable[Target]) -> None:
        targets = list(targets)
        self._method = method
        self._cookies = Cookies(method, os.urandom(_SECRET_BYTES))
        self._protocol = _NUMBERS[protocol_of(method)]
        self._own = frozenset(_packed(target.source) for target in targets)
        self._targets = {target.packed: target for target in targets}
        self._builds: dict[Target, Build] = {}
        self._senders: dict[str, socket.socket] = {}
        self._receivers: list[socket.socket] = []
        with ExitStack() as stack:
            stack.callback(self.close)
            try:
                self._open(targets)
            except PermissionError as error:
                raise PermissionDenied(f"{method} needs raw sockets; run as root, or use --method connect.") from error
            except OSError as error:
                raise ScanError(f"raw sockets cannot be used ({error}); use --method connect.") from error
            stack.pop_all()

    def _open(self, targets: list[Target]) -> None:
        for is_ipv4 in {target.is_ipv4 for target in targets}:
            kind = _ETH_P_IP if is_ipv4 else _ETH_P_IPV6
            receiver = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind))
            self._receivers.append(receiver)
            sources = {target.source for target in targets if target.is_ipv4 == is_ipv4}
            attach(receiver, compiled(reply_filter(protocol_of(self._method), sources, is_ipv4=is_ipv4)))
            receiver.setblocking(False)
            with suppress(OSError):  # a root without rights outside of its namespace has the ordinary buffer
                receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        for target in targets:
            if target.source not in self._senders:
                self._senders[target.source] = self._sender(target)

    def _sender(self, target: Target) -> socket.socket:
        sender = socket.socket(target.socket_family, socket.SOCK_RAW, self._protocol)
        attach(sender, _TAKE_NOTHING)  # else it queues every packet of the protocol
        sender.bind(target.endpoint(target.source))
        return sender

    def send(self, target: Target, port: int, attempt: int) -> None:
        """See Prober."""
        build = self._builds.get(target)
        if build is None:
            build = self._builds[target] = probes_of(self._method, target)
        probe = build(port, *self._cookies.of(target.packed, port, attempt))
        try:
            self._senders[target.source].sendto(probe, target.endpoint(target.address))
        except OSError as error:
            if error.errno not in _LOSSES:
                raise ScanError(f"{target.address}: cannot send ({error.strerror}); check the network.") from error

    def answers(self, seconds: float) -> Iterator[Answer]:
        """See Prober."""
        ready, _, _ = select.select(self._receivers, (), (), seconds)
        for receiver in ready:
            for _ in range(_MOST_AT_ONCE):
                try:
                    packet = receiver.recv(_LONGEST_REPLY)
                except BlockingIOError:
                    break
                except OSError:  # an interface went down; others may still receive
                    continue
                answer = self._answer(packet)
                if answer is not None:
                    yield answer

    def _answer(self, packet: bytes) -> Answer | None:
        reply = read_reply(packet, self._own, self._protocol)
        target = reply and self._targets.get(reply.host)
        if reply is None or target is None:
            return None
        attempt = self._cookies.attempt_of(reply)
        state = state_of(self._method, reply)
        if attempt is None or state is None:
            return None
        return Answer(target, reply.port, attempt, state, by_icmp=reply.protocol != self._protocol)

    def forget(self, target: Target, port: int) -> None:
        """See Prober: a raw probe holds nothing."""

    def close(self) -> None:
        """See Prober."""
        for one in (*self._receivers, *self._senders.values()):
            one.close()


def reply_filter(protocol: Protocol, sources: Iterable[str], *, is_ipv4: bool) -> str:
    """A libpcap expression for what may answer the probes: a busy host's other packets stay in the kernel."""
    to_us = " or ".join(f"dst host {source}" for source in sorted(sources))
    to_ports = f"{protocol} dst portrange {FIRST_SOURCE_PORT}-65535"
    error = "icmp[0] = 3" if is_ipv4 else "ip6[6] = 58 and ip6[40] = 1"
    return f"({to_us}) and (({to_ports}) or ({error}))"


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
