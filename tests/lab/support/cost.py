"""What some processes and their children cost: CPU seconds of each program, and memory of them all."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psutil

_CPU_SECONDS = 0.05
_TREE_SECONDS = 0.5
_LOOK_SECONDS = 0.25
# A sensor that has nothing to do still looks around now and then.
_BUSY_SHARE = 0.2


Skips = Callable[[psutil.Process], bool]


def _nobody(_process: psutil.Process) -> bool:
    return False


class Meter:
    """Looks at processes and their children now and then, from a thread of its own.

    Args:
        roots: process ids.
        skips: tells children that do not belong to what is measured.

    A child is counted from the moment it is seen: what it costs before its first look is in its CPU time
    anyway, and what it costs after its last look is lost, a twentieth of a second at most.
    """

    def __init__(self, roots: Iterable[int], skips: Skips = _nobody) -> None:
        self._skips = skips
        self._roots = [psutil.Process(pid) for pid in roots]
        self._processes: dict[psutil.Process, str] = {}
        self._seconds: dict[psutil.Process, float] = {}
        self._over = threading.Event()
        self.peak_bytes = 0
        self.peak_of: dict[str, int] = {}
        self._find()
        self._look()
        self._weigh()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def cpu(self) -> dict[str, float]:
        """The CPU seconds, user and system, that each program has used so far."""
        found: defaultdict[str, float] = defaultdict(float)
        for process, seconds in list(self._seconds.items()):
            found[self._processes[process]] += seconds
        return dict(found)

    def weigh_anew(self) -> None:
        """Forget the peak: what follows has a peak of its own."""
        self.peak_bytes = 0
        self._weigh()

    def wait_until_quiet(self, patience_seconds: float, quiet_seconds: float) -> float:
        """Wait until the processes have had nothing to do for a while.

        Returns:
            The moment (time.monotonic) when they were last busy, or at which patience ended.
        """
        deadline = time.monotonic() + patience_seconds
        busy, seconds = time.monotonic(), self._total()
        while (now := time.monotonic()) < deadline:
            if now - busy > quiet_seconds:
                return busy
            time.sleep(_LOOK_SECONDS)
            before, seconds = seconds, self._total()
            if seconds - before > _BUSY_SHARE * _LOOK_SECONDS:
                busy = time.monotonic()
        return deadline

    def _total(self) -> float:
        return sum(list(self._seconds.values()))

    def _watch(self) -> None:
        found = time.monotonic()
        while not self._over.wait(_CPU_SECONDS):
            self._look()
            if time.monotonic() - found > _TREE_SECONDS:
                self._find()
                self._weigh()
                found = time.monotonic()
        self._look()

    def _find(self) -> None:
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                for process in (root, *root.children(recursive=True)):
                    if not self._skips(process):
                        # Again at each look: a program may become another.
                        self._processes[process] = _name(process)

    def _look(self) -> None:
        for process in list(self._processes):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._seconds[process] = times.user + times.system

    def _weigh(self) -> None:
        """Proportional set sizes: what processes share is counted once."""
        sizes: defaultdict[str, int] = defaultdict(int)
        for process, name in list(self._processes.items()):
            with contextlib.suppress(psutil.Error):
                sizes[name] += process.memory_full_info().pss
        total = sum(sizes.values())
        if total > self.peak_bytes:
            self.peak_bytes, self.peak_of = total, dict(sizes)


@contextmanager
def metered(roots: Iterable[int], skips: Skips = _nobody) -> Iterator[Meter]:
    """A meter that looks until the context is left."""
    meter = Meter(roots, skips)
    meter.start()
    try:
        yield meter
    finally:
        meter.stop()


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The CPU seconds between two looks, by program."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def _name(process: psutil.Process) -> str:
    """The program's name, of Python without its version."""
    name = process.name()
    return "python" if name.startswith("python") else name
