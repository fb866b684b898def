"""Plots as SVG that follows the page's colours: matplotlib without any global state.

    with drawing() as axes:
        axes.plot(x, y, color=SERIES[0])
        plot = finished(axes, name="learning", alt="...", columns=("x", "y"), rows=rows)

The colours here are stand-ins: in the SVG each becomes a CSS variable, so that one drawing serves
light and dark. Labels are text, never formulas.
"""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from markupsafe import Markup

from sftbench.names import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

INK = "#0a0b01"
MUTED = "#0a0b02"
GRID = "#0a0b03"
GROUND = "#0a0b04"
HEAT = "#0a0b05"
SERIES = tuple(f"#0c0d{number:02x}" for number in range(8))
TONES = {
    tone: f"#0e0f{number:02x}"
    for number, tone in enumerate(("success", "failure", "inconclusive", "baseline", "skipped"))
}
_VARIABLES = {
    INK: "--plot-ink",
    MUTED: "--plot-muted",
    GRID: "--plot-grid",
    GROUND: "--ground",
    HEAT: "--plot-heat",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES)},
    **{colour: f"--tone-{tone}" for tone, colour in TONES.items()},
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES = ("-", "--", "-.", ":")

# Inches of 72 points: about as wide as a phone, so that letters keep their size there.
WIDTH, HEIGHT = 4.8, 3.4
_LABEL_CHARACTERS = 40
_WHOLE_CHARACTERS = 500
_ALT_CHARACTERS = 2000
_SETTINGS: Any = {  # the type of its keys differs between releases of matplotlib
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "sftbench",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_NUMBERS = frozenset({"d", "x", "y", "width", "height", "transform"})
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_REFERENCE = re.compile(r"(?:url\()?#([\w-]+)\)?$")
_FONT = re.compile(r"font: (?:[a-z0-9]+ )*?([0-9.]+)px [^;]*|font-family: [^;]*")


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with its data.

    Attributes:
        name: Of its CSV file, without ending: letters, digits, hyphens.
        svg: Markup, safe to put on a page.
        alt: What it shows, in words.
        csv: Its data, with a line of headings.
        width: Natural width in points.
    """

    name: str
    svg: Markup
    alt: str
    csv: str
    width: float

    @property
    def href(self) -> str:
        """The CSV as an address that holds it, for a link that saves it."""
        return f"data:text/csv;charset=utf-8,{quote(self.csv, safe=',;:/ ()[]')}"


@contextmanager
def drawing(width: float = WIDTH, height: float = HEIGHT) -> Iterator[Axes]:
    """Give axes to draw on, in inches; everything is to be drawn, and finished, inside."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot()


def finished(
    axes: Axes, *, name: str, alt: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> Plot:
    """Return what was drawn, with the data behind it.

    Args:
        axes: From `drawing`, still inside of it.
        name: Of the CSV file; unique on the page, since ids in the SVG begin with it.
        alt: What it shows, in words, for those who do not see it.
        columns: Headings of the data.
        rows: Numbers as they are (None: missing), not rounded.
    """
    alt = one_line(alt, _ALT_CHARACTERS)
    out = io.StringIO()
    figure = cast("MatplotlibFigure", axes.figure)
    figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    return Plot(
        name=name,
        svg=_inlined(out.getvalue(), name, alt),
        alt=alt,
        csv=as_csv(columns, rows),
        width=72.0 * figure.get_figwidth(),
    )


def label(text: str, limit: int = _LABEL_CHARACTERS) -> str:
    """Return a name as a label: one line, printable, short."""
    return one_line(text, limit)


def short_labels(names: Sequence[str], limit: int) -> list[str]:
    """Return names as labels in the same order: those that differ stay different.

    A long name is cut in the middle. Those that would then be equal keep up to a quarter more,
    and get a number where even that does not tell them apart.
    """
    lines = {name: label(name, _WHOLE_CHARACTERS) for name in names}
    room = dict.fromkeys(lines, limit)
    while True:
        short = {name: _middle_cut(line, room[name]) for name, line in lines.items()}
        times = Counter(short.values())
        alike = [name for name in lines if times[short[name]] > 1]
        growing = [name for name in alike if room[name] < limit * 5 // 4]
        if not growing:
            break
        for name in growing:
            room[name] += 1
    number = {name: place for place, name in enumerate(alike, 1)}
    return [f"{short[name]} ({number[name]})" if name in number else short[name] for name in names]


def _middle_cut(line: str, limit: int) -> str:
    if len(line) <= limit:
        return line
    tail = (limit - 3) // 2
    return f"{line[: limit - 3 - tail]}...{line[len(line) - tail :]}"


def style(number: int) -> dict[str, Any]:
    """Return colour, dash and marker of the nth series: no two alike among 32."""
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": DASHES[number // len(SERIES) % len(DASHES)],
        "marker": MARKERS[(number + number // len(SERIES)) % len(MARKERS)],
    }


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return data as CSV; text that a spreadsheet would run as a formula begins with a quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue()


def _field(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = one_line(value, 500)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _inlined(svg: str, name: str, alt: str) -> Markup:
    """Return matplotlib's SVG for use inside a page: CSS variables, own ids, no style sheet."""
    root = ET.fromstring(svg)  # noqa: S314 - matplotlib has just written it
    for child in list(root):
        is_style = child.find(f"{_SVG}style") is not None  # it would count for the whole page
        if child.tag == f"{_SVG}metadata" or is_style:
            root.remove(child)
    used = {
        found[1]
        for one in root.iter()
        for value in one.attrib.values()
        if (found := _REFERENCE.match(value))
    }
    for one in root.iter():
        _adapt(one, name, used)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    ET.register_namespace("", _SVG[1:-1])
    ET.register_namespace("xlink", _XLINK[1:-5])
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _adapt(one: ET.Element, name: str, used: set[str]) -> None:
    """Give an element of the SVG the page's colours and letters, and an id of its own."""
    place = one.attrib.pop("id", None)
    if place in used:
        one.set("id", f"{name}-{place}")
    one.tail = None  # white space that nobody reads
    if one.text and not one.text.strip():
        one.text = None
    for key, value in one.attrib.items():
        if key == "style":
            text = _FONT.sub(lambda found: f"font-size: {found[1]}px" if found[1] else "", value)
            one.set(key, _COLOUR.sub(lambda found: _variable(found[0]), text))
        elif key == _XLINK:
            one.set(key, f"#{name}-{value[1:]}")
        elif value.startswith("url(#"):
            one.set(key, f"url(#{name}-{value[5:]}")
        elif key in _NUMBERS:
            one.set(key, _DECIMALS.sub(r"\1", value))


def _variable(colour: str) -> str:
    return f"var({_VARIABLES[colour]})" if colour in _VARIABLES else colour
