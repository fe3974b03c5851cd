"""What a host sent, and when: a capture beside the sensor, by the kernel's own clock."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.namespaces import IFACE, Host
from tests.support.needs import require_tool
from tests.support.running import fields
from tests.support.waiting import wait_for


@contextmanager
def tapped(host: Host, path: Path, what: str) -> Iterator[None]:
    """Capture the headers of what passes a host and a capture filter."""
    with path.with_suffix(".stderr").open("w") as said:
        dumpcap = host.start(
            *(require_tool("dumpcap"), "-q", "-i", IFACE, "-s", "64", "-B", "64"),
            *("-f", what, "-w", path),
            stderr=said,
        )
    wait_for(path.exists, "the tap")
    try:
        yield
    finally:
        dumpcap.terminate()
        dumpcap.wait(30)


def sent(path: Path) -> dict[str, list[float]]:
    """The moments, in seconds since 1970, of each address's segments that dumpcap has written so far."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for moment, address in fields(path, ("frame.time_epoch", "ip.src")):
        found[address].append(float(moment))
    return found
