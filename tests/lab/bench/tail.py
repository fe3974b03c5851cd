"""When a line came into the sensor's log: a reader that is always at its end."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_SECONDS = 0.002


@contextmanager
def first_bans(log: Path) -> Iterator[dict[str, float]]:
    """When (seconds since 1970) each source got its first line with the verdict `ban`; it fills up."""
    found: dict[str, float] = {}
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(log, found, over), daemon=True)
    reader.start()
    try:
        yield found
    finally:
        over.set()
        reader.join()


def _read(log: Path, found: dict[str, float], over: threading.Event) -> None:
    with log.open(encoding="ascii") as file:
        rest = ""
        while not over.is_set():
            chunk = file.read()
            if not chunk:
                time.sleep(_LOOK_SECONDS)
                continue
            now = time.time()
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                if '"verdict":"ban"' in line:
                    found.setdefault(json.loads(line)["src_ip"], now)
