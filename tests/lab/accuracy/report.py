"""The scores as tables for docs/measurements/accuracy.md."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.lab.accuracy.score import Score
from tests.lab.support.tables import table

_HEAD = """# Accuracy

Written by `make accuracy CAPTURES=DIR`, which replays every capture that the directory's `index.csv` labels
through the engine with its default settings. `strength` is the index's word: `clear`, `slow`, `weak` (at the
edge of what is a scan), `hard` (naive detectors fail). Rows that the index calls ambiguous are shown and not
scored.

- **detected**: a `scan` line names a scanner.
- **source**: no line with the verdict `ban` names anybody else; decoys may be watched.
- **type**: `scan_type` is right. In captures made by others, of which no command line is known, a TCP scan
  may be called `syn` or `connect`.
- **probes**: probes to what nobody serves, until the first line.
- **seconds**: from the first of them to that line.
"""


def markdown(scores: Sequence[Score], peers: str) -> str:
    """The whole page.

    Args:
        scores: of every capture.
        peers: the page that compares the sensor with its peers on the same packets; may be empty.
    """
    positives = [one for one in scores if one.label == "positive"]
    parts = [_HEAD, _summary(scores), "## Scans, by type and strength\n", _by_type(positives)]
    parts += ["## Innocent and hostile captures\n", _innocents(scores), "## What is not right\n", _wrong(scores)]
    parts += ["## Ambiguous, not scored\n", _ambiguous(scores)]
    if peers:
        parts.append(re.sub("^#", "##", peers, flags=re.MULTILINE))
    return "\n".join(parts).rstrip() + "\n"


def failures(scores: Iterable[Score]) -> list[Score]:
    """The scored captures with anything wrong."""
    return [one for one in scores if one.strength != "ambiguous" and not _is_right(one)]


def _is_right(one: Score) -> bool:
    if one.label == "positive":
        return bool(one.detected and one.right_source and one.right_type)
    return one.label != "negative" or not one.false_positives


def _summary(scores: Sequence[Score]) -> str:
    scored = [one for one in scores if one.strength != "ambiguous"]
    positives = [one for one in scored if one.label == "positive"]
    negatives = [one for one in scored if one.label == "negative"]
    detected = sum(bool(one.detected) for one in positives)
    right = sum(_is_right(one) for one in positives)
    false = sum(bool(one.false_positives) for one in negatives)
    return (
        f"{detected} of {len(positives)} scans detected, {right} with the right source and type; "
        f"false positives in {false} of {len(negatives)} innocent captures.\n"
    )


def _by_type(positives: Sequence[Score]) -> str:
    groups: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in positives:
        if one.strength != "ambiguous":
            groups[", ".join(one.scan_types), one.strength].append(one)
    rows = [
        (
            kind,
            strength,
            len(group),
            sum(bool(one.detected) for one in group),
            sum(bool(one.right_source) for one in group),
            sum(bool(one.right_type) for one in group),
            _span([one.probes for one in group]),
            _span([one.seconds for one in group]),
        )
        for (kind, strength), group in sorted(groups.items())
    ]
    return table(("scan", "strength", "captures", "detected", "source", "type", "probes", "seconds"), rows)


def _innocents(scores: Sequence[Score]) -> str:
    rows = []
    for label, strength in sorted({(one.label, one.strength) for one in scores if one.label != "positive"}):
        group = [one for one in scores if (one.label, one.strength) == (label, strength)]
        named = sum(bool(one.false_positives) for one in group)
        rows.append((label, strength, len(group), named, sum(one.unreadable is not None for one in group)))
    return table(("label", "strength", "captures", "with a ban or watch line", "no capture at all"), rows)


def _wrong(scores: Sequence[Score]) -> str:
    rows = [
        (one.name, one.detected, one.right_source, f"{one.named_type}", ", ".join(one.false_positives[:5]))
        for one in failures(scores)
    ]
    if not rows:
        return "Nothing among these captures.\n"
    return table(("capture", "detected", "source", "named type", "also named"), rows)


def _ambiguous(scores: Sequence[Score]) -> str:
    rows = [
        (one.name, one.label, one.verdict or "-", one.named_type or "-", len(one.false_positives))
        for one in scores
        if one.strength == "ambiguous"
    ]
    return table(("capture", "label", "verdict", "type", "others named"), rows)


def _span(values: Iterable[float | int | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "-"
    return f"{known[0]:g}" if known[0] == known[-1] else f"{known[0]:g} to {known[-1]:g}"
