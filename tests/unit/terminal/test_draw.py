"""terminal/draw.py: what is drawn is what is on the screen."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harnex.terminal.draw import sgr, to_ansi, to_svg
from harnex.terminal.screen import Screen, make_screen
from harnex.terminal.styles import Style

DATA = Path(__file__).parents[2] / "data" / "terminal"
SVG = "{http://www.w3.org/2000/svg}"


def recorded(name: str) -> Screen:
    expected = json.loads((DATA / f"{name}.json").read_text())
    screen = make_screen(expected["columns"], expected["rows"])
    screen.feed((DATA / f"{name}.bin").read_bytes()[: expected["frames"][-2]["at"]])
    return screen


@pytest.mark.parametrize("name", sorted(p.stem for p in DATA.glob("*.bin")))
def test_a_full_redraw_gives_the_same_screen(name: str) -> None:
    screen = recorded(name)
    other = make_screen(screen.columns, screen.rows)
    other.feed(b"\x1b[31;2r\x1b[7mjunk" * 500 + to_ansi(screen))
    assert other.view().lines == screen.view().lines
    assert [other.runs(y) for y in range(other.rows)] == [screen.runs(y) for y in range(screen.rows)]
    assert (other.cursor, other.cursor_hidden) == (screen.cursor, screen.cursor_hidden)


def test_every_style_survives_sgr() -> None:
    styles = [Style(bold=True), Style(faint=True), Style(italic=True), Style(underline=True), Style(blink=True)]
    styles += [Style(inverse=True), Style(strike=True), Style("3", "", True, True)]
    styles += [Style(c, d) for c, d in (("1", "9"), ("8", "15"), ("16", "255"), ("#010203", "#ffffff"), ("", "0"))]
    for style in styles:
        screen = make_screen(5, 1)
        screen.feed(b"\x1b[1;4;7;35;45m" + sgr(style).encode() + b"x")
        assert screen.runs(0)[0].style == style


def test_svg_places_words_by_cell_and_is_well_formed() -> None:
    screen = make_screen(30, 3)
    screen.feed("a & <b> 漢字x\x1b[1;31;44m bold \x1b[0m\r\n\x1b[2;3;4;7mdim".encode())
    root = ET.fromstring(to_svg(screen, "t & <\x07>"))
    texts = {(t.text or "").strip(): t for t in root.iter(f"{SVG}text")}
    assert float(texts["字"].get("x", "")) == pytest.approx(10 * 8.4, abs=0.1)
    assert float(texts["字"].get("textLength", "")) == pytest.approx(16.8, abs=0.1)
    assert float(texts["x"].get("x", "")) == pytest.approx(12 * 8.4, abs=0.1)
    assert texts["bold"].get("font-weight") == "bold"
    assert texts["bold"].get("fill") == "#cc6666"
    dim = texts["dim"]
    assert (dim.get("fill"), dim.get("font-style"), dim.get("text-decoration")) == ("#16181d", "italic", "underline")
    assert "a & <b>" in texts and "t & <>" in texts
    for name in ("codex-0.169.0", "claude-2.0.77"):
        svg = to_svg(recorded(name), name)
        ET.fromstring(svg)
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
        assert len(svg) < 40_000
