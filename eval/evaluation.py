"""Scoring: a table of answers in, `Scores` out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..signatures.answers import State
from .intervals import RESAMPLES, bootstrap_bounds, group_numbers, groups_repeat, replicate, wilson_bounds
from .metrics import (
    ERROR,
    METRICS,
    MISSING,
    POLICIES,
    STATE_CODES,
    AnswerTable,
    Floats,
    Policy,
    auc,
    limits,
    over_features,
    ranked,
    rates,
    tally,
    under,
)
from .scores import Count, Interval, Measured, Scores, Summary
from .smoothing import pseudo_counts, smoothed

__all__ = ["Scores", "evaluate_answers"]

Figures = Mapping[str, Floats]


def evaluate_answers(
    table: AnswerTable, *, policy: Policy = "false", resamples: int = RESAMPLES, seed: int = 0
) -> Scores:
    """Score one arm.

    Args:
        table: Gold labels and answers.
        policy: How the figures by feature read a missing answer; the summaries are given under both policies.
        resamples: Bootstrap resamples; 0 leaves all bootstrap intervals out.
        seed: The bootstrap's seed. Arms that are compared must share it.

    Raises:
        InputError: There is no such policy, or `resamples` or `seed` is negative.
    """
    counted = _counts(table, policy)
    tallied, areas, drawn = tally(table), auc(table), replicate(table, resamples, seed)
    point = {p: _figures(under(p, tallied), areas) for p in POLICIES}
    pseudo, groups = pseudo_counts(table, len(drawn.auc), seed).confusion, _groups(table)
    resampled = {p: _figures(smoothed(under(p, drawn.tallies), pseudo), drawn.auc) for p in POLICIES}
    summaries = {p: _summaries(point[p], resampled[p], groups) for p in POLICIES}
    features = [
        _measured(
            count,
            {m: v[j] for m, v in point[policy].items()},
            {m: v[:, j] for m, v in resampled[policy].items()},
            groups,
        )
        for j, count in enumerate(counted)
    ]
    repeat = groups_repeat(table)
    return Scores(
        policy=policy,
        n=len(table.ids),
        groups_repeat=repeat,
        resamples=resamples,
        seed=seed,
        features=dict(zip(table.features, features if repeat else [_with_wilson(f) for f in features], strict=True)),
        pooled=_pooled(counted, under(policy, drawn.tallies).sum(axis=1), groups),
        missing_as_false=summaries["false"],
        missing_as_wrong=summaries["wrong"],
        answers={state.value: int((table.state == STATE_CODES[state]).sum()) for state in State},
        undefined=tuple(name for name, count in zip(table.features, counted, strict=True) if count.scarcer_class == 0),
        transcripts_with_error=int((table.state == ERROR).any(axis=1).sum()),
    )


def _figures(confusion: Floats, areas: Floats) -> Figures:
    """All metrics, in the order of `METRICS`."""
    return {**rates(confusion), "auc": areas}


def _counts(table: AnswerTable, policy: Policy) -> list[Count]:
    confusion = under(policy, tally(table))
    missing = (table.scored & (table.state == MISSING)).sum(axis=0)
    errors = (table.labelled & (table.state == ERROR)).sum(axis=0)
    with_p = ranked(table).sum(axis=0)
    found = []
    for j in range(len(table.features)):
        tp, fp, fn, tn = (int(value) for value in confusion[j])
        found.append(
            Count(
                n=tp + fp + fn + tn,
                tp=tp,
                fp=fp,
                fn=fn,
                tn=tn,
                positives=tp + fn,
                missing=int(missing[j]),
                errors=int(errors[j]),
                auc_n=int(with_p[j]),
            )
        )
    return found


def _groups(table: AnswerTable) -> int:
    return len(set(group_numbers(table.ids, table.groups)))


def _summaries(point: Figures, resampled: Figures, groups: int) -> dict[str, Summary]:
    """The summary of each metric, from its values [k] and its values in each resample [B, k]."""
    found = {}
    for name in METRICS:
        mean, median = over_features(point[name])
        means, medians = over_features(resampled[name])
        found[name] = Summary(
            _number(mean),
            _number(median),
            _bootstrap(name, means, mean, groups),
            _bootstrap(name, medians, median, groups),
        )
    return found


def _measured(count: Count, point: Figures, resampled: Figures, groups: int) -> Measured:
    """One feature's figures, from its values [] and its values in each resample [B]."""
    return Measured(
        count=count,
        values={name: _number(point[name]) for name in METRICS},
        intervals={name: _bootstrap(name, resampled[name], point[name], groups) for name in METRICS},
    )


def _with_wilson(measured: Measured) -> Measured:
    """The same, with Wilson's intervals for the two proportions whose trials are independent when no group repeats."""
    count, intervals = measured.count, dict(measured.intervals)
    for name, hits, trials in (
        ("sensitivity", count.tp, count.positives),
        ("specificity", count.tn, count.n - count.positives),
    ):
        if measured.values[name] is not None:
            intervals[name] = Interval(*wilson_bounds(hits, trials), method="wilson")
    return Measured(count, measured.values, intervals)


def _pooled(counted: Sequence[Count], confusion: Floats, groups: int) -> Measured:
    """All features' answers as those of one, from their counts and their summed counts in each resample [B, 4].

    These are many, so nothing is smoothed. P(true) need not be on one scale for all features, so there is no pooled AUC.
    """
    total = Count(**{name: sum(getattr(count, name) for count in counted) for name in Count.__slots__})
    point = np.array((total.tp, total.fp, total.fn, total.tn), dtype=np.float64)
    unknown = np.full(len(confusion), math.nan)
    return _measured(total, _figures(point, np.array(math.nan)), _figures(confusion, unknown), groups)


def _number(value: Floats) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _bootstrap(metric: str, replicates: Floats, point: Floats, groups: int) -> Interval | None:
    low, high, defined = bootstrap_bounds(replicates, point, groups, limits=limits(metric))
    return None if np.isnan(low) else Interval(float(low), float(high), "bootstrap", int(defined))
