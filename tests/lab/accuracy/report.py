"""The scores as tables for docs/measurements/accuracy.md."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.lab.accuracy.score import Score
from tests.lab.support.intervals import share
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

In parentheses stands the exact (Clopper-Pearson) 95 % interval of the share, for captures of the same kind as these.
"""
_DAMAGE = """The same captures, after what a poor capture does to them. The seed is fixed.

- **lost**: 35 % of the packets, any of them, are missing.
- **shuffled**: a packet comes up to 200 ms later; its time stays.
- **twice**: each packet comes twice, as a capture of a VLAN and its parent has them.
- **first segments to served ports**: those with a header of 40 bytes are missing, as the kernel's filter keeps them.
- **still detected**: of the scans that are detected in the whole captures.
- **others banned**: scans with a line that bans somebody who is no scanner.
- **accused**: innocent captures with a line that bans or watches somebody.
"""


def markdown(scores: Sequence[Score], damaged: Mapping[str, Sequence[Score]], peers: str) -> str:
    """The whole page.

    Args:
        scores: of every capture.
        damaged: the scores of the same captures after each damage, by its name; may be empty.
        peers: the page that compares the sensor with its peers on the same packets; may be empty.
    """
    positives = [one for one in scores if one.label == "positive"]
    parts = [_HEAD, summary(scores), "## Scans, by type and strength\n", _by_type(positives)]
    parts += ["## Innocent and hostile captures\n", _innocents(scores), "## What is not right\n", _wrong(scores)]
    parts += ["## Ambiguous, not scored\n", _ambiguous(scores)]
    if damaged:
        parts += ["## Damaged captures\n", _DAMAGE, damage(scores, damaged)]
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


def summary(scores: Sequence[Score]) -> str:
    """The figures in a sentence."""
    scored = [one for one in scores if one.strength != "ambiguous"]
    positives = [one for one in scored if one.label == "positive"]
    negatives = [one for one in scored if one.label == "negative"]
    detected = sum(bool(one.detected) for one in positives)
    right = sum(_is_right(one) for one in positives)
    false = sum(bool(one.false_positives) for one in negatives)
    scans, innocents = len(positives), len(negatives)
    return (
        f"Of {scans} scans, {share(detected, scans)} detected, {share(right, scans)} with the right source and type; "
        f"of {innocents} innocent captures, {share(false, innocents)} with a false positive.\n"
    )


def damage(scores: Sequence[Score], damaged: Mapping[str, Sequence[Score]]) -> str:
    """What each damage changes, and the captures that are concerned."""
    whole = {one.name: one for one in scores}
    rows, named = [], []
    for name, found in damaged.items():
        scored = [one for one in found if one.strength != "ambiguous" and one.unreadable is None]
        positives = [one for one in scored if one.label == "positive" and whole[one.name].detected]
        negatives = [one for one in scored if one.label == "negative"]
        lost = [one.name for one in positives if not one.detected]
        others = [one.name for one in positives if one.false_positives]
        accused = [one.name for one in negatives if one.false_positives]
        rows.append(
            (
                name,
                len(positives),
                share(len(positives) - len(lost), len(positives)),
                share(len(others), len(positives)),
                len(negatives),
                share(len(accused), len(negatives)),
            )
        )
        groups = {"not detected": lost, "others banned": others, "accused": accused}
        named += [f"- {name}, {what}: {', '.join(names)}.\n" for what, names in groups.items() if names]
    head = ("damage", "scans", "still detected", "others banned", "innocent captures", "accused")
    return "\n".join([table(head, rows), "".join(named)])


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
            *(
                share(sum(map(bool, rights)), len(group))
                for rights in zip(*((one.detected, one.right_source, one.right_type) for one in group), strict=True)
            ),
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
        rows.append(
            (label, strength, len(group), share(named, len(group)), sum(one.unreadable is not None for one in group))
        )
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
