"""The shipped filter in the real fail2ban-regex, once per mode, over the sample lines."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.errors import CaptureError
from portsentry_py.fail2ban.pack import FILTER, MODES, PackFile, pack_files
from portsentry_py.fail2ban.samples import Sample, samples

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class ModeResult:
    """What one mode of the filter did: `missed` should have matched, `wrong` should not have."""

    mode: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether this mode matched exactly what it has to."""
        return not self.missed and not self.wrong


@dataclass(frozen=True)
class FilterReport:
    """The results of all modes."""

    results: tuple[ModeResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every mode matched exactly what it has to."""
        return all(result.ok for result in self.results)


def run_all_modes() -> FilterReport:
    """Runs the real `fail2ban-regex` once per mode over the shipped filter, installed or not.

    Raises:
        CaptureError: fail2ban-regex is missing or does not work.
    """
    files, lines = pack_files(), samples()
    return FilterReport(tuple(run_mode(mode, files, lines) for mode in MODES))


def run_mode(mode: str, files: Iterable[PackFile], lines: Iterable[Sample]) -> ModeResult:
    """Feeds the lines to the real `fail2ban-regex`, with the filter as it would be once installed.

    Args:
        mode: the filter's parameter; an unknown one must match nothing.
        files: the filter's, at least.
        lines: what to feed.

    Raises:
        CaptureError: fail2ban-regex is missing, or did not get as far as reading the lines.
    """
    lines = tuple(lines)
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        log = Path(folder, "portsentry.log")
        log.write_text("".join(sample.line + "\n" for sample in lines), encoding="ascii")
        for file in files:
            path = Path(folder, file.target)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.content)
        found = _addresses_found(folder, log, f"{FILTER}[mode={mode}]")
    hit = {sample.name for sample in lines if sample.banned_in(mode) in found}
    foreign = found - {sample.banned_in(mode) for sample in lines}
    return ModeResult(
        mode,
        matched=tuple(sample.name for sample in lines if sample.name in hit),
        unmatched=tuple(sample.name for sample in lines if sample.name not in hit),
        missed=tuple(sample.name for sample in lines if mode in sample.modes and sample.name not in hit),
        wrong=(
            *(sample.name for sample in lines if mode not in sample.modes and sample.name in hit),
            *(f"address {address}" for address in sorted(foreign)),
        ),
    )


def _addresses_found(folder: str, log: Path, filter_and_mode: str) -> set[str]:
    program = shutil.which("fail2ban-regex")
    if program is None:
        raise CaptureError("fail2ban-regex is not installed: run `apt-get install fail2ban`")
    try:
        done = subprocess.run(
            [program, "-c", folder, "-o", "id", str(log), filter_and_mode],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CaptureError(f"{program} cannot be run ({error}): reinstall fail2ban") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        raise CaptureError(
            f"{program} failed ({said[-1]}): run `fail2ban-regex --version` to see if it works"
        )
    return set(done.stdout.split())
