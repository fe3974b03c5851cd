"""When the state of the pipeline goes to disk, and when it comes back."""

import time
from collections.abc import Iterator
from pathlib import Path

from portsentry_py.core.pipeline import Pipeline
from portsentry_py.state.codec import BrokenSnapshot, decode, encode
from portsentry_py.state.file import StateFile

_SAVE_SECONDS = 300.0


class Checkpoint:
    """Restores what an earlier run knew; saves what this run knows, every five minutes and at its end.

    `target` is the path of the file, or `off`.
    """

    def __init__(self, engine: Pipeline, target: str) -> None:
        self._engine = engine
        self._file = None if target == "off" else StateFile(Path(target))
        self._saved = time.monotonic()
        self._encoder: Iterator[bytes] | None = None
        self._pieces: list[bytes] = []

    def restore(self, now_us: int) -> None:
        """Give the pipeline the state in the file, before its first packet."""
        content = self._file.load() if self._file else None
        if content is None or self._file is None:
            return
        try:
            self._engine.load(decode(content), now_us)
        except BrokenSnapshot as error:
            self._file.set_aside(str(error))

    def step(self) -> None:
        """Encode a piece if a save is due; packets can be read before the next step."""
        if self._file is None:
            return
        if self._encoder is None:
            if time.monotonic() - self._saved < _SAVE_SECONDS:
                return
            self._encoder = self._encode()
        piece = next(self._encoder, None)
        if piece is not None:
            self._pieces.append(piece)
            return
        self._file.save(self._pieces)
        self._encoder, self._pieces, self._saved = None, [], time.monotonic()

    def close(self) -> None:
        """Save for the last time."""
        if self._file is not None:
            self._file.close(self._encode())

    def _encode(self) -> Iterator[bytes]:
        return encode(self._engine.state(), self._engine.settled_us)
