"""portsentry 2.x, the C program whose idea this is."""

import re
import subprocess
from pathlib import Path

from tests.lab.compare.watcher import Accusation
from tests.support.namespaces import IFACE, Host
from tests.support.peers import HTTP_PORT, SSH_PORT

_LINE = re.compile(r"Scan from: \[(?P<address>[^]]+)\]")
_FIRST, _SECOND = sorted((SSH_PORT, HTTP_PORT))
_SETTINGS = """\
TCP_PORTS="1-{},{}-{},{}-65535"
UDP_PORTS="1-65535"
HISTORY_FILE="{}"
"""


class Portsentry:
    """It watches all ports that are not served; its own list has far fewer."""

    name = "portsentry"

    def __init__(self, host: Host, folder: Path, binary: Path) -> None:
        self._history = folder / "portsentry.history"
        self._errors = folder / "portsentry.err"
        self._history.touch()
        settings = folder / "portsentry.conf"
        settings.write_text(_SETTINGS.format(_FIRST - 1, _FIRST + 1, _SECOND - 1, _SECOND + 1, self._history))
        with self._errors.open("w") as stderr:
            # Its service check opens the very port that it was asked about; the others would notice.
            self._process = host.start(
                *(binary, "--stealth", "--interface", IFACE, "--disable-service-check"),
                *("--configfile", settings),
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def renew(self) -> None:
        """See Watcher; it counts each packet by itself."""

    def accusations(self) -> list[Accusation]:
        return [Accusation(match["address"]) for match in _LINE.finditer(self._history.read_text())]

    def evidence(self) -> str:
        return self._errors.read_text()
