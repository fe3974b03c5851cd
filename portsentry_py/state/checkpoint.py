"""When the engine's memory goes to disk and comes back from there."""

import time
from collections.abc import Iterator
from pathlib import Path

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.codec import BrokenSnapshot, decode, encode
from portsentry_py.state.file import StateFile

_SAVE_SECONDS = 300.0


class Checkpoint:
    """Recalls what an earlier run knew, and saves what this one knows: now and then, and at its end.

    Args:
        engine: whose memory it is.
        target: the path of the file; `off` for none.
    """

    def __init__(self, engine: Pipeline, target: str) -> None:
        self._engine = engine
        self._file = None if target == "off" else StateFile(Path(target))
        self._saved = time.monotonic()
        self._coming: Iterator[bytes] | None = None
        self._pieces: list[bytes] = []

    def recall(self, now_us: int) -> None:
        """Give the engine what is in the file, before its first packet."""
        content = self._file.load() if self._file else None
        if content is None or self._file is None:
            return
        try:
            self._engine.load(decode(content), now_us)
        except BrokenSnapshot as error:
            self._file.set_aside(str(error))

    def tick(self) -> None:
        """Make a piece of what is to be saved, if it is time; packets can be read before the next one."""
        if self._file is None:
            return
        if self._coming is None:
            if time.monotonic() - self._saved < _SAVE_SECONDS:
                return
            self._coming, self._pieces = self._snapshot(), []
        piece = next(self._coming, None)
        if piece is not None:
            self._pieces.append(piece)
            return
        self._file.save(self._pieces)
        self._coming, self._saved = None, time.monotonic()

    def close(self) -> None:
        """Save for the last time."""
        if self._file is not None:
            self._file.close(self._snapshot())

    def _snapshot(self) -> Iterator[bytes]:
        return encode(self._engine.state(), self._engine.settled_us)
