"""Charts as SVG text, readable without scripts. Pure; colours are classes of the page's style."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 960
_HEIGHT = 240
_BOTTOM = 24
_TIME_WIDTH = 96
_STEPS = 5
HEAT_LEFT = 84
HEAT_TOP = 4
HEAT_ROW = 18


def stacked_bars(starts: Sequence[str], series: Mapping[str, Sequence[int]], label: str) -> str:
    """Bars over time, one segment for each series; the name of a series is its class."""
    left = 56
    sums = [sum(counts) for counts in zip(*series.values(), strict=True)]
    most = max(sums, default=0) or 1
    step = (WIDTH - left) / max(1, len(starts))
    scale = (_HEIGHT - _BOTTOM - 10) / most
    levels = [0.0] * len(starts)
    paths = []
    for name, counts in series.items():
        path = []
        for index, count in enumerate(counts):
            if count:
                height = max(1.0, count * scale)
                bottom = _HEIGHT - _BOTTOM - levels[index]
                levels[index] += height
                path.append(f"M{left + index * step:.1f} {bottom:.1f}v{-height:.1f}h{step * 0.9:.1f}v{height:.1f}z")
        if path:
            paths.append(f'<path class="{name}" d="{"".join(path)}"/>')
    axis = f'<path class="axis" d="M{left} 8v{_HEIGHT - _BOTTOM - 8}h{WIDTH - left}"/>'
    texts = [_text(left - 6, 16, str(max(sums, default=0)), "end"), _text(left - 6, _HEIGHT - _BOTTOM, "0", "end")]
    texts += _times(starts, left, step, _HEIGHT - 6)
    return _svg(_HEIGHT, label, [axis, *paths, *texts])


def heat_map(names: Sequence[str], starts: Sequence[str], rows: Sequence[Sequence[int]], label: str) -> str:
    """A row of cells for each name; the darkest of five shades are the most."""
    step = cell_width(len(starts))
    most = max((count for row in rows for count in row), default=0)
    paths: list[list[str]] = [[] for _ in range(_STEPS)]
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            if count:
                place = f"M{HEAT_LEFT + x * step:.1f} {HEAT_TOP + y * HEAT_ROW}"
                paths[_shade(count, most)].append(f"{place}h{step * 0.95:.1f}v{HEAT_ROW - 2}h{-step * 0.95:.1f}z")
    parts = [f'<path class="heat{shade}" d="{"".join(path)}"/>' for shade, path in enumerate(paths, 1) if path]
    parts += [_text(HEAT_LEFT - 6, HEAT_TOP + y * HEAT_ROW + 12, name, "end") for y, name in enumerate(names)]
    height = HEAT_TOP + len(names) * HEAT_ROW + 20
    return _svg(height, label, [*parts, *_times(starts, HEAT_LEFT, step, height - 5)])


def cell_width(columns: int) -> float:
    """The width of a column of the heat map."""
    return (WIDTH - HEAT_LEFT) / max(1, columns)


def _shade(count: int, most: int) -> int:
    """The shade of a count, by its logarithm: a few counts are far above all others."""
    return min(_STEPS - 1, (count.bit_length() - 1) * _STEPS // most.bit_length())


def _times(starts: Sequence[str], left: float, step: float, y: float) -> list[str]:
    """A few of the times below a chart."""
    every = max(1, len(starts) // 4)
    shown = range(0, len(starts), every)
    return [
        _text(left + index * step, y, starts[index][:16].replace("T", " "))
        for index in shown
        if left + index * step < WIDTH - _TIME_WIDTH
    ]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return f"{head}{''.join(parts)}</svg>"
