"""psad as a daemon, as Debian has it, but with a folder of ours for its files, and without mail."""

import re
from ipaddress import ip_address
from pathlib import Path

from tests.lab.compare.watcher import Accusation, program
from tests.lab.support import own_dev
from tests.support.namespaces import Host

_LINE = re.compile(r"scan detected(?: \([^)]*\))?: (?P<address>\S+) -> ")
_OPTIONS = ("--no-daemon", "--no-fwcheck", "--no-rdns", "--no-whois")


class Psad:
    """It reads the kernel's log every five seconds and says what it makes of the new lines."""

    name = "psad"

    def __init__(self, host: Host, folder: Path, firewall_log: Path) -> None:
        command = program("psad")
        home = folder / "psad"
        home.mkdir()
        settings = {
            "HOSTNAME": "lab",
            "ALERTING_METHODS": "noemail",
            "ENABLE_WHOIS_LOOKUPS": "N",
            "ENABLE_DNS_LOOKUPS": "N",
            "AUTO_DETECT_JOURNALCTL": "N",
            "ENABLE_SYSLOG_FILE": "Y",
            "IPT_WRITE_FWDATA": "N",
            "IPT_SYSLOG_FILE": firewall_log,
            **dict.fromkeys(("PSAD_DIR", "PSAD_RUN_DIR", "PSAD_FIFO_DIR", "CONF_ARCHIVE_DIR"), home),
        }
        override = folder / "psad.conf"
        override.write_text("".join(f"{key} {value};\n" for key, value in settings.items()))
        self._log = own_dev.Syslog(folder / "psad.log")
        self._process = own_dev.start(host, self._log, command, *_OPTIONS, "-O", override)

    def renew(self) -> None:
        """See Watcher; it counts each source by itself."""

    def accusations(self) -> list[Accusation]:
        found = map(_LINE.search, list(self._log.lines))
        return [Accusation(str(ip_address(match["address"]))) for match in found if match]

    def evidence(self) -> str:
        return "\n".join([*self._log.lines[-20:], self._log.path.with_suffix(".err").read_text()])

    def close(self) -> None:
        """Its process ends with the lab."""
        self._log.close()
