"""Puts a new file in the place of another, whole: at any moment, after a crash too, there is one or the other."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacement(path: Path, mode: int, *, durable: bool = True) -> Iterator[int]:
    """The descriptor of a new file, which takes the place of `path` when the block ends without an error.

    Args:
        path: a file, or nothing, in a folder that is there.
        mode: of the new file, whatever the umask.
        durable: whether its content reaches the disk before it takes the place.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    # A name that fail2ban and node_exporter do not read.
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
        if durable:
            os.fsync(descriptor)
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes, mode: int, *, durable: bool = True) -> None:
    """Put a file with this content in the place of `path`.

    Args, Raises: as `replacement`.
    """
    with replacement(path, mode, durable=durable) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
