"""The report's page in headless Chromium: wide and narrow, light and dark, with and without scripts."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from portsentry_py.report.web_page import page
from tests.support.browser import Browser, browser
from tests.support.log_lines import hostile_log
from tests.support.long_log import long_log
from tests.support.reports import summary_of

pytestmark = pytest.mark.slow
WAYS = list(product((1280, 390), (False, True), (True, False)))
# WCAG 2.2, 1.4.3: contrast of text.
LEAST_CONTRAST = 4.5
# How many of the plots have pixels or segments in the colour of a series.
DRAWN = """[...document.querySelectorAll('.plot')].map(place => {
    const canvas = place.querySelector('canvas');
    if (canvas) {
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(pixels.buffer)).size > 20;
    }
    return [...place.querySelectorAll('svg path:not(.axis)')].some(path => path.getBBox().width > 100);
})"""
# Of each element with text of its own: its colour, that behind it, and its beginning.
COLORS = """[...document.querySelectorAll('body, body *')].filter(one => !one.closest('svg, script, .uplot')
    && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())).map(one => {
    let back = one;
    while (back && getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
    const behind = back ? getComputedStyle(back).backgroundColor : 'rgb(255, 255, 255)';
    return [getComputedStyle(one).color, behind, one.outerHTML.slice(0, 80)];
})"""
FOCUS = "(e => [e.tagName, e.className, e.getBoundingClientRect().top + scrollY])(document.activeElement)"


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of weeks of scans, and one of hostile lines."""
    folder = tmp_path_factory.mktemp("pages")
    log = folder / "long.log"
    log.write_text("".join(long_log(20_000, 40)))
    made = {}
    for name, source in (("long", log), ("hostile", hostile_log(folder / "hostile.log"))):
        made[name] = folder / f"{name}.html"
        made[name].write_text(page(summary_of(source, allowlist=())), encoding="utf-8")
    return made


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours."""

    def luminance(color: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", ["long", "hostile"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way)))
def test_the_page_is_sound(tab: Browser, pages: dict[str, Path], name: str, way: tuple[int, bool, bool]) -> None:
    width, dark, scripts = way
    tab.open(pages[name], width, dark=dark, scripts=scripts)
    assert tab.complaints == []
    assert tab.requests == [pages[name].as_uri()], "it loads nothing else"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.title").startswith("Port scans, ")
    if name == "long":
        assert tab.evaluate(DRAWN) == [True] * 4
        assert tab.evaluate("document.querySelectorAll('canvas').length") == (3 if scripts else 0)
    for color, back, element in tab.evaluate(COLORS):
        assert contrast(color, back) >= LEAST_CONTRAST, element


def test_the_tab_key_goes_down_the_page(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["long"], 1280)
    stops: list[Any] = []
    for _ in range(8):
        tab.press("Tab")
        stops.append(tab.evaluate(FOCUS))
    assert stops[0][:2] == ["A", "skip"]
    assert all(class_ == "scroll" for _, class_, _ in stops[1:])
    tops = [top for _, _, top in stops]
    assert tops == sorted(tops)


def test_the_heat_map_names_what_the_pointer_is_on(tab: Browser, pages: dict[str, Path]) -> None:
    tab.open(pages["long"], 1280)
    tab.evaluate("""(svg => { const box = svg.getBoundingClientRect(); svg.dispatchEvent(new PointerEvent('pointermove',
        {clientX: box.left + box.width / 2, clientY: box.top + 12})) })(document.querySelector('#heat svg'))""")
    assert re.fullmatch(
        r"\d+/tcp, 2026-\d\d-\d\d \d\d:\d\d: \d+ lines", tab.evaluate("document.querySelector('output').textContent")
    )
