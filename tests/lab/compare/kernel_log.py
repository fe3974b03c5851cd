"""The firewall's log lines of one host, as rsyslog would write them: what psad reads."""

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.compare.watcher import Absent, program
from tests.support.namespaces import IFACE, Host
from tests.support.peers import HTTP_PORT, SSH_PORT

# Without it the kernel drops what a LOG rule outside the first network namespace says.
_SWITCH = Path("/proc/sys/net/netfilter/nf_log_all_netns")
_POLL_SECONDS = 0.2
_NEIGHBOUR_MESSAGES = ("133", "134", "135", "136")


@contextlib.contextmanager
def kernel_log(host: Host, path: Path) -> Iterator[None]:
    """Log in `path` whatever arrives at the host and is not for its services."""
    prefix = f"{host.namespace} "
    with _all_namespaces_log(), contextlib.closing(_Follower(prefix, path)):
        _set_rules(host, prefix)
        yield


def _set_rules(host: Host, prefix: str) -> None:
    """Log what is not accepted, as psad's manual says; nothing is dropped, for the others watch too."""
    served = ("-p", "tcp", "-m", "multiport", "--dports", f"{SSH_PORT},{HTTP_PORT}", "-j", "RETURN")
    # At debug level the lines stay off the console.
    log = ("-j", "LOG", "--log-level", "debug", "--log-prefix", prefix, "--log-tcp-options", "--log-ip-options")
    neighbours = [("-p", "icmpv6", "--icmpv6-type", kind, "-j", "RETURN") for kind in _NEIGHBOUR_MESSAGES]
    for tool, rules in (("iptables", [served, log]), ("ip6tables", [served, *neighbours, log])):
        for rule in rules:
            done = host.run(program(tool), "-A", "INPUT", "-i", IFACE, *rule)
            if done.returncode != 0:
                raise Absent(f"{tool} refused a LOG rule: {done.stderr.strip()}")


@contextlib.contextmanager
def _all_namespaces_log() -> Iterator[None]:
    try:
        before = _SWITCH.read_text()
        _SWITCH.write_text("1")
    except OSError as error:
        raise Absent(f"the kernel does not log for network namespaces: {error}") from error
    try:
        yield
    finally:
        _SWITCH.write_text(before)


class _Follower:
    """Copies the lines with our prefix from the kernel's ring buffer."""

    def __init__(self, prefix: str, path: Path) -> None:
        self._prefix = prefix
        self._path = path
        self._over = threading.Event()
        path.touch()
        try:
            self._kmsg = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise Absent(f"the kernel's log cannot be read: {error}") from error
        os.lseek(self._kmsg, 0, os.SEEK_END)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        self._over.set()
        self._reader.join()
        os.close(self._kmsg)

    def _read(self) -> None:
        with self._path.open("a", buffering=1) as file:
            while not self._over.is_set():
                if not select.select([self._kmsg], [], [], _POLL_SECONDS)[0]:
                    continue
                try:
                    _, _, text = os.read(self._kmsg, 1 << 13).decode("utf-8", "replace").partition(";")
                except BrokenPipeError:
                    print("the kernel's log was too fast: psad misses lines", file=sys.stderr)
                    continue
                if text.startswith(self._prefix):
                    stamp = time.strftime("%b %e %H:%M:%S")
                    file.write(f"{stamp} lab kernel: {text.splitlines()[0]}\n")
