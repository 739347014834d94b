"""The hand that draws: the style of all figures, and `Drawing`, a figure with its title, its words and its table.

Colours are Okabe and Ito's, darkened so that each has a contrast of 3 to 1 on white; every arm has a marker of its own as
well, so that nothing is told by colour alone. In a page the colours become CSS variables, which is how a figure goes dark.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .grids import Grid

INK, SOFT, LINE, BAND, PAPER = "#1d2126", "#5c6570", "#c9ced4", "#f1f3f5", "#fefefe"
COLOURS = ("#0072b2", "#c44e00", "#007a5e", "#a2468a", "#96690b", "#30363d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))

# What a page's style sheet calls the colours.
VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    BAND: "band",
    PAPER: "paper",
    **{colour: f"arm{i}" for i, colour in enumerate(COLOURS)},
}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in Balin's style, and without remarks on letters that the drawing machine has no font for."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure, ready for a page or a file.

    Attributes:
        name: Its file's name and its id in the page.
        title: One line.
        caption: How to read it.
        alt: What it shows, for those who do not see it.
        table: The numbers that it shows.
        figure: The figure, without a title.
    """

    name: str
    title: str
    caption: str
    alt: str
    table: Grid
    figure: Figure

    def __post_init__(self) -> None:
        """Let everything find its place once, so that each writing of the figure is the same."""
        with style():
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        for legend_ in self.figure.legends:
            # Else it moves to the top of the larger canvas that a title needs, and under the title.
            legend_.set_bbox_to_anchor((0, 0, 1, 1), transform=self.figure.transFigure)

    def inline(self) -> str:
        """The SVG element for an HTML page: no fixed size, ids of its own, the page's colours and font."""
        text = self._svg(self.figure, transparent=True)
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r'(<svg [^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"\1", text, count=1)
        text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(self.alt)}" ', 1)
        text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)
        # Many figures in one page: an id may be there once.
        text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{self.name}-", text)
        for colour, variable in VARIABLES.items():
            text = text.replace(colour, f"var(--{variable})")
        text = re.sub(
            r"font-family: [^;\"]+|font: ([\d.]+px) [^;\"]+", lambda m: f"font-size: {m[1]}" if m[1] else "", text
        )
        return text

    @property
    def width(self) -> int:
        """Its natural width in CSS pixels, a tenth of the font's size being one."""
        return round(self.figure.get_figwidth() * 72)

    def write(self, folder: Path) -> list[Path]:
        """`<name>.svg` and `<name>.png` (200 dots an inch), with the title, on white.

        Returns:
            The two files.
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}.svg", folder / f"{self.name}.png"]
        heading = self.figure.suptitle(
            self.title, x=0.01, y=1.02, ha="left", va="bottom", fontsize=12, fontweight="bold"
        )
        try:
            paths[0].write_text(self._svg(self.figure, transparent=False), encoding="utf-8")
            with style():
                self.figure.savefig(paths[1], dpi=200, facecolor=PAPER, bbox_inches="tight")
        finally:
            heading.remove()
        return paths

    def _svg(self, figure: Figure, *, transparent: bool) -> str:
        stream = io.StringIO()
        with style(), mpl.rc_context({"svg.hashsalt": self.name}):
            face = "none" if transparent else PAPER
            tight = None if transparent else "tight"
            figure.savefig(stream, format="svg", metadata={"Date": None}, facecolor=face, bbox_inches=tight)
        return stream.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; everything in it finds room by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def colour(index: int) -> str:
    """The arm's colour."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """The arm's marker: with the colour it tells 24 arms apart."""
    return MARKERS[index % len(MARKERS)]


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """A legend above the axes, one entry a line, so that long names are whole."""
    for handle in handles:
        handle.set_label(shortened(str(handle.get_label()), 58))
    figure.legend(handles=list(handles), loc="outside upper left", ncol=1, handletextpad=0.5, labelspacing=0.3)


def key(index: int, title: str, *, line: bool = False) -> Line2D:
    """The legend's entry of an arm."""
    dash: Any = DASHES[index % len(DASHES)] if line else "none"
    return Line2D([], [], color=colour(index), marker=marker(index), linestyle=dash, markersize=6, label=title)


def published_key(count: int) -> Line2D:
    """The legend's entry of the study's published values."""
    text = f"the study's {count} published medians (other data)"
    return Line2D([], [], color=SOFT, marker="d", markerfacecolor="none", linestyle="none", markersize=6, label=text)


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def place_numbers(
    ax: Axes, points: Sequence[tuple[int, tuple[float, float]]], others: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each point's number beside it, so that numbers cover neither each other nor points, with a line where far.

    The axes must have their final place and limits. Greedy: each number takes the first free of some places around it.
    """
    at = [tuple(map(float, ax.transData.transform(p))) for _, p in points]
    frame, unit = ax.get_window_extent(), float(ax.figure.get_dpi()) / 72
    marks = [*at, *(tuple(map(float, ax.transData.transform(p))) for p in others)]
    taken = [(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit) for x, y in marks]
    for (x, y), (number, point) in zip(at, points, strict=True):
        half_width, half_height = (3.4 * len(str(number)) + 0.8) * unit, 5.2 * unit
        best: tuple[float, float, float] | None = None
        for radius in (9, 14, 20, 27, 35, 44, 54):
            for step in range(16):
                angle = math.pi * (step / 8 + 0.25)
                cx, cy = x + radius * unit * math.cos(angle), y + radius * unit * math.sin(angle)
                box = (cx - half_width, cy - half_height, cx + half_width, cy + half_height)
                inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
                if inside and not any(_overlap(box, other) for other in taken):
                    best = (cx, cy, radius)
                    taken.append(box)
                    break
            if best:
                break
        cx, cy, distance = best or (x, y, 0.0)
        ax.annotate(
            str(number),
            xy=point,
            xytext=((cx - x) / unit, (cy - y) / unit),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": SOFT, "lw": 0.5, "shrinkA": 4, "shrinkB": 2}
            if distance > 9
            else None,
        )


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
