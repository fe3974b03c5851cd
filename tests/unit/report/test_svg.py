"""Charts as text."""

import xml.etree.ElementTree as ET

import pytest

from portsentry_py.report.svg import heat_map, stacked_bars

TIMES = [f"2026-11-{day:02}T00:00:00.000000Z" for day in range(1, 11)]


def paths(drawing: str) -> dict[str, str]:
    root = ET.fromstring(drawing)  # noqa: S314 - what this test drew
    return {path.get("class", ""): path.get("d", "") for path in root.iter("path")}


def test_each_series_is_a_path_with_a_bar_for_each_count() -> None:
    drawing = stacked_bars(TIMES, {"ban": [0, 1, 2, *[0] * 7], "watch": [3, *[0] * 9], "other": [0] * 10}, "scans")
    found = paths(drawing)
    assert {name: path.count("M") for name, path in found.items()} == {"axis": 1, "ban": 2, "watch": 1}
    assert ">3<" in drawing, "the largest sum is at the axis"


@pytest.mark.parametrize("count", [1, 10, 10**15])
def test_a_count_of_any_size_is_drawn_inside(count: int) -> None:
    numbers = [
        float(number)
        for number in paths(stacked_bars(TIMES[:1], {"ban": [count]}, "x"))["ban"]
        .replace("M", " ")
        .replace("v", " ")
        .replace("h", " ")
        .replace("z", " ")
        .split()
    ]
    assert all(-240 <= number <= 960 for number in numbers)


def test_the_most_have_the_darkest_shade() -> None:
    found = paths(heat_map(["22/tcp", "23/tcp"], TIMES, [[1, *[0] * 9], [1000, 30, *[0] * 8]], "ports"))
    assert {name: path.count("M") for name, path in found.items()} == {"heat1": 1, "heat3": 1, "heat5": 1}


def test_nothing_is_drawn_as_nothing() -> None:
    assert paths(heat_map([], [], [], "ports")) == {}
    assert set(paths(stacked_bars([], {"ban": []}, "scans"))) == {"axis"}


def test_names_are_escaped() -> None:
    drawing = heat_map(["22/<b>&"], TIMES, [[1] * 10], '"><script>')
    assert "<script" not in drawing
    assert "22/&lt;b&gt;&amp;" in drawing
