"""The command lines of dumpcap and tshark, and their environment."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from portsentry_py.capture.bpf import FilterHost, kernel_filter
from portsentry_py.config.settings import Capture, WorkerCount, Workers
from portsentry_py.core.columns import COLUMNS, LINK_COLUMNS
from portsentry_py.host.interfaces import Interface, link_addresses
from portsentry_py.privsep.sandbox import sandboxed

# Our own profile switches the layer-4 dissectors off and keeps the user's settings out.
_PROFILE = Path(__file__).with_name("wireshark")
_NOWHERE = "/nonexistent"
# Nothing behind an IP header is dissected but IPv6 extension headers (0, 43, 44, 51, 60): what lies inside a tunnel
# (IP in IP, GRE, EtherIP, PIM registers ...) can claim any address, and this host may never have opened it. A tunnel
# that it does open shows its inside on an interface of its own.
_OPAQUE = [word for numbers in ("1-42", "45-50", "52-59", "61-255") for word in ("-d", f"ip.proto=={numbers},data")]
# The Python process keeps up with no more than two.
_CORES_FOR_TWO = 4
RING_FILES = 16
"""How many files the packet ring has."""
_RING_BUFFER_MIB = 2
_SHARE_OF_OTHERS = 4  # interfaces that come and go get this part of the buffer


def dumpcap_commands(
    dumpcap: str, interfaces: list[Interface], host: FilterHost, settings: Capture
) -> Iterator[list[str]]:
    """The command line of each worker's dumpcap; together they have the whole buffer.

    The last one is that of all other interfaces, if they are wanted: dumpcap ends when one of its interfaces goes, and
    a capture of all others has none that can go.
    """
    named = [one for one in interfaces if not one.others]
    rest = [one for one in interfaces if one.others]
    workers = worker_count(settings.workers)
    for_rest = settings.buffer_mib // (_SHARE_OF_OTHERS if named else 1) if rest else 0
    buffer_mib = (settings.buffer_mib - for_rest) // workers
    for number in range(workers if named else 0):
        yield _command(dumpcap, named, host, settings.snap_bytes, buffer_mib, worker=number, workers=workers)
    if rest:
        yield _command(dumpcap, rest, host, settings.snap_bytes, for_rest)


def _command(
    dumpcap: str,
    interfaces: list[Interface],
    host: FilterHost,
    snap_bytes: int,
    buffer_mib: int,
    *,
    worker: int = 0,
    workers: int = 1,
) -> list[str]:
    """One dumpcap.

    The filter that most interfaces need stands before the first: dumpcap applies it to all that have no other, and
    many interfaces do not make the command line too long.
    """
    # With several interfaces dumpcap has a queue of its own, and drops all beyond a thousand packets.
    queue_mib = max(1, buffer_mib // 2) if len(interfaces) > 1 else 0
    kernel_mib = max(1, (buffer_mib - queue_mib) // len(interfaces))  # of each
    command = [dumpcap, "-q", "-s", str(snap_bytes), "-B", str(kernel_mib)]
    if queue_mib:
        command += ["-C", str(queue_mib << 20)]
    links = link_addresses(interfaces)
    filters = [
        kernel_filter(
            host,
            vlan=interface.ethernet,
            interface=interface.name,
            direction=not interface.loopback,
            loopback=interface.loopback,
            others=interface.others,
            links=links if interface.ethernet else (),
            worker=worker,
            workers=workers,
        )
        for interface in interfaces
    ]
    usual = Counter(filters).most_common(1)[0][0]
    command += ["-f", usual]
    for interface, expression in zip(interfaces, filters, strict=True):
        command += ["-i", interface.name, *(["-f", expression] if expression != usual else [])]
        # Only with this header, the kernel can tell the interfaces apart.
        command += ["-y", "LINUX_SLL2"] if interface.others else []
    return [*command, "-w", "-"]


def only_interface(command: Sequence[str]) -> str:
    """The interface on which a dumpcap of this command line captures; empty if there are several."""
    names = [name for option, name in pairwise(command) if option == "-i"]
    return names[0] if len(names) == 1 else ""


def ring_commands(
    dumpcap: str, interfaces: list[Interface], host: FilterHost, settings: Capture, folder: Path
) -> tuple[list[str], list[str]]:
    """The command lines of a capture for the packet ring, and of the dumpcap that writes its files."""
    capture = _command(dumpcap, interfaces, host, settings.snap_bytes, _RING_BUFFER_MIB)
    seconds = max(1, settings.keep_minutes * 60 // (RING_FILES - 1))  # one of them is not full yet
    ring = {"duration": seconds, "files": RING_FILES, "filesize": (settings.keep_mib << 10) // RING_FILES}
    options = [word for name, number in ring.items() for word in ("-b", f"{name}:{number}")]
    return capture, [dumpcap, "-q", "-i", "-", "-w", str(folder / "ring.pcapng"), *options]


def worker_count(wanted: Workers, cores: int | None = None) -> WorkerCount:
    """How many workers share the packets.

    Args:
        wanted: a number, or `auto`.
        cores: that we may run on; those of this process by default.
    """
    if isinstance(wanted, int):
        return wanted
    return 2 if (cores or len(os.sched_getaffinity(0))) >= _CORES_FOR_TWO else 1


def tshark_command(tshark: str, source: str, *, link: bool = False, interface: bool = True) -> list[str]:
    """The command line of a sandboxed tshark.

    Args:
        tshark: its path.
        source: a file, or `-` for standard input.
        link: whether the link columns are wanted too.
        interface: whether the last one of the others is wanted, the interface.
    """
    wanted = (*(COLUMNS if interface else COLUMNS[:-1]), *(LINK_COLUMNS if link else ()))
    columns = ",".join(f'"{title}","{form}"' for title, form in wanted)
    output = ["-t", "e", "-T", "tabs", "-o", f"gui.column.format:{columns}"]
    command = [tshark, "-n", "-r", source, *_OPAQUE, *output]
    if source == "-":
        return sandboxed([*command, "-l"], [str(_PROFILE)])
    return sandboxed(command, [str(_PROFILE), source])


def version_command(tshark: str) -> list[str]:
    """The command line of a sandboxed tshark that prints its version."""
    return sandboxed([tshark, "-v"], [str(_PROFILE)])


def select_command(tshark: str, path: str, wanted: str) -> list[str]:
    """The command line of a sandboxed tshark that copies the packets of a file which pass a display filter.

    It dissects no more than the sensor's does: it remembers no conversation, however long the file is.
    """
    command = [tshark, "-n", "-r", path, *_OPAQUE, "-Y", wanted, "-w", "-"]
    return sandboxed(command, [str(_PROFILE), path])


def dissect_command(tshark: str, most: int) -> list[str]:
    """The command line of a sandboxed tshark that prints the first packets of its standard input as PDML."""
    plain = ["/usr/bin/env", f"WIRESHARK_CONFIG_DIR={_NOWHERE}"]
    return sandboxed([*plain, tshark, "-n", "-l", "-r", "-", "-c", str(most), "-T", "pdml"], [tshark])


def environment() -> dict[str, str]:
    """The environment of tshark."""
    return {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "WIRESHARK_CONFIG_DIR": str(_PROFILE),
        # tshark 3.6 starts every program there, even with `-v`, and waits twenty seconds for one of them.
        "WIRESHARK_EXTCAP_DIR": _NOWHERE,
        "HOME": _NOWHERE,  # it would load plugins from there
        "WIRESHARK_PLUGIN_DIR": _NOWHERE,
    }
