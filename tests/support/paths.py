"""Where things are in the checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "portsentry_py"
DOCS = ROOT / "docs"
MEASUREMENTS = DOCS / "measurements"
CASES = ROOT / "tests" / "scenarios" / "cases"
