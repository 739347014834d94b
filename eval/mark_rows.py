"""Rows of marks: a row a feature, in it for each arm or pair of arms a mark with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .drawing import BAND, PAPER, SOFT, colour, key, legend, marker, new_figure, published_key, shortened
from .scores import Interval

# Narrow, so that a phone shows a figure whole with letters that can be read.
WIDTH = 5.4

Reading = tuple[float | None, Interval | None]


class Series(NamedTuple):
    """What has a mark in every row.

    Attributes:
        place: The arm's number: its colour and marker.
        title: What the legend calls it.
        readings: A value and its interval for each row; None where undefined or refused.
        hollow: The rows in which the mark is hollow.
    """

    place: int
    title: str
    readings: Sequence[Reading]
    hollow: frozenset[int] = frozenset()


def rows_of_marks(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    published: int = 0,
    limits: tuple[float, float] | None = None,
) -> tuple[Figure, Axes]:
    """The figure and its axes; the first row is at 0, the next below it at 1.

    Args:
        labels: The rows' names.
        series: What is marked.
        published: How many published values will stand in a place of their own above the rows.
        limits: A value beyond them is marked at the limit, with an arrow head.
    """
    step, row = min(0.25, 0.72 / len(series)), max(0.30, 0.12 * (len(series) + 1))
    canvas = new_figure(WIDTH, 0.9 + row * len(labels) + 0.2 * len(series))
    ax = canvas.add_subplot()
    for turn, item in enumerate(series):
        for y, (value, interval) in enumerate(item.readings):
            at = y + step * (turn - (len(series) - 1) / 2)
            _mark(ax, item.place, at, value, interval, limits, hollow=y in item.hollow)
    for y in range(0, len(labels), 2):
        ax.axhspan(y - 0.5, y + 0.5, color=BAND, lw=0, zorder=0)
    ax.set_yticks(range(len(labels)), [shortened(label, 26) for label in labels])
    ax.set_ylim(len(labels) - 0.5, -1.2 if published else -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    legend(canvas, [*(key(s.place, s.title) for s in series), *([published_key(published)] if published else [])])
    return canvas, ax


def _mark(
    ax: Axes,
    index: int,
    y: float,
    value: float | None,
    interval: Interval | None,
    limits: tuple[float, float] | None,
    *,
    hollow: bool,
) -> None:
    if value is None:
        ax.annotate("undefined", (0.005, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=SOFT)
        return
    low, high = limits or (-math.inf, math.inf)
    if interval is not None and interval.high >= low and interval.low <= high:
        ax.plot((max(low, interval.low), min(high, interval.high)), (y, y), color=colour(index), lw=1.2)
    face = PAPER if hollow else colour(index)
    ax.plot(min(high, max(low, value)), y, color=colour(index), marker=marker(index), mfc=face, ms=5.5, clip_on=False)
    if not low <= value <= high:
        sign, shift = ("◂", -9) if value < low else ("▸", 9)
        at = (low if value < low else high, y)
        ax.annotate(
            sign, at, (shift, 0), textcoords="offset points", ha="center", va="center", fontsize=8, color=colour(index)
        )
