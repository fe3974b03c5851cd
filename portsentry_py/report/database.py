"""The lines of a log in a database of their own, which DuckDB keeps in a temporary file.

The log can hold anything: a value enters the database as data alone, and no query reads or writes other files.
"""

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from portsentry_py.errors import InputError, LibraryMissing, OutputError
from portsentry_py.report.log_files import LogFile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY_MIB = 512
_MOST_THREADS = 4
_LOOK_SECONDS = 0.2
_CHUNK = 1 << 16
_SECTION = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)

Progress = Callable[[LogFile, float], None]
"""Called now and then with the file that is read and how much of it was, in percent."""


class LogDatabase:
    """The rows of a log's lines, and the queries of `queries.sql`.

    Args:
        folder: a directory for the database and for what does not fit into memory.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import duckdb  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise LibraryMissing("duckdb", "report") from error
        self._failure = duckdb.Error
        self._folder = folder
        self._load, self._queries = _sections("load.sql"), _sections("queries.sql")
        with self._one_sentence():
            self._connection: DuckDBPyConnection = duckdb.connect(
                str(folder / "log.duckdb"),
                config={
                    "memory_limit": f"{_MEMORY_MIB}MiB",
                    "threads": min(os.cpu_count() or 1, _MOST_THREADS),
                    "preserve_insertion_order": False,
                    "temp_directory": str(folder),
                    # Never a network call.
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
            )
            # Progress is asked for, and not printed among the event lines or JSON.
            for option in ("enable_progress_bar = true", "enable_progress_bar_print = false"):
                self._execute(f"SET {option}")
            for name in ("table", "moment", "word"):
                self._execute(self._load[name])

    def close(self) -> None:
        """Close the database; its folder belongs to the caller."""
        self._connection.close()

    def load(self, file: LogFile, progress: Progress) -> str:
        """Add the lines of a file.

        Returns:
            What is wrong with the file, one sentence; empty if nothing is.

        Raises:
            InputError: it cannot be read.
        """
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{file.path}: cannot read the log ({error.strerror}); name another.") from error
        try:
            # DuckDB takes a name for a pattern; this name has no character of one.
            self._insert(f"/proc/self/fd/{descriptor}", file, progress, compressed=file.compressed)
        except self._failure as error:
            if not file.compressed:
                raise InputError(f"{file.path}: cannot read the log ({_cause(error)}); name another.") from error
            return self._load_damaged(file, progress)
        finally:
            os.close(descriptor)
        return ""

    def create(self, since_us: int, until_us: int) -> None:
        """Make the tables of the queries, from the lines of a period alone."""
        period = self._queries["period"].replace("{since}", str(since_us)).replace("{until}", str(until_us))
        with self._one_sentence():
            for query in (period, self._queries["scans"], self._queries["ports"]):
                self._execute(query)

    def rows(self, name: str, fill: dict[str, str] | None = None, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a query; `fill` are parts of its text, never from the log."""
        query = self._queries[name]
        for word, text in (fill or {}).items():
            query = query.replace("{" + word + "}", text)
        with self._one_sentence():
            return self._execute(query, parameters)

    def _execute(self, query: str, parameters: dict[str, object] | None = None) -> list[dict[str, Any]]:
        try:
            cursor = self._connection.execute(query, parameters)
            columns = [column[0] for column in cursor.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        except self._failure:
            raise
        except RuntimeError as error:  # so DuckDB reports Ctrl-C
            raise KeyboardInterrupt from error

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """Turns a failure of a query, mostly a full disk, into one sentence."""
        try:
            yield
        except self._failure as error:
            raise OutputError(f"{self._folder}: the report failed ({_cause(error)}); make room there.") from error

    def _insert(self, path: str, file: LogFile, progress: Progress, *, compressed: bool) -> None:
        query = self._load["insert"].replace("{path}", f"'{path}'")
        with self._watched(file, progress):
            self._execute(query.replace("{compression}", "'gzip'" if compressed else "'none'"))

    def _load_damaged(self, file: LogFile, progress: Progress) -> str:
        """Add what a compressed file holds before the damage."""
        whole = self._folder / "damaged.log"
        with whole.open("wb") as output:
            for chunk in _readable_part(file.path):
                output.write(chunk)
        with self._one_sentence():
            self._insert(str(whole), file, progress, compressed=False)
        whole.unlink()
        return f"{file.path}: the compressed data is damaged; what came before the damage was read."

    @contextmanager
    def _watched(self, file: LogFile, progress: Progress) -> Iterator[None]:
        """Reports how far a query is, from a thread: the query holds this one."""
        over = Event()

        def watch() -> None:
            while not over.wait(_LOOK_SECONDS):
                progress(file, max(0.0, self._connection.query_progress()))

        thread = Thread(target=watch, daemon=True)
        progress(file, 0.0)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def log_database() -> Iterator[LogDatabase]:
    """A database that is gone afterwards. TMPDIR names another place than /var/tmp.

    Raises:
        LibraryMissing: DuckDB is not installed.
        OutputError: there is no room for it.
    """
    place = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108 - a directory with a random name is made in it
    try:
        with tempfile.TemporaryDirectory(prefix="portsentry-report-", dir=place, ignore_cleanup_errors=True) as folder:
            database = LogDatabase(Path(folder))
            try:
                yield database
            finally:
                database.close()
    except OSError as error:
        raise OutputError(
            f"{place}: cannot write there ({error.strerror}); set TMPDIR to a directory with room."
        ) from error


def _sections(name: str) -> dict[str, str]:
    """The statements of a file of SQL, by their names."""
    text = (resources.files("portsentry_py.report") / name).read_text(encoding="utf-8")
    return dict(_SECTION.findall(text))


def _readable_part(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file, suppress(EOFError, OSError, zlib.error):
        while chunk := file.read1(_CHUNK):
            yield chunk


def _cause(error: Exception) -> str:
    """The first line of a message of DuckDB."""
    return str(error).partition("\n")[0].rstrip(".")
