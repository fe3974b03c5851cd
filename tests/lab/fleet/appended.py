"""When each line of some growing files was written, by the time of change that the file system keeps."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PAUSE_SECONDS = 0.004


class Appended:
    """Moments of lines: by file, in seconds since 1970, each with its record."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._sizes = dict.fromkeys(paths, 0)
        self.lines: dict[Path, list[tuple[float, dict[str, Any]]]] = {path: [] for path in self._sizes}

    def look(self) -> None:
        """Take what is new; a look between two lines gets the time of each."""
        for path, size in self._sizes.items():
            if not path.exists() or (status := path.stat()).st_size == size:
                continue
            with path.open("rb") as file:
                file.seek(size)
                whole, newline, _ = file.read(status.st_size - size).rpartition(b"\n")
            self._sizes[path] = size + len(whole) + len(newline)
            self.lines[path] += [(status.st_mtime_ns / 1e9, json.loads(line)) for line in whole.splitlines()]

    def first(self, path: Path, **wanted: object) -> float | None:
        """When the first line with these values was written."""
        for moment, line in self.lines[path]:
            if all(line.get(key) == value for key, value in wanted.items()):
                return moment
        return None


@contextmanager
def appended(paths: Iterable[Path]) -> Iterator[Appended]:
    """Look at the files until the block is left."""
    found, ends = Appended(paths), threading.Event()

    def look() -> None:
        while not ends.wait(_PAUSE_SECONDS):
            found.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ends.set()
        thread.join()
