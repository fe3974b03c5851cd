"""The metrics out of the code: a table for the docs, and the names for dashboards and rules."""

from prometheus_client import Metric

from portsentry_py.fleet.metrics import families
from portsentry_py.fleet.snapshot import Snapshot
from portsentry_py.output.metrics import Metrics
from tests.support.readings import reading

EXAMPLE = Snapshot("web1", 0, "", "watch", {}, {})
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def _families() -> list[Metric]:
    metrics = Metrics(200)
    metrics.observe(reading())
    sensor = [family for family in metrics.registry.collect() if "_process_" not in family.name]
    return [*sensor, *families(EXAMPLE)]


def labels() -> dict[str, set[str]]:
    """The labels of each time series, by its name."""
    return {
        family.name + suffix: {label for sample in family.samples for label in sample.labels}
        for family in _families()
        for suffix in _SUFFIXES.get(family.type, ("",))
    }


def reference() -> str:
    """A row for each metric."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for family in _families():
        name = family.name + ("_total" if family.type == "counter" else "")
        words = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        doc = family.documentation[0].lower() + family.documentation[1:].rstrip(".")
        rows.append(f"| `{name}` | {family.type} | {', '.join(f'`{word}`' for word in words)} | {doc} |")
    return "\n".join(rows)
