"""What every fault happens in: SYNs come steadily, another capture sees them all, the sensor logs them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from portsentry_py.errors import CaptureError
from tests.lab.faults.accounting import Gap, account, time_of
from tests.lab.faults.fault import Observed, Stage
from tests.lab.faults.faulty_sensor import FaultySensor, strays
from tests.lab.faults.reference import ReferenceCapture
from tests.support.namespaces import IFACE, Host
from tests.support.sensor import Line
from tests.support.waiting import PATIENCE_SECONDS, wait_for

PER_SECOND = 200
_BEFORE_LINES = 20


class Sender:
    def __init__(
        self,
        stage: Stage,
        *,
        first: int = 0,
        target: str = "",
        per_second: float = PER_SECOND,
        count: int | None = None,
    ) -> None:
        lab = stage.lab
        self._process = lab.scanner.start(
            *(sys.executable, "-m", "tests.lab.faults.sender", IFACE, stage.address, target or lab.target.ipv4[0]),
            *(str(first), str(per_second), *([str(count)] if count else [])),
            stdout=subprocess.PIPE,
        )

    def finish(self, *, stop: bool = True) -> int:
        """How many SYNs it sent; without `stop`, when it has sent all that it was asked for."""
        assert self._process.stdout is not None
        self._process.stdout.readline()  # earlier, the signal would end it without its sum
        if stop:
            self._process.terminate()
        said, _ = self._process.communicate(timeout=120)
        return int(said)


class Scene:
    """A sensor that works, and all that is needed to say what a fault costs it."""

    def __init__(self, stage: Stage, sensor: FaultySensor, per_second: float) -> None:
        self.stage = stage
        self.sensor = sensor
        self.target: Host = stage.lab.target
        self._reference = ReferenceCapture(self.target, stage.folder)
        self._sender = Sender(stage, per_second=per_second)
        self.struck = self.cured = time.time()
        self._before = sensor.descriptors()

    def strike(self) -> None:
        """The fault happens now."""
        self._before = self.sensor.descriptors()
        self.struck = self.cured = time.time()

    def mended(self) -> None:
        """The cause of the fault is gone now: from here on the sensor has to recover."""
        self.cured = time.time()

    def waits_for(self, state: str, reason: str, number: int = 1) -> None:
        """Wait until the sensor has reported a state this many times, the last time for this reason."""
        found = self.sensor.wait_for(
            lambda: self.sensor.matching(event_type="status", state=state)[number - 1 :], f"{state}, {number} times"
        )
        reported = found[0]["reason"]
        assert reported == reason, f"it is {state} for the reason {reported}, not {reason}\n{self.sensor.evidence()}"

    def says(self, sentence: str) -> None:
        """Wait until the sensor has said so on stderr."""
        self.sensor.wait_for(lambda: sentence in self.sensor.diagnostics.read_text(), repr(sentence))

    def breaks_off(self, reason: str) -> None:
        """Wait until the capture has broken off for this reason and runs again."""
        self.waits_for("interrupted", reason)
        self.waits_for("restarted", reason)

    def sees(self, **wanted: object) -> None:
        """Wait until a SYN that comes from now on has its line."""
        now = time.time()
        self.sensor.wait_for(
            lambda: any(
                # A clock that was wrong has left lines from the future.
                now <= time_of(line) <= now + PATIENCE_SECONDS
                for line in self.sensor.matching(event_type="connection", **wanted)
            ),
            "lines about what comes now",
        )

    def observed(
        self,
        text: str = "",
        *,
        gaps: Iterable[Gap] = (),
        logs: Sequence[Path] = (),
        reported: str = "",
        recovers: bool = True,
        counted: bool = True,
    ) -> Observed:
        """End all, hold the log against the capture, and fail if anything was lost that was not reported.

        Args:
            text: what was seen of the fault; else, whether there was another capture.
            gaps: times about which the sensor cannot tell: it was dead.
            logs: the files that hold the log, oldest first; without any, the one that is written.
            reported: what reported of it, besides the status lines that say so themselves.
            recovers: whether there was a time without sight.
            counted: whether as many packets were counted as came. Lines of no packet are counted too, and
                while an interface that is named does not exist, nothing counts.
        """
        self._sender.finish()
        self.sensor.settle()
        # FaultySensorly: a capture that takes over is there twice for a moment.
        wait_for(lambda: not self._grown(), "no more to be there than before", evidence=self._evidence)
        family = self.sensor.family()
        code = self.sensor.stop()
        wait_for(
            lambda: not [one for one in family if one.is_running()],
            f"the end of {family}",
            evidence=self.sensor.evidence,
        )
        capture = self._reference.stop()
        orphans = strays(self.target)
        left = self.sensor.leftovers()
        known = read_lines(logs or [self.sensor.log])
        found = account(capture, known, gaps, counted=counted)
        wrong = [
            *found.wrong,
            *(
                [f"{len(found.unreported)} SYNs were lost and none was reported: {found.unreported[:3]}"]
                * bool(found.unreported)
            ),
            *([f"processes {orphans} outlived the sensor"] * bool(orphans)),
            *([f"temporary files are left: {left}"] * bool(left)),
            *([f"it ended with {code}"] * bool(code)),
            *(["it saw nothing any more"] * (capture.syns[-1] in found.lost)),
            *(self._miscounted(capture.packets, known) if counted else []),
        ]
        assert not wrong, "\n".join([*wrong, self.sensor.evidence()])
        return Observed(
            text or ("a new capture" if "restarted" in found.reported else "the same capture"),
            ", ".join(filter(None, (reported, found.reported))),
            found.blind_seconds(self.cured, capture.syns) if recovers else None,
            len(found.lost),
            found.came,
        )

    def _grown(self) -> list[str]:
        """Zombies, and descriptors that were not there before the fault."""
        more = self.sensor.descriptors() - self._before
        return [*self.sensor.zombies(), *more.elements()]

    def _evidence(self) -> str:
        return f"{self._grown()}\n{self.sensor.evidence()}"

    def _miscounted(self, packets: int, lines: Sequence[Line]) -> Iterator[str]:
        """The kernel's own count is that of the capture beside it, if one sensor saw it all."""
        statuses = [line for line in lines if line["event_type"] == "status"]
        if [one["state"] for one in statuses].count("started") == 1:
            seen = statuses[-1]["packets_seen"]
            if seen != packets:
                yield f"`packets_seen` is {seen}, and {packets} came"


@contextmanager
def playing(
    stage: Stage,
    settings: Mapping[str, Any] = MappingProxyType({}),
    *,
    tools: Mapping[str, str] = MappingProxyType({}),
    steady: bool = True,
    per_second: float = PER_SECOND,
    **others: Any,
) -> Iterator[Scene]:
    """Give the scene at the moment of the fault.

    Args:
        stage: where.
        settings: of the sensor, as `others` are.
        tools: stand-ins for programs.
        steady: the sensor has lines by then.
        per_second: how many SYNs come.
        others: what FaultySensor takes.
    """
    sensor = FaultySensor(stage.lab.target, stage.folder / "sensor", settings, tools=tools, **others)
    try:
        if tools:  # which may never become tshark
            sensor.wait_for_line("the sensor to start", state="started")
        else:
            sensor.wait_until_ready()
        scene = Scene(stage, sensor, per_second)
        if steady:
            sensor.wait_for(
                lambda: len(sensor.matching(event_type="connection")) >= _BEFORE_LINES, "lines before the fault"
            )
        scene.strike()
        yield scene
    finally:
        sensor.process.kill()


def refused(stage: Stage, sentence: str, **others: Any) -> str:
    """Start a sensor that must refuse: it ends with the exit code for captures and one sentence, given here.

    Args:
        stage: where.
        sentence: what stands in its sentence.
        others: what FaultySensor takes.
    """
    target = stage.lab.target
    sensor = FaultySensor(target, stage.folder / "sensor", **others)
    code = sensor.process.wait(60)
    said = sensor.diagnostics.read_text().strip()
    assert code == CaptureError.exit_code, f"it ended with {code}\n{said}"
    assert sentence in said, said
    assert "\n" not in said, f"more than one sentence\n{said}"
    assert not strays(target), f"it left processes behind: {strays(target)}"
    assert not sensor.leftovers(), f"it left files behind: {sensor.leftovers()}"
    return said


def read_lines(paths: Iterable[Path]) -> list[Line]:
    """All lines of some files; each must be whole."""
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
