"""When the kernel gets a rule about an address: `nft monitor`, read as it speaks."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from tests.support.namespaces import Host

_ELEMENT = re.compile(r"add element inet f2b-\S+ addr6?-set-\S+-(tcp|udp) \{ ([0-9a-f.:]+)")


@contextmanager
def watched(host: Host) -> Iterator[dict[str, float]]:
    """Since when (seconds since 1970) each address is refused, over TCP and UDP both; it fills up."""
    ruled: dict[str, float] = {}
    monitor = host.start("nft", "monitor", "elements", stdout=subprocess.PIPE)
    reader = Thread(target=_read, args=(monitor, ruled), daemon=True)
    reader.start()
    try:
        yield ruled
    finally:
        monitor.kill()
        reader.join()


def _read(monitor: subprocess.Popen[str], ruled: dict[str, float]) -> None:
    half: set[tuple[str, str]] = set()
    for line in monitor.stdout or ():
        now = time.time()
        found = _ELEMENT.search(line)
        if found:
            proto, address = found.groups()
            half.add((proto, address))
            if {("tcp", address), ("udp", address)} <= half:
                ruled.setdefault(address, now)
