"""Ports of this host that answer while the drill asks whether a ban holds."""

import selectors
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from portsentry_py.checks.drill.addresses import Target
from portsentry_py.errors import DrillError

_PAUSE_SECONDS = 0.1

Ports = dict[tuple[int, str], int]
"""The port for an IP version and a transport."""


@contextmanager
def responding(targets: Iterable[Target]) -> Iterator[Ports]:
    """Open a TCP and a UDP port on each target's address, which answer everybody.

    Raises:
        DrillError: they cannot be opened.
    """
    with ExitStack() as stack:
        try:
            opened = {
                (one.version, name): stack.enter_context(_listener(one, kind))
                for one in targets
                for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM))
            }
        except OSError as error:
            raise DrillError(f"no port can be opened for the drill ({error.strerror}); run it again.") from error
        ended = threading.Event()
        datagrams = [one for (_, name), one in opened.items() if name == "udp"]
        thread = threading.Thread(target=_echo, args=(datagrams, ended), daemon=True)
        thread.start()
        try:
            yield {key: one.getsockname()[1] for key, one in opened.items()}
        finally:
            ended.set()
            thread.join()


def _listener(target: Target, kind: int) -> socket.socket:
    """A socket; the kernel accepts connections by itself, as many as its queue holds."""
    made = socket.socket(socket.AF_INET6 if ":" in target.address else socket.AF_INET, kind)
    try:
        made.bind((target.address, 0))
        if kind == socket.SOCK_STREAM:
            made.listen(128)
        else:
            made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _echo(sockets: Iterable[socket.socket], ended: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ, one)
        while not ended.is_set():
            for key, _ in selector.select(_PAUSE_SECONDS):
                with suppress(OSError):
                    data, sender = key.data.recvfrom(512)
                    key.data.sendto(data, sender)
