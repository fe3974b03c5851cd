"""The sensor of this project, with one of its profiles."""

from pathlib import Path

from tests.lab.compare.watcher import Accusation
from tests.support.namespaces import Host
from tests.support.sensor import Sensor


class Ours:
    """All its settings but the profile are the defaults."""

    def __init__(self, host: Host, folder: Path, profile: str) -> None:
        home = folder / profile
        home.mkdir()
        self.name = f"portsentry-py, profile {profile}"
        self._sensor = Sensor(host, home, {"profile": profile})
        self._sensor.wait_until_ready()

    def renew(self) -> None:
        """See Watcher; it counts each source by itself."""

    def accusations(self) -> list[Accusation]:
        """See Watcher. The line about a scan's end comes a minute later and names nobody new."""
        return [
            Accusation(line["src_ip"], line["scan_type"], line["verdict"], line["event_type"] == "trap")
            for line in self._sensor.lines()
            if line["event_type"] in {"scan", "trap"} and line.get("state") != "ended"
        ]

    def evidence(self) -> str:
        return self._sensor.evidence()

    def close(self) -> None:
        """End it as systemd does."""
        self._sensor.stop()
