"""Programs on the hosts of a live attack. Standard library only: each is run as a script.

air IFACE                 sends the frames that it reads, and says what the victim told
serve PORTS PORTS         the victim's services: TCP ports, UDP ports
answer PORT               a server that answers every datagram
ask ADDRESS PORT TIMES    asks a server, from a new port each time
visit SOURCE ADDRESS PORT TIMES   opens and closes TCP sessions
hold SOURCE ADDRESS PORT  opens a TCP session and keeps it
sockets COUNT             opens UDP sockets
listen NAME PORT          listens on a TCP port under another process name
"""

import ctypes
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

_READY = "ready"
_EVERYTHING = 3  # ETH_P_ALL, linux/if_ether.h
_OUTGOING = 4  # PACKET_OUTGOING, linux/if_packet.h
_PR_SET_NAME = 15
_TCP, _UDP, _ICMP, _ICMPV6, _UDP_LITE = 6, 17, 1, 58, 136
_SYN_ACK, _RST_ACK, _RST = 0x12, 0x14, 0x04
_EXTENSIONS = (0, 43, 60)
_FOREVER = 10_000


def _ready() -> None:
    print(_READY, flush=True)


def air(iface: str) -> None:
    """Read `gap_us hex` lines and send; `sent` asks for a receipt, `learned` for what the victim told."""
    learned: set[tuple[int, int]] = set()
    listening = _link(iface, _EVERYTHING)
    threading.Thread(target=_listen, args=(listening, learned), daemon=True).start()
    sending = _link(iface, 0)
    due = time.monotonic()
    _ready()
    for line in sys.stdin:
        word, _, data = line.strip().partition(" ")
        if word == "sent":
            print("sent", flush=True)
        elif word == "learned":
            print(json.dumps(sorted(learned)), flush=True)
        else:
            due = max(due + int(word) / 1e6, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))
            sending.send(bytes.fromhex(data))


def _link(iface: str, protocol: int) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    opened.bind((iface, protocol))
    return opened


def _listen(listening: socket.socket, learned: set[tuple[int, int]]) -> None:
    while True:
        frame, (_, _, kind, _, _) = listening.recvfrom(2048)
        if kind != _OUTGOING:
            try:
                learned.update(_told(frame))
            except (IndexError, struct.error):
                continue


def _told(frame: bytes) -> list[tuple[int, int]]:
    """The ports, with their protocol, about which a frame says whether they are served."""
    packet = frame[14:]
    if frame[12:14] == b"\x08\x00":
        head, proto, quoted = (packet[0] & 15) * 4, packet[9], 8
    elif frame[12:14] == b"\x86\xdd":
        head, proto, quoted = 40, packet[6], 8
    else:
        return []
    upper = packet[head:]
    if proto == _TCP and upper[13] & 0x3F in {_SYN_ACK, _RST_ACK, _RST}:
        return [(proto, int.from_bytes(upper[0:2], "big"))]
    if (proto, upper[0]) in {(_ICMP, 3), (_ICMPV6, 1)}:
        inner = upper[quoted:]
        start, carried = ((inner[0] & 15) * 4, inner[9]) if proto == _ICMP else (40, inner[6])
        while carried in _EXTENSIONS:
            start, carried = start + 8 * (inner[start + 1] + 1), inner[start]
        return [(carried, int.from_bytes(inner[start + 2 : start + 4], "big"))]
    if proto in {_UDP, _UDP_LITE}:
        return [(proto, int.from_bytes(upper[0:2], "big"))]
    return []


def serve(tcp: str, udp: str) -> None:
    """Accept everybody on the TCP ports, say a line and close; keep the UDP ports open and silent."""
    sockets = [_dual(int(port), socket.SOCK_STREAM) for port in tcp.split(",") if port]
    kept = [_dual(int(port), socket.SOCK_DGRAM) for port in udp.split(",") if port]
    for one in sockets:
        one.listen(512)
        threading.Thread(target=_accept, args=(one,), daemon=True).start()
    _ready()
    time.sleep(_FOREVER)
    for one in kept:
        one.close()


def _dual(port: int, kind: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    opened.bind(("::", port))
    return opened


def _accept(listening: socket.socket) -> None:
    while True:
        guest, _ = listening.accept()
        threading.Thread(target=_greet, args=(guest,), daemon=True).start()


def _greet(guest: socket.socket) -> None:
    with guest:
        try:
            while guest.recv(4096):
                guest.send(b"x" * 200)
        except OSError:
            return


def answer(port: str) -> None:
    """Answer every datagram."""
    opened = _dual(int(port), socket.SOCK_DGRAM)
    _ready()
    while True:
        data, peer = opened.recvfrom(2048)
        opened.sendto(data * 2, peer)


def ask(address: str, port: str, times: str) -> None:
    """Ask, and wait for each answer a second at most."""
    for _ in range(int(times)):
        with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect((address, int(port)))
            client.send(b"?" * 30)
            try:
                client.recv(2048)
            except OSError:
                continue
    _ready()


def visit(source: str, address: str, port: str, times: str) -> None:
    """Open a session, get an answer, close it; so many times."""
    for _ in range(int(times)):
        with _connected(source, address, int(port)) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            client.recv(2048)
    _ready()


def hold(source: str, address: str, port: str) -> None:
    """Open a session and keep it until we are ended."""
    with _connected(source, address, int(port)):
        _ready()
        time.sleep(_FOREVER)


def sockets(count: str) -> None:
    """Open UDP sockets on ports that the kernel chooses."""
    kept = []
    for _ in range(int(count)):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("0.0.0.0", 0))
        kept.append(opened)
    _ready()
    time.sleep(_FOREVER)


def listen(name: str, port: str) -> None:
    """Listen like `serve`, with that process name."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    serve(port, "")


def _connected(source: str, address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), timeout=10, source_address=(source, 0))


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


_PROGRAMS: dict[str, Callable[..., None]] = {
    one.__name__: one for one in (air, serve, answer, ask, visit, hold, sockets, listen)
}

if __name__ == "__main__":
    _PROGRAMS[sys.argv[1]](*sys.argv[2:])
