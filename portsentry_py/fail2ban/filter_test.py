"""The test of the shipped filter: fail2ban-regex reads the sample lines in each mode."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from portsentry_py.fail2ban.client import run
from portsentry_py.fail2ban.pack import FILTER, MODES, PackFile, pack_files
from portsentry_py.fail2ban.samples import Sample, samples


@dataclass(frozen=True, slots=True)
class ModeResult:
    """The names of the samples by the answer of one mode.

    Attributes:
        missed: those of `unmatched` that it must match.
        wrong: those of `matched` that it must not match, and addresses that belong to no sample.
    """

    mode: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether this mode matched exactly the samples that it must match."""
        return not self.missed and not self.wrong


def run_all_modes() -> list[ModeResult]:
    """Tests each mode of the shipped filter, whether it is installed or not; raises as `run_mode`."""
    files, lines = pack_files(), samples()
    return [run_mode(mode, files, lines) for mode in MODES]


def run_mode(mode: str, files: Iterable[PackFile], lines: Iterable[Sample], *, ipv6: str = "network") -> ModeResult:
    """Feeds the lines to `fail2ban-regex`, with the files in the places of an installation.

    Raises:
        Fail2banError: fail2ban-regex is missing, or cannot read the filter.
    """
    lines = tuple(lines)
    with tempfile.TemporaryDirectory(prefix="portsentry-py-") as folder:
        log = Path(folder, "portsentry.log")
        log.write_text("".join(sample.line + "\n" for sample in lines), encoding="ascii")
        for file in files:
            path = Path(folder, file.target)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.content)
        answer = run("fail2ban-regex", "-c", folder, "-o", "id", str(log), f"{FILTER}[mode={mode}, ipv6={ipv6}]")
    found = set(answer.split())
    banned = {sample.name: sample.banned_in(mode, ipv6) for sample in lines}
    hit = {name for name, who in banned.items() if who in found}
    foreign = found - set(banned.values())
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
