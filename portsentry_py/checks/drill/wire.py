"""The drill's wire: a pair of interfaces from this host into the stranger's network namespace.

The kernel removes the namespace, both interfaces, their routes and the filter when the stranger's process ends. That
ends with its input, whatever kills the drill.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from portsentry_py.checks.drill.addresses import Target
from portsentry_py.errors import DrillError
from portsentry_py.host.interfaces import DRILL_LINK, all_interfaces

# Both ends have the same address and no ARP: nobody has to be asked for it. RFC 9542 keeps it for documentation.
_LINK_ADDRESS = "02:00:5e:00:53:01"
_PROGRAM = Path(__file__).with_name("stranger.py")
_COMMAND_SECONDS = 20
_PATH = ("/usr/sbin", "/sbin")


class Stranger:
    """The process in the namespace.

    Args:
        pid: its number.
        requests: its input.
        answers: its output.
    """

    def __init__(self, pid: int, requests: IO[str], answers: IO[str]) -> None:
        self.pid = pid
        self._requests = requests
        self._answers = answers

    def probe(self, method: str, source: str, target: str, ports: Sequence[int]) -> None:
        """Send a probe to each port.

        Raises:
            DrillError: it cannot.
        """
        self._ask({"probe": {"method": method, "source": source, "target": target, "ports": list(ports)}})

    def reach(self, asks: Sequence[tuple[str, str, str, int]], seconds: float) -> list[bool]:
        """Whether each (transport, source, target, port) answers.

        Raises:
            DrillError: it cannot ask.
        """
        answered = set(self._ask({"reach": {"asks": asks, "seconds": seconds}})["answered"])
        return [number in answered for number in range(len(asks))]

    def _ask(self, request: object) -> dict[str, Any]:
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            found: dict[str, Any] = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            raise DrillError("the process that scans has ended; run the drill again.") from error
        if "error" in found:
            raise DrillError(f"the process that scans cannot send ({found['error']}); run the drill again.")
        return found


@contextmanager
def stranger() -> Iterator[Stranger]:
    """Start a process in a network namespace of its own.

    Raises:
        DrillError: the kernel allows no namespace, or a program is missing.
    """
    words = [_program("unshare", "util-linux"), "--net", "--", sys.executable, "-I", "-S", str(_PROGRAM)]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the drill, which then ends it
    ) as process:
        requests, answers, errors = process.stdin, process.stdout, process.stderr
        if requests is None or answers is None or errors is None:
            raise AssertionError("no pipes")
        try:
            if not answers.readline():
                said = errors.read().strip()
                raise DrillError(f"no network namespace can be made ({said}); run the drill on the host itself.")
            yield Stranger(process.pid, requests, answers)
        finally:
            process.kill()
            with suppress(BrokenPipeError):  # a request that it has not read
                requests.close()


def lay(pid: int, sources: Collection[str], targets: Collection[Target], *, arrive: bool) -> bool:
    """Connect this host with the namespace of a process; whether packets arrive as those of other strangers do.

    Args:
        pid: the process.
        sources: the addresses of the stranger.
        targets: the addresses of this host that it scans.
        arrive: whether its packets shall arrive on the targets' interfaces, instead of the wire's own.

    Raises:
        DrillError: the kernel refuses a step.
    """
    ip = _program("ip", "iproute2")
    ends = f"address {_LINK_ADDRESS}"
    here = [
        f"link add {DRILL_LINK} {ends} type veth peer name {DRILL_LINK} {ends} netns {pid}",
        f"link set {DRILL_LINK} arp off addrgenmode none up",
        *(f"route add {source} dev {DRILL_LINK}" for source in sources),
    ]
    there = [
        "link set lo up",
        f"link set {DRILL_LINK} arp off addrgenmode none up",
        *(f"addr add {source} dev {DRILL_LINK} {'nodad' if ':' in source else ''}" for source in sources),
        *(f"route add {target.address} dev {DRILL_LINK}" for target in targets),
    ]
    _run([ip, "-batch", "-"], "\n".join(here))
    _run([_program("nsenter", "util-linux"), "-t", str(pid), "-n", ip, "-batch", "-"], "\n".join(there))
    for target in targets:
        for source in [one for one in sources if (":" in one) == (":" in target.address)][:1]:
            _require_way_back(ip, source, target)
    return arrive and _redirect(targets)


def _require_way_back(ip: str, source: str, target: Target) -> None:
    """No answer to the stranger may leave this host.

    Raises:
        DrillError: it would, by a rule of the operator's.
    """
    listed = _run([ip, "-o", "route", "get", source, "from", target.address], "")
    if f" dev {DRILL_LINK} " not in f"{listed} ":
        raise DrillError(
            f"an answer of {target.address} to {source} would leave this host; see `ip rule`, and let addresses for "
            "documentation use the main table."
        )


def _redirect(targets: Collection[Target]) -> bool:
    """Let what comes out of the wire arrive on the targets' interfaces; False if the kernel or its tools cannot."""
    try:
        tc = _program("tc", "iproute2")
        _run([tc, "qdisc", "add", "dev", DRILL_LINK, "ingress"], "")
        for target in targets:
            proto, order = ("ipv6", "2") if ":" in target.address else ("ip", "1")
            words = ["filter", "add", "dev", DRILL_LINK, "ingress", "protocol", proto, "prio", order]
            action = ["action", "mirred", "ingress", "redirect", "dev", target.interface]
            _run([tc, *words, "u32", "match", "u32", "0", "0", *action], "")
    except DrillError:
        return False
    return True


def remains() -> bool:
    """Whether the drill's interface is there."""
    return DRILL_LINK in all_interfaces()


def clear() -> None:
    """Remove the interface of an earlier drill, and all that hangs on it.

    Raises:
        DrillError: the kernel refuses.
    """
    try:
        if remains():
            _run([_program("ip", "iproute2"), "link", "delete", DRILL_LINK], "")
    except DrillError:
        if remains():  # else the kernel was faster
            raise


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=":".join(_PATH))
    if found is None:
        raise DrillError(f"{name} is not installed; run `apt-get install {package}`.")
    return found


def _run(words: Sequence[str], script: str) -> str:
    try:
        done = subprocess.run(
            words, input=script, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DrillError(f"{words[0]} cannot be run ({error}); reinstall iproute2.") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise DrillError(f"the wire of the drill cannot be laid ({said}); remove what is in its way.")
    return done.stdout
