"""What the shipped filter takes from a log: fail2ban-regex, in the modes that matter here."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.needs import require_tool
from tests.support.paths import ROOT

NORMAL, STRICT = "normal", "strict"
# Without these words a line matches in no mode, as tests/contract shows: fail2ban need not be asked.
_NEEDED = {NORMAL: ('"verdict":"ban"',), STRICT: ('"verdict":"ban"', '"source_verified":true')}


def banned_by(lines: Sequence[str], folder: Path) -> dict[str, frozenset[str]]:
    """For each mode, the addresses and networks that a jail would ban."""
    return {mode: _banned_in(mode, lines, folder) for mode in (NORMAL, STRICT)}


def _banned_in(mode: str, lines: Sequence[str], folder: Path) -> frozenset[str]:
    relevant = [f"{line}\n" for line in lines if all(word in line for word in _NEEDED[mode])]
    if not relevant:
        return frozenset()
    log = folder / f"{mode}.log"
    log.write_text("".join(relevant), encoding="ascii")
    done = subprocess.run(
        [require_tool("fail2ban-regex"), "-c", ROOT / "fail2ban", "-o", "id", log, f"portsentry-py[mode={mode}]"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return frozenset(done.stdout.split())
