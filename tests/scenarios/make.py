"""Makes the captures of the scenarios and the lines expected of them, for review.

    python -m tests.scenarios.make [NAME...]

Without a name, all of them; `git diff` shows what changed. What a scenario must say about whom stands beside
its traffic (`Named`), written by hand: lines that contradict it are printed and not recorded.
"""

import sys
import tempfile
from pathlib import Path

from tests.scenarios.families import SCENARIOS
from tests.scenarios.scenario import Scenario


def make(one: Scenario) -> list[str]:
    """Write the files of a scenario; returns what contradicts it."""
    one.folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "README.md": f"{one.about}\n\nMade by `python -m tests.scenarios.make {one.name}`.\n",
        "home": one.home and one.home + "\n",
        "config.yaml": one.config,
    }
    for file, text in texts.items():
        if text:
            (one.folder / file).write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as elsewhere:
        lines = one.replayed(one.write_capture(one.capture if one.committed else Path(elsewhere, "capture.pcap")))
    found = one.contradictions(lines)
    if not found:
        (one.folder / "expected.jsonl").write_bytes(b"".join(lines))
    return found


if __name__ == "__main__":
    for wanted in sys.argv[1:] or SCENARIOS:
        for problem in make(SCENARIOS[wanted]):
            print(f"{wanted}: {problem}")
