"""Pictures of a screen: ANSI for a terminal, SVG for a page.

Pure; no fonts, no links, no scripts.
"""

from __future__ import annotations

from harnex.terminal.scanner import BACKGROUND, FOREGROUND, palette
from harnex.terminal.screen import Screen
from harnex.terminal.styles import PLAIN, Run, Runs, Style

_FLAGS = ((1, "bold"), (2, "faint"), (3, "italic"), (4, "underline"), (5, "blink"), (7, "inverse"), (9, "strike"))


def sgr(style: Style) -> str:
    """The sequence that sets this style, whatever was set before."""
    codes = ["0", *(str(code) for code, name in _FLAGS if getattr(style, name))]
    for colour, base, bright, extended in ((style.fg, 30, 90, 38), (style.bg, 40, 100, 48)):
        if colour.startswith("#"):
            codes.append(f"{extended};2;{int(colour[1:3], 16)};{int(colour[3:5], 16)};{int(colour[5:7], 16)}")
        elif colour:
            number = int(colour)
            code = base + number if number < 8 else bright + number - 8
            codes.append(str(code) if number < 16 else f"{extended};5;{number}")
    return f"\x1b[{';'.join(codes)}m"


def row_ansi(runs: Runs) -> str:
    """One row from its first column, with its styles. The style is reset at the end."""
    out = []
    style = PLAIN
    for run in runs:
        if run.style is not style and run.style != style:
            out.append(sgr(run.style))
            style = run.style
        out.append(run.text)
    if style != PLAIN:
        out.append("\x1b[0m")
    return "".join(out)


def to_ansi(screen: Screen) -> bytes:
    """A full redraw, from any state of the terminal: rows, cursor position and visibility."""
    # Autowrap is off, so a full last row can't scroll. Each row is addressed, so width errors can't
    # add up.
    out = ["\x1b[?7l\x1b[?6l\x1b[r\x1b[0m\x1b[2J"]
    for row in range(screen.rows):
        runs = screen.runs(row)
        if runs:
            out.append(f"\x1b[{row + 1}H{row_ansi(runs)}")
    row, column = screen.cursor
    out.append(f"\x1b[?7h\x1b[{row + 1};{column + 1}H\x1b[?25{'l' if screen.cursor_hidden else 'h'}")
    return "".join(out).encode("utf-8", "replace")


CELL_X, CELL_Y, FONT = 8.4, 17.0, 14.0
_MARGIN, _BAR = 12.0, 30.0


def _hex(colour: str, default: str) -> str:
    if not colour:
        return f"#{default}"
    return colour if colour.startswith("#") else f"#{palette(int(colour))}"


def colours(style: Style) -> tuple[str, str]:
    """Foreground and background as `#rrggbb`; an inverse style has them swapped."""
    fg, bg = _hex(style.fg, FOREGROUND), _hex(style.bg, BACKGROUND)
    return (bg, fg) if style.inverse else (fg, bg)


def _px(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def to_svg(screen: Screen, title: str = "") -> str:
    """A window with the screen inside.

    Every run of text is stretched to its cells, whatever font the viewer has.
    """
    width, height = screen.columns * CELL_X + 2 * _MARGIN, screen.rows * CELL_Y + _BAR + 2 * _MARGIN
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_px(width)}" height="{_px(height)}" '
            f'viewBox="0 0 {_px(width)} {_px(height)}" '
            f'font-family="ui-monospace,\'DejaVu Sans Mono\',Menlo,Consolas,monospace" font-size="{_px(FONT)}">'
        ),
        f'<rect width="100%" height="100%" rx="8" fill="#{BACKGROUND}"/>',
        f'<path d="M0 {_px(_BAR)}h{_px(width)}" stroke="#31343b"/>',
    ]
    for number, colour in enumerate(("#ed6a5e", "#f4bf4f", "#61c554")):
        out.append(f'<circle cx="{16 + 20 * number}" cy="15" r="5.5" fill="{colour}"/>')
    if title:
        out.append(
            f'<text x="{_px(width / 2)}" y="20" text-anchor="middle" fill="#9a9fa8">{_clean(title[:120])}</text>'
        )
    out.append(f'<g transform="translate({_px(_MARGIN)} {_px(_BAR + _MARGIN)})" xml:space="preserve">')
    for row in range(screen.rows):
        _svg_row(out, row, screen.runs(row))
    if not screen.cursor_hidden:
        row, column = screen.cursor
        out.append(
            f'<rect x="{_px(column * CELL_X)}" y="{_px(row * CELL_Y)}" width="{_px(CELL_X)}" height="{_px(CELL_Y)}" '
            f'fill="#{FOREGROUND}" fill-opacity=".55"/>'
        )
    out.append("</g></svg>\n")
    return "\n".join(out)


def _clean(text: str) -> str:
    """Text escaped for XML, without control characters: XML never allows them."""
    from html import escape  # only drawings need its table of entities

    return escape("".join(c for c in text if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff"))


def _svg_row(out: list[str], row: int, runs: Runs) -> None:
    top = row * CELL_Y
    for run in runs:
        fg, bg = colours(run.style)
        if bg != f"#{BACKGROUND}":
            out.append(
                f'<rect x="{_px(run.column * CELL_X)}" y="{_px(top)}" width="{_px(run.cells * CELL_X)}" '
                f'height="{_px(CELL_Y)}" fill="{bg}"/>'
            )
        attributes = f' fill="{fg}"'
        if run.style.bold:
            attributes += ' font-weight="bold"'
        if run.style.faint:
            attributes += ' opacity=".6"'
        if run.style.italic:
            attributes += ' font-style="italic"'
        lines = [name for name, on in (("underline", run.style.underline), ("line-through", run.style.strike)) if on]
        if lines:
            attributes += f' text-decoration="{" ".join(lines)}"'
        for column, text, cells in _pieces(run):
            out.append(
                f'<text x="{_px(column * CELL_X)}" y="{_px(top + CELL_Y * 0.76)}" '
                f'textLength="{_px(cells * CELL_X)}" lengthAdjust="spacingAndGlyphs"{attributes}>{_clean(text)}</text>'
            )


def _pieces(run: Run) -> list[tuple[int, str, int]]:
    """(column, text, cells) of the words of a run.

    Where cells and characters differ, each wide grapheme stands alone.
    """
    if not run.wide:
        text = run.text if run.style.underline or run.style.strike else run.text.rstrip(" ")
        start = len(text) - len(text.lstrip(" ")) if not (run.style.underline or run.style.strike) else 0
        return [(run.column + start, text[start:], len(text) - start)] if text[start:] else []
    pieces: list[tuple[int, str, int]] = []
    column = run.column
    for text, cells in run.graphemes():
        if cells == 1 and pieces and pieces[-1][2] == len(pieces[-1][1]) and pieces[-1][0] + pieces[-1][2] == column:
            last = pieces.pop()
            pieces.append((last[0], last[1] + text, last[2] + 1))
        elif text.strip():
            pieces.append((column, text, cells))
        column += cells
    return pieces
