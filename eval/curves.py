"""What P(true) is worth: how well it is calibrated, and what another threshold than 0.5 would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .metrics import AnswerTable, Floats, over_features, ranked, rates

BINS = 10
STEPS = 101


class Bin(NamedTuple):
    """The answers whose P(true) lies in [low, high), in the last bin [low, high].

    Attributes:
        low: Lower end, 0 to 1.
        high: Upper end, 0 to 1.
        n: Answers.
        said: Their mean P(true).
        true: The share of them whose gold label is positive.
    """

    low: float
    high: float
    n: int
    said: float
    true: float


@dataclass(frozen=True)
class Reliability:
    """Calibration of all features' answers thrown together.

    Attributes:
        bins: The bins that hold an answer.
        brier: Mean squared distance of P(true) and label, 0 (best) to 1. Brier, Monthly Weather Review 78 (1950).
        error: Expected calibration error, 0 to 1: the bins' |said - true|, weighted by their answers. Naeini, Cooper and
            Hauskrecht, AAAI (2015).
    """

    bins: tuple[Bin, ...]
    brier: float
    error: float


def reliability(table: AnswerTable) -> Reliability | None:
    """Calibration over the scored answers with a P(true), in ten bins of equal width; None where there are none."""
    usable = ranked(table)
    p, gold = table.p_true[usable], table.gold[usable].astype(np.float64)
    if not len(p):
        return None
    number = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(number, minlength=BINS)
    said, true = (np.bincount(number, values, minlength=BINS) for values in (p, gold))
    bins = tuple(Bin(i / BINS, (i + 1) / BINS, int(n[i]), said[i] / n[i], true[i] / n[i]) for i in np.flatnonzero(n))
    return Reliability(
        bins=bins,
        brier=float(np.mean((p - gold) ** 2)),
        error=sum(b.n * abs(b.said - b.true) for b in bins) / len(p),
    )


class ThresholdCurve(NamedTuple):
    """Means over the features for each threshold: the answer is True where P(true) is at least the threshold.

    Attributes:
        threshold: [T], 0 to 1.
        mcc: [T].
        sensitivity: [T].
        specificity: [T].
    """

    threshold: Floats
    mcc: Floats
    sensitivity: Floats
    specificity: Floats


def threshold_curve(table: AnswerTable) -> ThresholdCurve | None:
    """The curve over the scored answers with a P(true); None where no feature has both classes among them."""
    usable, steps = ranked(table), np.linspace(0, 1, STEPS)
    confusion = np.zeros((STEPS, len(table.features), 4))
    for j in range(len(table.features)):
        positive, negative = (np.sort(table.p_true[usable[:, j] & (table.gold[:, j] == label), j]) for label in (1, 0))
        missed, spared = np.searchsorted(positive, steps), np.searchsorted(negative, steps)
        confusion[:, j] = np.stack((len(positive) - missed, len(negative) - spared, missed, spared), axis=-1)
    found = rates(confusion)
    if np.isnan(found["mcc"]).all():
        return None
    mcc, sensitivity, specificity = (over_features(found[m])[0] for m in ("mcc", "sensitivity", "specificity"))
    return ThresholdCurve(steps, mcc, sensitivity, specificity)
