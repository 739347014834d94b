"""A comparison as grids, for the terminal, Markdown and LaTeX; and all its differences as one CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from .agreement_tables import agreement_grid
from .comparison import Comparison, Pair
from .grids import UNDEFINED, Grid, escape, figure
from .paired import PAIRED, Difference
from .scores import SCARCE
from .shown import ShownArm
from .tables import METRIC_NAMES, compare_table

_NAMES = {**METRIC_NAMES, "missing": "Missing answers"}
_OVERALL = ("macro_f1", "mcc", "sensitivity", "specificity")
_OF_ROUTES = ("sensitivity", "specificity", "precision", "missing", "macro_f1", "mcc")
_OF_P = (
    "p: of the difference of means, not corrected for the number of rows. A median has none, since the test would be too "
    "often positive: it is told from 0 where its interval leaves 0 out.",
)
_COLUMNS = (
    "comparison", "second", "first", "over", "feature", "metric", "value_second", "value_first", "difference", "low", "high",
    "resamples", "p", "p_holm",
)  # fmt: skip


def comparison_grids(comparison: Comparison, *, wide: bool = False) -> list[Grid]:
    """Every table of a comparison, in the order of reading.

    Args:
        comparison: What is shown.
        wide: With an interval on every difference; otherwise within about 110 columns.
    """
    # A model's two routes may be a pair beside the baseline's; where they are the same pair it is shown once.
    pairs = {pair.letters: pair for pair in (*comparison.against_baseline, *comparison.translation)}.values()
    grids = [compare_table((arm.title, arm.scores) for arm in comparison.arms)]
    if comparison.settings:
        grids.append(_settings_grid(comparison))
    grids.append(_overall_grid(comparison))
    grids += [_feature_grid(comparison, pair, wide) for pair in pairs]
    if comparison.translation:
        grids.append(_translation_grid(comparison.translation))
    if comparison.ceiling:
        grids.append(_ceiling_grid(comparison.ceiling))
    grids += [_disagreement_grid(comparison, pair) for pair in pairs]
    return [*grids, agreement_grid(comparison.selection), _cost_grid(comparison.arms)]


def comparison_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown document, ending with a line break."""
    n = len(comparison.arms[0].table.ids)
    head = (
        f"{n} transcripts, {len(comparison.selection.features)} features; a missing answer counts as False. In brackets: 95 % "
        f"bootstrap intervals by group ({comparison.resamples} resamples, the same for all arms). p: two-sided, "
        f"swapping the arms by group ({comparison.permutations} swaps); by feature corrected by Holm. Seed {comparison.seed}."
    )
    said = [*comparison.warnings, *comparison.notes]
    parts = ["# Comparison of arms", head]
    if said:
        parts.append("\n".join(f"- {escape(item)}" for item in said))
    parts += [f"## {escape(grid.title)}\n\n{grid.markdown()}" for grid in comparison_grids(comparison, wide=True)]
    return "\n\n".join(parts) + "\n"


def comparison_csv(comparison: Comparison) -> str:
    """Every difference of every pair, one a row, unrounded; an empty cell is undefined."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, pairs in (
        ("baseline", comparison.against_baseline),
        ("translation effect", comparison.translation),
        ("ceiling", comparison.ceiling),
    ):
        for pair in pairs:
            for over, feature, metric, d in _all_differences(pair):
                low, high, drawn = (
                    (d.interval.low, d.interval.high, d.interval.resamples) if d.interval else (None, None, None)
                )
                writer.writerow(
                    (
                        *(name, pair.second.title, pair.first.title, over, feature, metric),
                        *(d.second, d.first, d.difference, low, high, drawn, d.p, d.p_holm),
                    )
                )
    return file.getvalue()


def _all_differences(pair: Pair) -> Iterator[tuple[str, str, str, Difference]]:
    for over, by_metric in (("mean", pair.result.mean), ("median", pair.result.median)):
        for metric in PAIRED:
            yield over, "", metric, by_metric[metric]
    for feature, by_metric in pair.result.features.items():
        for metric in PAIRED:
            yield "feature", feature, metric, by_metric[metric]


def _settings_grid(comparison: Comparison) -> Grid:
    return Grid(
        title="What the arms differ in",
        columns=("Setting", *(arm.letter for arm in comparison.arms)),
        rows=tuple((name, *values) for name, values in comparison.settings.items()),
        texts=1 + len(comparison.arms),
    )


def _overall_grid(comparison: Comparison) -> Grid:
    rows = [
        (
            pair.letters,
            _NAMES[metric],
            _difference(pair.result.median[metric]),
            *_difference_and_p(pair.result.mean[metric]),
        )
        for pair in comparison.against_baseline
        for metric in _OVERALL
    ]
    return Grid(
        title=f"Differences from {comparison.arms[0].letter}, over the features",
        columns=("Arms", "Metric", "Of medians [95 %]", "Of means [95 %]", "p"),
        rows=tuple(rows),
        notes=_OF_P,
        texts=2,
    )


def _feature_grid(comparison: Comparison, pair: Pair, wide: bool) -> Grid:
    rows = []
    for feature in comparison.selection.features:
        count = pair.first.scores.features[feature].count
        by = pair.result.features[feature]
        mcc, sensitivity, specificity = by["mcc"], by["sensitivity"], by["specificity"]
        rows.append(
            (
                comparison.selection.label(feature),
                count.of_n,
                figure(mcc.first),
                figure(mcc.second),
                *_difference_and_p(mcc, holm=True, decimals=2),
                *_difference_and_p(sensitivity, holm=True, decimals=2, interval=wide),
                *_difference_and_p(specificity, holm=True, decimals=2, interval=wide),
            )
        )
    first, second = pair.first.letter, pair.second.letter
    return Grid(
        title=f"By feature: {pair.letters}",
        columns=(
            *("Feature", "Pos./n", f"MCC\n{first}", f"MCC\n{second}", "Difference\nof MCC [95 %]", "p"),
            *("Diff.\nof sens.", "p", "Diff.\nof spec.", "p"),
        ),
        rows=tuple(rows),
        notes=("p corrected by Holm over the features.", *_reliability_notes(comparison)),
    )


def _translation_grid(pairs: Sequence[Pair]) -> Grid:
    return Grid(
        title="The translation effect: a model's own translations instead of the source text",
        columns=(
            *("Arms", "Metric", "Direct\nmean", "Transl.\nmean"),
            *("Diff. of means [95 %]", "p", "Diff. of medians [95 %]"),
        ),
        rows=_route_rows(pairs),
        notes=(*_OF_P, *_beside_notes(pairs)),
        texts=2,
    )


def _ceiling_grid(pairs: Sequence[Pair]) -> Grid:
    return Grid(
        title="The ceiling: the data's own English instead of the source text",
        columns=(
            *("Arms", "Metric", "Direct\nmean", "Given\nmean"),
            *("Diff. of means [95 %]", "p", "Diff. of medians [95 %]"),
        ),
        rows=_route_rows(pairs),
        notes=(
            "No model translated here: this is what a perfect translation could reach, not evidence about translating.",
            *_beside_notes(pairs),
        ),
        texts=2,
    )


def _route_rows(pairs: Sequence[Pair]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            pair.letters,
            _NAMES[metric],
            figure(pair.result.mean[metric].first, 3),
            figure(pair.result.mean[metric].second, 3),
            *_difference_and_p(pair.result.mean[metric]),
            _difference(pair.result.median[metric]),
        )
        for pair in pairs
        for metric in _OF_ROUTES
    )


def _disagreement_grid(comparison: Comparison, pair: Pair) -> Grid:
    first, second = pair.first.letter, pair.second.letter
    exact = any(item.p is not None for item in pair.result.disagreements.values())
    rows = []
    for feature, item in pair.result.disagreements.items():
        counted = (item.first_right, item.second_right, item.both_right, item.neither_right)
        p = (_p(item.p), _p(item.p_holm)) if exact else ()
        rows.append((comparison.selection.label(feature), *(str(count) for count in counted), *p))
    note = "McNemar's exact test on the transcripts on which one arm alone is right."
    return Grid(
        title=f"Where the arms disagree, and who is right: {second} and {first}",
        columns=(
            *("Feature", f"Only {first}\nright", f"Only {second}\nright", "Both\nright", "Neither\nright"),
            *(("McNemar\np", "p by\nHolm") if exact else ()),
        ),
        rows=tuple(rows),
        notes=(note if exact else "Groups repeat: McNemar's test does not hold here and is left out.",),
    )


def _cost_grid(arms: Sequence[ShownArm]) -> Grid:
    rows = []
    for arm in arms:
        cost = arm.run.get("cost") or {}
        tokens = cost.get("tokens") or {}
        seconds = (
            cost.get("seconds_per_transcript"),
            cost.get("engine_seconds_per_transcript"),
            cost.get("translation_seconds_per_transcript"),
            arm.seconds,
        )
        rows.append(
            (
                arm.title,
                *(figure(value, 2) for value in seconds),
                *(figure(tokens.get(kind), 1) for kind in ("prompt", "cached", "generated")),
            )
        )
    return Grid(
        title="Cost of a transcript",
        columns=(
            *("Arm", "Extraction\ns", "of it the\nengine's s", "Translation\ns", "In all\ns"),
            *("Prompt\ntokens", "of these\ncached", "Generated\ntokens"),
        ),
        rows=tuple(rows),
        notes=(
            "Means over all transcripts that each run answered, measured when it first answered them. "
            "Tokens are the extraction's; a translation's tokens are not in them.",
        ),
    )


def _beside_notes(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(
        f"{pair.letters}: the two arms also differ in {', '.join(pair.beside)}; the difference is not the text's alone."
        for pair in pairs
        if pair.beside
    )


def _reliability_notes(comparison: Comparison) -> tuple[str, ...]:
    """Which features have no difference, or one whose interval is not to be relied on."""
    scores, label = comparison.arms[0].scores, comparison.selection.label
    notes = []
    if scores.undefined:
        notes.append(
            f"Undefined, the gold labels being of one class: {', '.join(label(name) for name in scores.undefined)}."
        )
    if scores.scarce:
        notes.append(
            f"† Interval unreliable, under {SCARCE} gold labels of one class: {', '.join(label(n) for n in scores.scarce)}."
        )
    return tuple(notes)


def _difference_and_p(
    item: Difference, *, holm: bool = False, decimals: int = 3, interval: bool = True
) -> tuple[str, str]:
    """`+0.05 [-0.01, +0.11]` and its p-value."""
    return _difference(item, decimals=decimals, interval=interval), _p(item.p_holm if holm else item.p)


def _difference(item: Difference, *, decimals: int = 3, interval: bool = True) -> str:
    text = _signed(item.difference, decimals)
    if interval and item.interval is not None:
        text += f" [{_signed(item.interval.low, decimals)}, {_signed(item.interval.high, decimals)}]"
    return text


def _signed(value: float | None, decimals: int) -> str:
    """A number with its sign; 0.00 has none."""
    text = figure(value, decimals)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def _p(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return "<0.001" if value < 0.001 else figure(value, 3)
