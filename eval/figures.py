"""The figures of a report: the study's five for the arms at hand, and those that need more than it published.

Each is a function of a `Selection` and gives a `Drawing`, or None where there is nothing to draw. `draw_all` gives all of
them in the order of reading. The published values of the study stand in them as hollow grey diamonds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from .comparison import Comparison
from .difference_figures import draw_differences, draw_translation
from .drawing import (
    DASHES,
    INK,
    LINE,
    SOFT,
    Drawing,
    colour,
    key,
    legend,
    marker,
    new_figure,
    place_numbers,
    published_key,
    shortened,
    style,
)
from .grids import Grid, figure, figure_with_interval
from .mark_rows import WIDTH, Reading, Series, rows_of_marks
from .probability_figures import draw_reliability, draw_thresholds
from .scores import SCARCE
from .shown import Selection, ShownArm
from .tables import METRIC_NAMES, STUDY_METRICS, StudyResult, scarce_note

Published = Sequence[StudyResult]

RADAR = (*STUDY_METRICS, "precision", "accuracy")
RATIO_LIMITS = (0.1, 10.0)
_HOLLOW = f"A hollow mark: under {SCARCE} gold labels of one class, its interval is not to be relied on."


def draw_all(selection: Selection, published: Published = (), comparison: Comparison | None = None) -> list[Drawing]:
    """Every figure that the arms have something for.

    Args:
        selection: The arms.
        published: The study's results, where the arms answer the study's questions; else none.
        comparison: The comparison of these arms, where there are several.
    """
    with style():
        drawn = [
            draw_radar(selection, published),
            draw_differences(comparison) if comparison else None,
            draw_translation(comparison) if comparison else None,
            draw_rates(selection, published),
            draw_mcc(selection, published),
            draw_ratio(selection),
            draw_missing(selection),
            draw_reliability(selection),
            draw_thresholds(selection),
            draw_cost(selection),
        ]
    return [drawing for drawing in drawn if drawing is not None]


def draw_radar(selection: Selection, published: Published = ()) -> Drawing:
    """The medians over the features, one spoke a metric."""
    arms, angles = selection.arms, np.linspace(0, 2 * math.pi, len(RADAR), endpoint=False)
    canvas = new_figure(WIDTH, 4.3 + 0.2 * len(arms))
    ax = canvas.add_subplot(projection="polar")
    assert isinstance(ax, PolarAxes)  # noqa: S101  that is what the projection is
    ax.set_theta_offset(math.pi / 2)
    ax.set_theta_direction(-1)
    ax.set_ylim(0, 1)
    ax.set_xticks(angles, [METRIC_NAMES[m] for m in RADAR])
    ax.tick_params(axis="x", pad=14)
    ax.set_yticks((0.2, 0.4, 0.6, 0.8, 1.0), ["0.2", "0.4", "0.6", "0.8", "1"], fontsize=8)
    ax.set_rlabel_position(30)
    ax.spines["polar"].set_color(LINE)
    for index, arm in enumerate(arms):
        medians = [_or_nan(arm.scores.summaries()[m].median) for m in RADAR]
        radii = [max(0.0, value) for value in (*medians, medians[0])]
        ax.plot([*angles, angles[0]], radii, color=colour(index), linestyle=DASHES[index % len(DASHES)], lw=1.6)
        ax.plot(angles, radii[:-1], color=colour(index), marker=marker(index), linestyle="none", ms=6, clip_on=False)
    for row in published:
        radii = [row.recorded["scores"][m]["median"] for m in STUDY_METRICS]
        ax.plot(angles[: len(radii)], radii, color=SOFT, marker="d", mfc="none", linestyle="none", ms=6, clip_on=False)
    handles = [key(i, arm.title, line=True) for i, arm in enumerate(arms)]
    legend(canvas, [*handles, *([published_key(len(published))] if published else [])])
    rows = [(arm.title, *(_summary(arm, m) for m in RADAR)) for arm in arms]
    rows += [
        (row.name, *(figure(row.recorded["scores"].get(m, {}).get("median"), 3) for m in RADAR)) for row in published
    ]
    return Drawing(
        "medians",
        "Medians over the features",
        "Each spoke is a metric from 0 (centre) to 1 (rim); further out is better. A negative MCC is drawn at 0.",
        f"Radar of the medians of {len(RADAR)} metrics for {_count(arms)}. The table below has the values.",
        Grid("Medians [95 %]", ("Arm", *(METRIC_NAMES[m] for m in RADAR)), tuple(rows)),
        canvas,
    )


def draw_rates(selection: Selection, published: Published = ()) -> Drawing:
    """Sensitivity against specificity: one panel an arm, one numbered dot a feature."""
    arms, names = selection.arms, selection.features
    columns = min(2, len(arms))
    rows = -(-len(arms) // columns)
    side, key_height = WIDTH / 2, 0.17 * -(-len(names) // 2) + 0.25
    head = 0.2 * (len(arms) + bool(published)) + 0.45
    height = rows * side * 0.92 + key_height + head
    canvas = Figure(figsize=(WIDTH, height))
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    canvas.subplots_adjust(
        left=0.105,
        right=0.985 if columns == 2 else 0.72,
        top=1 - head / height,
        bottom=(key_height + 0.5) / height,
        wspace=0.08,
        hspace=0.2,
    )
    found = [[(_value(arm, n, "specificity"), _value(arm, n, "sensitivity")) for n in names] for arm in arms]
    medians = [_published_rates(row) for row in published]
    left = min([x for points in found for x, _ in points if x is not None] + [x for x, _ in medians], default=0.0)
    left = max(0.0, math.floor(10 * left - 0.5) / 10)
    floor = min([y for points in found for _, y in points if y is not None] + [y for _, y in medians], default=0.0)
    floor = max(0.0, math.floor(10 * floor - 0.5) / 10)
    for index, ax in enumerate(grid.flat):
        if index >= len(arms):
            ax.set_axis_off()
            continue
        ax.set_xlim(left - 0.02 * (1 - left), 1 + 0.03 * (1 - left))
        ax.set_ylim(floor - 0.02 * (1 - floor), 1 + 0.03 * (1 - floor))
        ax.set_title(arms[index].letter, fontsize=10, fontweight="bold", loc="left")
        for x, y in medians:
            ax.plot(x, y, color=SOFT, marker="d", mfc="none", linestyle="none", ms=6)
        shown = [(number, (x, y)) for number, (x, y) in enumerate(found[index], 1) if x is not None and y is not None]
        for _, (x, y) in shown:
            ax.plot(x, y, color=colour(index), marker=marker(index), ms=5, linestyle="none", clip_on=False)
        place_numbers(ax, shown, medians)
        ax.label_outer()
        if index % columns == 0:
            ax.set_ylabel("Sensitivity")
        if index >= len(arms) - columns:
            ax.set_xlabel("Specificity")
            ax.tick_params(labelbottom=True)
    handles = [key(i, arm.title) for i, arm in enumerate(arms)] + ([published_key(len(published))] if published else [])
    legend(canvas, handles)
    _number_key(canvas, [selection.label(n) for n in names], key_height / height)
    return Drawing(
        "rates",
        "Sensitivity against specificity, by feature",
        "Up and to the right is better. Each number is a feature, named below the panels."
        + (" Hollow diamonds: the published medians of the study's models, on its own data." if published else ""),
        f"{_count(arms)}: a panel each, with a dot for each of {len(names)} features.",
        _by_feature_grid("Sensitivity / specificity [95 %]", selection, _rates_cell),
        canvas,
    )


def draw_mcc(selection: Selection, published: Published = ()) -> Drawing:
    """MCC by feature with intervals."""
    readings = _readings(selection, "mcc")
    low = min([0.0, *(_low(r) for row in readings for r in row)])
    canvas, ax = _by_feature(selection, readings, published=len(published))
    ax.set_xlim(max(-1, low - 0.03), 1.03)
    ax.axvline(0, color=SOFT, lw=0.8)
    for row in published:
        ax.plot(row.recorded["scores"]["mcc"]["median"], -0.85, color=SOFT, marker="d", mfc="none", ms=6, clip_on=False)
    ax.set_xlabel("MCC, with 95 % interval")
    return Drawing(
        "mcc",
        "MCC by feature",
        "Matthews' correlation of answer and label: 1 is perfect, 0 is no better than chance. "
        + _HOLLOW
        + (" Hollow diamonds at the top: the study's published medians over its features." if published else ""),
        f"MCC of {len(selection.features)} features for {_count(selection.arms)}, with intervals.",
        _by_feature_grid("MCC [95 %]", selection, lambda arm, n: _cell(arm, n, "mcc")),
        canvas,
    )


def draw_ratio(selection: Selection) -> Drawing:
    """Prediction ratio by feature, on a log axis from 0.1 to 10."""
    readings = _readings(selection, "prediction_ratio")
    low, high = RATIO_LIMITS
    canvas, ax = _by_feature(selection, readings, limits=RATIO_LIMITS)
    ax.set_xscale("log")
    ax.set_xlim(low / 1.12, high * 1.12)
    ax.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.axvline(1, color=INK, lw=1)
    ax.set_xlabel("Predicted / labelled positives (log axis)")
    return Drawing(
        "ratio",
        "Prediction ratio by feature",
        "1: as many found as there are; right of it too many, left too few. ◂ and ▸: beyond the axis; the table has the value. "
        + _HOLLOW,
        f"Prediction ratio of {len(selection.features)} features for {_count(selection.arms)}, on a log axis from 0.1 to 10.",
        _by_feature_grid("Prediction ratio [95 %]", selection, lambda arm, n: _cell(arm, n, "prediction_ratio")),
        canvas,
    )


def draw_missing(selection: Selection) -> Drawing:
    """Missing answers by feature, in per cent of the scored ones."""
    readings: list[list[Reading]] = []
    for arm in selection.arms:
        counted = [arm.scores.features[n].count for n in selection.features]
        readings.append([(100 * c.missing / c.n if c.n else None, None) for c in counted])
    canvas, ax = _by_feature(selection, readings)
    top = max([1.0, *(value or 0 for row in readings for value, _ in row)])
    ax.set_xlim(-0.02 * top, 1.05 * top)
    ax.set_xlabel("Missing answers, % of the scored ones")
    total = sum(arm.scores.features[n].count.missing for arm in selection.arms for n in selection.features)
    return Drawing(
        "missing",
        "Missing answers by feature",
        "Answers in which the model gave no value for the feature." + ("" if total else " No arm has any."),
        f"Share of missing answers of {len(selection.features)} features for {_count(selection.arms)}; {total} in all.",
        _by_feature_grid("Missing / scored answers", selection, _missing_cell),
        canvas,
    )


def draw_cost(selection: Selection) -> Drawing | None:
    """Median MCC against seconds for a transcript, and the frontier; None where no arm knows its time."""
    points = []
    for index, arm in enumerate(selection.arms):
        mcc = arm.scores.summaries()["mcc"]
        if arm.seconds and mcc.median is not None:
            points.append((arm.seconds, mcc.median, index, mcc.median_interval))
    if not points:
        return None
    canvas = new_figure(WIDTH, 3.6 + 0.2 * len(points))
    ax = canvas.add_subplot()
    ax.set_xscale("log")
    frontier: list[tuple[float, float]] = []
    for seconds, quality, _, _ in sorted(points, key=lambda p: (p[0], -p[1])):
        if not frontier or quality > frontier[-1][1]:
            frontier.append((seconds, quality))
    ax.plot(*zip(*frontier, strict=True), color=SOFT, lw=1, linestyle=":", drawstyle="steps-post")
    for seconds, quality, index, interval in points:
        if interval:
            ax.plot((seconds, seconds), (interval.low, interval.high), color=colour(index), lw=1.3)
        ax.plot(seconds, quality, color=colour(index), marker=marker(index), ms=8)
        ax.annotate(
            selection.arms[index].letter,
            (seconds, quality),
            xytext=(8, 5),
            textcoords="offset points",
            fontweight="bold",
        )
    times = [p[0] for p in points]
    ax.set_xlim(min(times) / 1.6, max(times) * 1.6)
    ax.xaxis.set_major_locator(FixedLocator(_round_numbers(min(times) / 1.6, max(times) * 1.6)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("Seconds a transcript, translation included (log axis)")
    ax.set_ylabel("Median MCC, with 95 % interval")
    legend(canvas, [key(i, selection.arms[i].title) for _, _, i, _ in points])
    rows = [
        (a.title, figure(s, 3), figure_with_interval(m, v, 3), "yes" if (s, m) in frontier else "no")
        for s, m, a, v in ((s, m, selection.arms[i], v) for s, m, i, v in points)
    ]
    return Drawing(
        "cost",
        "Quality against time",
        "Up and to the left is better. Dotted: the frontier; an arm below it is beaten by one that is at least as quick. "
        "Seconds from request to answer, as measured in each run.",
        f"Median MCC against seconds for a transcript, for {len(points)} of {_count(selection.arms)}.",
        Grid("Quality and time", ("Arm", "Seconds", "Median MCC [95 %]", "On the frontier"), tuple(rows)),
        canvas,
    )


def _by_feature(
    selection: Selection,
    readings: Sequence[Sequence[Reading]],
    *,
    published: int = 0,
    limits: tuple[float, float] | None = None,
) -> tuple[Figure, Axes]:
    """A mark an arm in a row a feature; hollow where an interval is not to be relied on."""
    with_intervals = any(interval is not None for row in readings for _, interval in row)
    scarce = selection.arms[0].scores.scarce if with_intervals else ()
    hollow = frozenset(row for row, name in enumerate(selection.features) if name in scarce)
    series = [Series(i, arm.title, readings[i], hollow) for i, arm in enumerate(selection.arms)]
    labels = [selection.label(n) for n in selection.features]
    return rows_of_marks(labels, series, published=published, limits=limits)


def _number_key(canvas: Figure, labels: Sequence[str], top: float) -> None:
    """The features' numbers and names, in two columns below the panels."""
    lines = -(-len(labels) // 2)
    for index, label in enumerate(labels):
        x, y = 0.03 + 0.49 * (index // lines), top * (1 - (index % lines + 0.9) / (lines + 0.4))
        canvas.text(x, y, f"{index + 1}  {shortened(label, 30)}", fontsize=9, va="bottom")


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between the two; at most seven."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return found if len(found) <= 7 else found[::3]


def _by_feature_grid(title: str, selection: Selection, cell: Callable[[ShownArm, str], str]) -> Grid:
    first = selection.arms[0].scores.features
    rows = tuple(
        (selection.label(n), first[n].count.of_n, *(cell(arm, n) for arm in selection.arms)) for n in selection.features
    )
    columns = ("Feature", "Pos./n", *(arm.title for arm in selection.arms))
    return Grid(title, columns, rows, scarce_note(selection.arms[0].scores))


def _readings(selection: Selection, metric: str) -> list[list[Reading]]:
    items = [[arm.scores.features[n] for n in selection.features] for arm in selection.arms]
    return [[(item.values[metric], item.intervals[metric]) for item in row] for row in items]


def _cell(arm: ShownArm, feature: str, metric: str) -> str:
    item = arm.scores.features[feature]
    return figure_with_interval(item.values[metric], item.intervals[metric])


def _rates_cell(arm: ShownArm, feature: str) -> str:
    return f"{_cell(arm, feature, 'sensitivity')} / {_cell(arm, feature, 'specificity')}"


def _missing_cell(arm: ShownArm, feature: str) -> str:
    count = arm.scores.features[feature].count
    return f"{count.missing} / {count.n}"


def _summary(arm: ShownArm, metric: str) -> str:
    item = arm.scores.summaries()[metric]
    return figure_with_interval(item.median, item.median_interval, 3)


def _value(arm: ShownArm, feature: str, metric: str) -> float | None:
    return arm.scores.features[feature].values[metric]


def _low(reading: Reading) -> float:
    value, interval = reading
    return min(v for v in (value, interval.low if interval else None, 0.0) if v is not None)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _count(arms: Sequence[ShownArm]) -> str:
    return f"{len(arms)} arm{'' if len(arms) == 1 else 's'}"


def _published_rates(row: StudyResult) -> tuple[float, float]:
    medians = row.recorded["scores"]
    return float(medians["specificity"]["median"]), float(medians["sensitivity"]["median"])
