"""What the sensor costs while bulk data flows over a served port: its packets should stay in the kernel."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.bench.programs import Counts, RunningSensor
from tests.lab.support.cost import metered, spent
from tests.lab.support.tables import count, shown, table
from tests.support.namespaces import Host, Lab, opened
from tests.support.needs import require_tool
from tests.support.waiting import wait_for

_PORT = 5201
_BITS_PER_SECOND = "1G"
_SETTLE_SECONDS = 3.0
_PATIENCE_SECONDS = 60.0
_SERVED = {"served": {"udp": [_PORT]}}


@dataclass(frozen=True)
class Load:
    """What flows: options of the client, none for silence, and settings of the sensor."""

    name: str
    client: Sequence[str] | None
    settings: dict[str, Any]


# iperf3 opens its UDP port only when a client is there: the kernel's filter must know it before.
LOADS = (
    Load("nothing", None, {}),
    Load("TCP", (), {}),
    Load("UDP, to a port that was served when the sensor started", ("--udp",), _SERVED),
    Load("UDP, to a port that was opened later", ("--udp",), {}),
)


@dataclass(frozen=True)
class Row:
    """One load: what flowed, and the share of one core that the sensor's processes took."""

    name: str
    gigabits: float
    cpu: dict[str, float]
    seconds: float
    counts: Counts

    def cells(self) -> list[str]:
        total = sum(self.cpu.values())
        parts = (f"{self.cpu.get(name, 0.0) / self.seconds:.1%}" for name in ("dumpcap", "tshark", "python"))
        seen = (count(self.counts.packets), count(self.counts.dropped))
        return [self.name, f"{self.gigabits:.2f}", f"{total / self.seconds:.1%}", *parts, *seen]


def measure(seconds: int, loads: Sequence[Load] = LOADS) -> list[Row]:
    with opened() as lab:
        with Path(os.devnull).open("w", encoding="utf-8") as noise:
            words = (require_tool("iperf3"), "--server", "--port", str(_PORT))
            server = lab.target.start(*words, stderr=noise)
        wait_for(lambda: lab.visitor.reaches(lab.target.ipv4[0], _PORT), "iperf3 to serve")
        found = [shown(_flow(lab, load, seconds)) for load in loads]
        server.kill()
        server.wait()
    return found


def _flow(lab: Lab, load: Load, seconds: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        before = lab.target.pids()
        running = RunningSensor(lab.target, Path(folder), load.settings)
        with metered(lab.target.pids() - before) as meter:
            time.sleep(min(seconds, _SETTLE_SECONDS))
            used, begun = meter.cpu(), time.monotonic()
            bits = _client(lab.visitor, lab.target.ipv4[0], load.client, seconds)
            cpu, took = spent(used, meter.cpu()), time.monotonic() - begun
            meter.wait_until_quiet(_PATIENCE_SECONDS, 1.0)
        return Row(load.name, bits / 1e9, cpu, took, running.stop())


def _client(host: Host, server: str, options: Sequence[str] | None, seconds: int) -> float:
    """Send for this time; returns the bits that the client sent in a second."""
    if options is None:
        time.sleep(seconds)
        return 0.0
    done = host.run(
        *(require_tool("iperf3"), "--client", server, "--port", str(_PORT), "--json"),
        *("--time", str(seconds), "--bitrate", _BITS_PER_SECOND, *options),
    )
    said = json.loads(done.stdout)
    if "error" in said:
        raise AssertionError(f"iperf3: {said['error']}")
    end = said["end"]
    return float((end.get("sum_sent") or end["sum"])["bits_per_second"])


def section(rows: Sequence[Row]) -> str:
    head = (
        *("what flows", "Gbit/s sent", "CPU, of one core", "dumpcap", "tshark", "the sensor itself"),
        *("packets through the filter", "dropped by the kernel"),
    )
    return table(head, (row.cells() for row in rows))
