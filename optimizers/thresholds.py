"""Thresholds per feature on P(true), fitted from gold labels.

A model ranks transcripts better than it decides: its 0.5 is too high for one feature and too low for another. With ten
positives the best threshold of each feature by itself fits the noise, so here the features share what can be shared. One
logistic regression of the label on logit(p) for all features together has a common slope and an offset for each feature, drawn
towards the common one by a ridge penalty (Platt's scaling, Platt 1999, with partial pooling). One cut on the calibrated probability,
the same for all features, is chosen to maximise the objective, and put back on each feature's own scale.

A sensitivity floor lowers a feature's threshold to the largest that reaches the floor in the fitted data, where the shared cut
does not reach it. It only just does here, so on other data it may be missed: ask for more than you need.

Selection must not see decisions on the data that made the thresholds. `fit_thresholds` therefore also gives the decisions out
of fold: each group of transcripts decided by thresholds that were fitted on the others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from ..eval.grids import figure
from ..eval.intervals import group_numbers
from ..eval.metrics import FALSE, TRUE, AnswerTable, Floats
from .metric import Objective

FOLDS = 5
LEAST = 5  # positives, and negatives, of a feature; with fewer nothing can be fitted

# Beyond these a P(true) is a rounding of 0 or 1, and its logit would outweigh all others.
_EXTREME = 1e-6
# Thresholds lie inside (0, 1).
_LOWEST, _HIGHEST = 1e-12, 1 - 1e-12
_CUTS = np.linspace(0.01, 0.99, 99)
# That of a normal prior with a standard deviation of 1.4 logits. Between 0.3 and 3 it hardly matters: the mean MCC of the
# thresholds on new data, simulated with ten positives a feature, stays within 0.01.
_OFFSET_PENALTY = 0.5
# The slope is not to be shrunk: in a column that is ten times larger the penalty on it is a hundred times smaller.
_SLOPE_SCALE = 10.0

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ThresholdFit:
    """What was fitted.

    Attributes:
        thresholds: Feature id to threshold, fitted on all of the data; for `Extractor.thresholds`.
        refused: Feature id to the reason why it has none and keeps the format's own decision (0.5).
        out_of_fold: The same table, each transcript decided by thresholds fitted without its group. For selection.
    """

    thresholds: dict[str, float]
    refused: dict[str, str]
    out_of_fold: AnswerTable


def fit_thresholds(table: AnswerTable, objective: Objective | None = None, *, seed: int = 0) -> ThresholdFit:
    """Fit thresholds to a table's labels and P(true); errors and unlabelled cells take no part.

    Args:
        table: Answers of a program without thresholds.
        objective: What the shared cut maximises, and the sensitivity floors; mean MCC by default.
        seed: Of the folds, which depend on it and on the transcripts' ids, groups and labels alone.

    Raises:
        InputError: A floor is set for a feature that the table does not have.
    """
    objective = objective or Objective()
    objective.check_features(table)
    refused = _refusals(table, objective)
    fitted = tuple(f for f in table.features if f not in refused)
    if fitted and len(set(group_numbers(table.ids, table.groups))) < FOLDS:
        reason = f"the data have fewer than {FOLDS} groups, so nothing can be tried on groups that were left out"
        return ThresholdFit({}, refused | dict.fromkeys(fitted, reason), table)
    thresholds = _fit(table, fitted, objective)
    if not thresholds:
        reason = "a higher P(true) does not go with more positives in these data"
        return ThresholdFit({}, refused | dict.fromkeys(fitted, reason), table)
    state = table.state.copy()
    for held in _folds(table, seed):
        others = _fit(_rows(table, ~held), fitted, objective)
        state[held] = apply_thresholds(_rows(table, held), others).state
    return ThresholdFit(thresholds, refused, replace(table, state=state))


def apply_thresholds(table: AnswerTable, thresholds: Mapping[str, float]) -> AnswerTable:
    """The table as a program with these thresholds would have answered (`programs.decisions`, for arrays)."""
    limits = np.array([thresholds.get(f, np.nan) for f in table.features])
    decided = _has_p(table) & ~np.isnan(limits)
    return replace(table, state=np.where(decided, table.p_true >= limits, table.state).astype(np.int8))


def fitted_here(out_of_fold: float | None) -> str:
    """What a reader of scores on the transcripts that thresholds were fitted on must know."""
    return (
        "The program's thresholds were fitted on these transcripts, so these scores flatter it: out of fold the mean is "
        f"{figure(out_of_fold)}."
    )


def _has_p(table: AnswerTable) -> Mask:
    """Cells that a threshold decides: true or false, with a P(true)."""
    return np.isin(table.state, (FALSE, TRUE)) & ~np.isnan(table.p_true)


def _refusals(table: AnswerTable, objective: Objective) -> dict[str, str]:
    """The features that get no threshold, and why."""
    usable = table.labelled & _has_p(table)
    refused: dict[str, str] = {}
    for j, feature in enumerate(table.features):
        positives, negatives = (int((usable[:, j] & (table.gold[:, j] == g)).sum()) for g in (1, 0))
        if min(positives, negatives) < LEAST:
            refused[feature] = (
                f"{positives} positives and {negatives} negatives have a P(true); at least {LEAST} of each are needed"
            )
        elif feature in objective.floors:
            reachable = _floor_threshold(table, j, objective.floors[feature])
            if reachable is None:
                refused[feature] = (
                    f"no threshold reaches a sensitivity of {objective.floors[feature]:g}: too many of its positives "
                    "have no P(true), or one of 0"
                )
    return refused


def _fit(table: AnswerTable, features: tuple[str, ...], objective: Objective) -> dict[str, float]:
    """Thresholds for these features; none where the data have one class, or P(true) does not rise with the label."""
    columns = [table.features.index(f) for f in features]
    part = replace(
        table,
        features=features,
        gold=table.gold[:, columns],
        state=table.state[:, columns],
        p_true=table.p_true[:, columns],
    )
    calibration = _calibrate(part)
    if calibration is None:
        return {}
    slope, offsets = calibration
    cut = _shared_cut(part, expit(slope * _logits(part.p_true) + offsets), objective)
    if cut is None:
        return {}
    shared = np.clip(expit((logit(cut) - offsets) / slope), _LOWEST, _HIGHEST)
    thresholds = dict(zip(features, shared.tolist(), strict=True))
    for j, feature in enumerate(features):
        floor = _floor_threshold(part, j, objective.floors[feature]) if feature in objective.floors else None
        if floor is not None:
            thresholds[feature] = min(thresholds[feature], floor)
    return thresholds


def _logits(p_true: Floats) -> Floats:
    return np.asarray(logit(np.clip(p_true, _EXTREME, 1 - _EXTREME)))


def _calibrate(table: AnswerTable) -> tuple[float, Floats] | None:
    """Slope and offsets [k] of logit P(gold = 1) = slope·logit(p) + offset; None where no rising slope can be fitted."""
    usable = table.labelled & _has_p(table)
    rows, columns = np.nonzero(usable)
    gold = table.gold[rows, columns]
    if len(set(gold.tolist())) < 2:
        return None
    k = len(table.features)
    inputs = np.zeros((len(rows), k + 1))
    inputs[:, 0] = _SLOPE_SCALE * _logits(table.p_true[rows, columns])
    inputs[np.arange(len(rows)), columns + 1] = 1
    # Few columns and many rows in very different units: Newton's method does not mind.
    model = LogisticRegression(C=1 / _OFFSET_PENALTY, solver="newton-cholesky", max_iter=200).fit(inputs, gold)
    slope = float(model.coef_[0, 0]) * _SLOPE_SCALE
    if slope <= 0:
        return None
    return slope, np.asarray(model.intercept_[0] + model.coef_[0, 1:])


def _shared_cut(table: AnswerTable, calibrated: Floats, objective: Objective) -> float | None:
    """The cut that maximises the objective's mean; of equally good ones the middle. None where no feature is defined."""
    decided = _has_p(table)
    values = np.array(
        [
            objective.mean(replace(table, state=np.where(decided, calibrated >= cut, table.state).astype(np.int8)))
            for cut in _CUTS
        ]
    )
    if np.isnan(values).all():
        return None
    best = np.flatnonzero(np.isclose(values, np.nanmax(values), rtol=0, atol=1e-12))
    return float(_CUTS[best[len(best) // 2]])


def _floor_threshold(table: AnswerTable, j: int, floor: float) -> float | None:
    """The largest threshold with which feature j's sensitivity reaches the floor in this table, or None.

    A positive without an answer counts among the positives, as it does in the sensitivity.
    """
    positive = table.scored[:, j] & (table.gold[:, j] == 1)
    p_true = np.sort(table.p_true[positive & _has_p(table)[:, j], j])[::-1]
    # 0.7 of 10 is 7, whatever binary fractions make of it.
    needed = math.ceil(floor * int(positive.sum()) - 1e-9)
    if not 1 <= needed <= len(p_true) or p_true[needed - 1] < _LOWEST:
        return None
    return min(float(p_true[needed - 1]), _HIGHEST)


def _rows(table: AnswerTable, kept: Mask) -> AnswerTable:
    numbers = np.flatnonzero(kept)
    return AnswerTable(
        tuple(table.ids[i] for i in numbers),
        tuple(table.groups[i] for i in numbers),
        table.features,
        table.gold[numbers],
        table.state[numbers],
        table.p_true[numbers],
    )


def _folds(table: AnswerTable, seed: int) -> list[Mask]:
    """For each fold the rows it holds out; groups stay whole, and each transcript's rarest feature is spread evenly."""
    order = np.array(sorted(range(len(table.ids)), key=table.ids.__getitem__))
    positive = table.gold == 1
    k = len(table.features)
    rarest = np.argsort(positive.sum(axis=0), kind="stable")
    first = positive[:, rarest].argmax(axis=1)
    kind = np.where(positive.any(axis=1), first, k)
    # A kind that is rarer than the folds cannot be spread; together they can.
    sizes = np.bincount(kind, minlength=k + 1)
    kind = np.where(sizes[kind] < FOLDS, k + 1, kind)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "the least populated class": there may still be a few of those
        found = list(splitter.split(order, kind[order], group_numbers(table.ids, table.groups)[order]))
    held = np.zeros((FOLDS, len(order)), dtype=np.bool_)
    for fold, (_, test) in enumerate(found):
        held[fold, order[test]] = True
    return list(held)
