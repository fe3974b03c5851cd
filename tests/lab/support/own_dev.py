"""A place for a daemon that expects a whole machine: its own /dev/log, /run and process ids."""

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

from tests.support.namespaces import Host

_POLL_SECONDS = 0.2
# Through tmpfs, because nothing may appear in the machine's own /dev and /run. When unshare is killed, all
# that is in the cage dies with it, daemons too.
SET_UP = """
mount -t tmpfs tmpfs /dev
mount -t tmpfs tmpfs /run
for node in 'null 3' 'zero 5' 'random 8' 'urandom 9'; do
    mknod -m 666 "/dev/${node% *}" c 1 "${node#* }"
done
ln -s "$0" /dev/log
mkdir -p /run/scanlogd/empty /run/sshd
exec "$@"
"""


class Syslog:
    """A /dev/log whose lines are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(_POLL_SECONDS)
        # Read at once: a full socket stops the daemon that writes.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        self._over.set()
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self.take(self._socket.recv(1 << 16).decode("utf-8", "replace").strip("\0\n"))

    def take(self, line: str) -> None:
        """Keep a line; called by the reader."""
        self.lines.append(line)


def start(host: Host, log: Syslog, *command: str | Path) -> subprocess.Popen[str]:
    """Run a command on the host, in a cage whose /dev/log is `log`."""
    cage = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    with log.path.with_suffix(".err").open("a") as stderr:
        return host.start(*cage, "sh", "-euc", SET_UP, log.path, *command, stdout=subprocess.PIPE, stderr=stderr)
