"""A small table of texts that the terminal shows and Markdown holds: what is in it is decided once, for both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from .scores import Interval

UNDEFINED = "–"


@dataclass(frozen=True, slots=True)
class Grid:
    """A titled table: columns of text first, then columns of numbers.

    `rich.print(grid)` and `Console.print(grid)` show it.

    Attributes:
        title: One line.
        columns: Headings; a line break in one is kept in the terminal.
        rows: Cells, as many a row as there are columns.
        notes: Lines below the table.
        texts: How many columns are text: those are set to the left and may wrap.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: int = 1

    def __rich__(self) -> Table:
        """The table for rich, which is imported when something is shown."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(self.title),
            title_justify="left",
            caption=Text("\n".join(self.notes)) if self.notes else None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
        )
        for index, heading in enumerate(self.columns):
            # Text, not str: a label such as "[pain]" would be read as markup.
            text = index < self.texts
            table.add_column(Text(heading), justify="left" if text else "right", no_wrap=not text)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def markdown(self) -> str:
        """The table as GitHub's Markdown, notes below it, without the title."""
        lines = [
            _markdown_row(self.columns),
            _markdown_row(["---" if index < self.texts else "---:" for index in range(len(self.columns))]),
            *(_markdown_row(row) for row in self.rows),
        ]
        return "\n".join([*lines, *(f"\n{escape(note)}" for note in self.notes)])


def escape(text: str) -> str:
    """`text` on one line, so that it neither ends a Markdown cell nor opens HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def figure(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals; "–" for None and NaN; never "-0.00"."""
    if value is None or math.isnan(value):
        return UNDEFINED
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def figure_with_interval(value: float | None, interval: Interval | None, decimals: int = 2) -> str:
    """`0.61 [0.40, 0.77]`, or the number alone where there is no interval."""
    if interval is None:
        return figure(value, decimals)
    return f"{figure(value, decimals)} [{figure(interval.low, decimals)}, {figure(interval.high, decimals)}]"


def _markdown_row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"
