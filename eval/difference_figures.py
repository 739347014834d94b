"""Forest plots of paired differences: from the baseline by feature, and between the two routes of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator

from .comparison import Comparison, Pair
from .drawing import INK, SOFT, Drawing
from .grids import Grid, figure, figure_with_interval
from .mark_rows import Series, rows_of_marks
from .paired import PAIRED, Difference
from .tables import METRIC_NAMES

ALPHA = 0.05
_NAMES: Mapping[str, str] = {**METRIC_NAMES, "missing": "Missing answers"}


def draw_differences(comparison: Comparison) -> Drawing:
    """The differences in MCC from the baseline: median and mean over the features, then each feature."""
    names, baseline = comparison.selection.features, comparison.arms[0]
    labels = ["Median", "Mean", *(comparison.selection.label(n) for n in names)]
    series, cells = [], []
    for place, pair in enumerate(comparison.against_baseline, 1):
        result = pair.result
        found = [result.median["mcc"], result.mean["mcc"], *(result.features[n]["mcc"] for n in names)]
        p_values = [d.p if row < 2 else d.p_holm for row, d in enumerate(found)]
        series.append(_series(place, pair.letters, found, p_values))
        cells.append(_cells(found, p_values))
    canvas, ax = rows_of_marks(labels, series)
    ax.axvline(0, color=INK, lw=1)
    ax.axhline(1.5, color=SOFT, lw=0.8)
    ax.set_xlabel(f"Difference in MCC from {baseline.letter}, with 95 % interval")
    return Drawing(
        "differences",
        "Paired differences in MCC",
        f"Right of 0 the arm is better than {baseline.title}, on the same transcripts. Filled: an interval without 0 and p "
        f"under {ALPHA} (arms swapped by group; by feature corrected by Holm; a median has no p). Hollow: these data do not "
        "tell the two apart.",
        f"Differences in MCC of {len(series)} arms from the first, with intervals.",
        Grid("Difference [95 %] and p", ("MCC", *(s.title for s in series)), tuple(zip(labels, *cells, strict=True))),
        canvas,
    )


def draw_translation(comparison: Comparison) -> Drawing | None:
    """What the English text changes against the source text, metric by metric; None where no model was run by both routes."""
    pairs = [(pair, "translated") for pair in comparison.translation]
    pairs += [(pair, "ceiling, given English") for pair in comparison.ceiling]
    if not pairs:
        return None
    series, cells = [], []
    for pair, kind in pairs:
        found = [pair.result.mean[metric] for metric in PAIRED]
        p_values = [d.p for d in found]
        series.append(_series(_place(comparison, pair), f"{pair.letters}: {_model(pair)}, {kind}", found, p_values))
        cells.append(_cells(found, p_values))
    labels = [_NAMES[metric] for metric in PAIRED]
    canvas, ax = rows_of_marks(labels, series)
    ax.axvline(0, color=INK, lw=1)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel("English − direct: difference of means, 95 % interval")
    ceiling = " Given English is no evidence about translating: it is the ceiling." if comparison.ceiling else ""
    return Drawing(
        "translation",
        "What translating changes",
        "The same model on an English text against the source text, means over the features. Right of 0: higher with English; "
        f"for missing answers left is better. Filled: p under {ALPHA} and an interval without 0.{ceiling}",
        f"Differences of {len(PAIRED)} metrics between two routes for {len(pairs)} pairs of arms.",
        Grid("Difference [95 %] and p", ("Mean", *(s.title for s in series)), tuple(zip(labels, *cells, strict=True))),
        canvas,
    )


def _series(place: int, title: str, found: Sequence[Difference], p_values: Sequence[float | None]) -> Series:
    doubtful = frozenset(row for row, (d, p) in enumerate(zip(found, p_values, strict=True)) if not _told(d, p))
    return Series(place, title, [(d.difference, d.interval) for d in found], doubtful)


def _told(item: Difference, p: float | None) -> bool:
    """Whether the interval, and the test where there is one, tell the difference from 0."""
    interval = item.interval
    if interval is None:
        return p is not None and p < ALPHA
    return (p is None or p < ALPHA) and not interval.low <= 0 <= interval.high


def _cells(found: Sequence[Difference], p_values: Sequence[float | None]) -> list[str]:
    return [
        figure_with_interval(d.difference, d.interval, 3) + ("" if p is None else f", p {_p(p)}")
        for d, p in zip(found, p_values, strict=True)
    ]


def _place(comparison: Comparison, pair: Pair) -> int:
    """The number of the pair's English arm, whose colour and marker it has."""
    return [arm.letter for arm in comparison.arms].index(pair.second.letter)


def _model(pair: Pair) -> str:
    return str((pair.second.run.get("model") or {}).get("name") or pair.second.letter)


def _p(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else figure(value, 3)
