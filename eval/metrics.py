"""Metrics of yes/no answers against gold labels: functions of arrays, for all features and many weightings at once.

Everything starts from confusion counts. They are sums of 0/1 indicators over transcripts, so a bootstrap resample is a
vector of weights and thousands of resamples are one matrix product (`tally`). The metrics are then functions of the
counts. The definitions are scikit-learn's and the tests hold them to it; scikit-learn itself scores one feature of one
resample a call, which is too slow for intervals.

Shapes, everywhere: n transcripts, k features, B weightings (resamples).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from ..errors import DataError, InputError
from ..signatures.answers import Answer, State

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]
Policy = Literal["false", "wrong"]

POLICIES: tuple[Policy, ...] = get_args(Policy)
UNLABELLED = -1
FALSE, TRUE, MISSING, ERROR = 0, 1, 2, 3
STATE_CODES: Mapping[State, int] = {State.FALSE: FALSE, State.TRUE: TRUE, State.MISSING: MISSING, State.ERROR: ERROR}

COUNT_METRICS = (
    "macro_f1",
    "mcc",
    "sensitivity",
    "specificity",
    "precision",
    "accuracy",
    "balanced_accuracy",
    "positive_f1",
    "prediction_ratio",
)
METRICS = (*COUNT_METRICS, "auc")


def limits(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have."""
    return {"mcc": (-1.0, 1.0), "prediction_ratio": (0.0, math.inf)}.get(metric, (0.0, 1.0))


class AnswerRow(NamedTuple):
    """One transcript to be scored.

    Attributes:
        id: The transcript's id.
        group: The patient or other unit that it shares with other transcripts, or None.
        gold: Feature id to label; a feature that is absent, None or NaN is unlabelled and not scored.
        answers: Feature id to answer, for every feature of the table.
    """

    id: str
    group: str | None
    gold: Mapping[str, bool | float | None]
    answers: Mapping[str, Answer]


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """Gold labels and answers side by side.

    Attributes:
        ids: The n transcripts' ids, each once.
        groups: Their groups; None where a transcript stands alone.
        features: The k features' ids, in order.
        gold: int8 [n, k]: 1 present, 0 not present, -1 unlabelled.
        state: int8 [n, k]: 1 true, 0 false, 2 missing, 3 error.
        p_true: float64 [n, k]: P(true) in [0, 1], NaN where there is none.
    """

    ids: tuple[str, ...]
    groups: tuple[str | None, ...]
    features: tuple[str, ...]
    gold: Codes
    state: Codes
    p_true: Floats

    def __post_init__(self) -> None:
        """Check shapes and codes.

        Raises:
            DataError: An array has another shape or holds another code, or an id or feature is there twice.
        """
        shape = (len(self.ids), len(self.features))
        for name in ("gold", "state", "p_true"):
            found = getattr(self, name).shape
            if found != shape:
                raise DataError(
                    f"answer table: {name} has shape {found}; {shape[0]} ids and {shape[1]} features need {shape}"
                )
        if len(self.groups) != shape[0]:
            raise DataError(f"answer table: {len(self.groups)} groups for {shape[0]} ids")
        for name, values in (("id", self.ids), ("feature", self.features)):
            if len(set(values)) != len(values):
                twice = next(v for v in values if values.count(v) > 1)
                raise DataError(f"answer table: {name} {twice!r} is there twice; each may be scored once")
        if not np.isin(self.gold, (UNLABELLED, 0, 1)).all():
            raise DataError("answer table: gold labels must be 1, 0 or -1 (unlabelled)")
        if not np.isin(self.state, tuple(STATE_CODES.values())).all():
            raise DataError("answer table: states must be 0 (false), 1 (true), 2 (missing) or 3 (error)")
        if not (np.isnan(self.p_true) | ((self.p_true >= 0) & (self.p_true <= 1))).all():
            raise DataError("answer table: P(true) must lie between 0 and 1, or be NaN")

    @classmethod
    def from_rows(cls, features: Iterable[str], rows: Iterable[AnswerRow]) -> AnswerTable:
        """The table of these transcripts, in their order.

        Raises:
            DataError: A row has no answer for a feature (one that was not had is `missing` or `error`), a label is neither
                true nor false, or an id is there twice.
        """
        names, listed = tuple(features), tuple(rows)
        shape = (len(listed), len(names))
        gold = np.full(shape, UNLABELLED, dtype=np.int8)
        state = np.empty(shape, dtype=np.int8)
        p_true = np.full(shape, np.nan)
        for i, row in enumerate(listed):
            for j, name in enumerate(names):
                answer = row.answers.get(name)
                if answer is None:
                    raise DataError(
                        f"transcript {row.id!r} has no answer for feature {name!r}; give `missing` or `error`"
                    )
                gold[i, j] = _label_code(row.gold.get(name), row.id, name)
                state[i, j] = STATE_CODES[answer.state]
                if answer.p_true is not None:
                    p_true[i, j] = answer.p_true
        return cls(tuple(r.id for r in listed), tuple(r.group for r in listed), names, gold, state, p_true)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Bool [n, k]: there is a gold label."""
        return np.not_equal(self.gold, UNLABELLED)

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Bool [n, k]: there is a gold label, and the call did not fail."""
        return self.labelled & np.not_equal(self.state, ERROR)


def _label_code(label: bool | float | None, row: str, feature: str) -> int:
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return UNLABELLED
    if label not in (0, 1):
        raise DataError(f"transcript {row!r}: the label of {feature!r} is neither true nor false")
    return int(label)


def tally(table: AnswerTable, weights: Floats | None = None) -> Floats:
    """Weighted sums of the scored cells by gold label and answer; both missing policies follow from them (`under`).

    Args:
        table: The answers.
        weights: [B, n], how often each transcript counts; None counts each once.

    Returns:
        [B, k, 6], or [k, 6] without weights: true positives, false positives, false negatives, true negatives, missing
        where the gold label is positive, missing where it is negative.
    """
    positive, negative = table.scored & (table.gold == 1), table.scored & (table.gold == 0)
    said, denied, missing = (table.state == code for code in (TRUE, FALSE, MISSING))
    cells = np.stack(
        (
            positive & said,
            negative & said,
            positive & denied,
            negative & denied,
            positive & missing,
            negative & missing,
        ),
        axis=-1,
    )
    if weights is None:
        return np.asarray(cells.sum(axis=0), dtype=np.float64)
    n, k, kinds = cells.shape
    return np.asarray(weights @ cells.reshape(n, k * kinds).astype(np.float64)).reshape(-1, k, kinds)


def under(policy: Policy, tallied: Floats) -> Floats:
    """Confusion counts [..., 4] (tp, fp, fn, tn) from tallies [..., 6].

    Args:
        policy: "false" reads a missing answer as False; "wrong" reads it as the class that the gold label is not.
        tallied: What `tally` returned.

    Raises:
        InputError: There is no such policy.
    """
    if policy not in POLICIES:
        raise InputError(f"no missing policy {policy!r}; there are: {', '.join(POLICIES)}")
    tp, fp, fn, tn, missing_positive, missing_negative = np.moveaxis(tallied, -1, 0)
    fn = fn + missing_positive
    if policy == "false":
        return np.stack((tp, fp, fn, tn + missing_negative), axis=-1)
    return np.stack((tp, fp + missing_negative, fn, tn), axis=-1)


def counts(table: AnswerTable, weights: Floats | None = None, policy: Policy = "false") -> Floats:
    """Confusion counts [B, k, 4] (tp, fp, fn, tn), or [k, 4] without weights. Errors and unlabelled cells are left out."""
    return under(policy, tally(table, weights))


def rates(confusion: Floats) -> dict[str, Floats]:
    """Every metric that confusion counts give.

    All are NaN where the counts hold one gold class only. Elsewhere all are defined: MCC is 0 where one class only is
    predicted, and precision is 0 where no positive is predicted (scikit-learn's `zero_division=0`). `macro_f1` is the mean
    of the F1 of the two classes, as in the study (`f1_score(average="macro")`); `prediction_ratio` is predicted positives
    over gold positives, from 0 up, 1 at best. The rest lie in [0, 1], MCC in [-1, 1].

    Args:
        confusion: [..., 4], tp, fp, fn, tn; weighted counts need not be whole.

    Returns:
        For each name of `COUNT_METRICS` an array [...].
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(confusion, dtype=np.float64), -1, 0)
    positives, negatives, predicted, rejected = tp + fn, tn + fp, tp + fp, tn + fn
    defined = (positives > 0) & (negatives > 0)

    def ratio(top: Floats, bottom: Floats) -> Floats:
        return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)

    sensitivity, specificity = ratio(tp, positives), ratio(tn, negatives)
    positive_f1, negative_f1 = ratio(2 * tp, predicted + positives), ratio(2 * tn, rejected + negatives)
    found = {
        "macro_f1": (positive_f1 + negative_f1) / 2,
        "mcc": ratio(tp * tn - fp * fn, np.sqrt(predicted * positives * negatives * rejected)),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "precision": ratio(tp, predicted),
        "accuracy": ratio(tp + tn, positives + negatives),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "positive_f1": positive_f1,
        "prediction_ratio": ratio(predicted, positives),
    }
    return {name: np.where(defined, values, np.nan) for name, values in found.items()}


def ranked(table: AnswerTable) -> npt.NDArray[np.bool_]:
    """Bool [n, k]: the scored cells with a P(true), which is what the AUC is made of."""
    return table.scored & ~np.isnan(table.p_true)


def auc(table: AnswerTable, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve of P(true): the weighted Mann-Whitney statistic, ties counting half.

    Only scored cells with a P(true) take part, whatever the missing policy; NaN where these have one gold class only.

    Args:
        table: The answers.
        weights: [B, n], or None for one of each.

    Returns:
        [B, k], or [k] without weights; in [0, 1], 0.5 being chance.
    """
    by_row = np.ones((len(table.ids), 1)) if weights is None else np.ascontiguousarray(weights.T)
    usable = ranked(table)
    areas = np.full((by_row.shape[1], len(table.features)), np.nan)
    for j in range(len(table.features)):
        positive = np.flatnonzero(usable[:, j] & (table.gold[:, j] == 1))
        negative = np.flatnonzero(usable[:, j] & (table.gold[:, j] == 0))
        negative = negative[np.argsort(table.p_true[negative, j], kind="stable")]
        weight_below = np.zeros((len(negative) + 1, by_row.shape[1]))
        np.cumsum(by_row[negative], axis=0, out=weight_below[1:])
        ordered, wanted = table.p_true[negative, j], table.p_true[positive, j]
        less = weight_below[np.searchsorted(ordered, wanted, side="left")]
        less_or_equal = weight_below[np.searchsorted(ordered, wanted, side="right")]
        wins = (by_row[positive] * (less + less_or_equal)).sum(axis=0) / 2
        pairs = by_row[positive].sum(axis=0) * weight_below[-1]
        np.divide(wins, pairs, out=areas[:, j], where=pairs > 0)
    return areas[0] if weights is None else areas


def feature_metrics(table: AnswerTable, policy: Policy = "false") -> dict[str, Floats]:
    """Every metric of `METRICS` for every feature, [k] each; NaN where undefined."""
    return {**rates(counts(table, policy=policy)), "auc": auc(table)}


def over_features(values: Floats) -> tuple[Floats, Floats]:
    """Mean and median over the last axis, leaving undefined (NaN) features out; NaN where none is defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "mean of empty slice": that NaN is the answer wanted here
        return np.asarray(np.nanmean(values, axis=-1)), np.asarray(np.nanmedian(values, axis=-1))
