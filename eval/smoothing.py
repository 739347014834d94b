"""Pseudo-counts for the bootstrap: half an answer in each cell of every resample's confusion counts, on average.

Of fifteen positives, a good model may find all. Then each resample finds all too, and the bootstrap says that its sensitivity is
1 without doubt, although it is not. So each resample's counts of a feature get a little more: for each gold class a weight from
the gamma distribution of mean 1, parted into right and wrong by a draw from the beta distribution (1/2, 1/2). Each cell then
gets a gamma variable of mean 1/2, which is Jeffreys' prior for a proportion: Brown, Cai and DasGupta, "Interval estimation for a
binomial proportion", Statistical Science 16 (2001); for confusion counts Caelen, "A Bayesian interpretation of the confusion
matrix", Annals of Mathematics and Artificial Intelligence 81 (2017). With many answers it changes nothing.

The draws depend on the seed, the features and the arm's answers: the same arm has the same ones wherever it is shown, and an
arm does not differ from its copy. `benchmarks/coverage.py` measures what this gains.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from .metrics import AnswerTable, Floats

_SHARE = 0.5  # of each of the two cells of a gold class; their sum is the class's mean weight


@dataclass(frozen=True)
class PseudoCounts:
    """What is added to the resamples.

    Attributes:
        confusion: [B, k, 4], to tp, fp, fn and tn.
        missing: [B, k, 2], to the missing answers and to all answers.
    """

    confusion: Floats
    missing: Floats


def pseudo_counts(table: AnswerTable, resamples: int, seed: int) -> PseudoCounts:
    """The pseudo-counts of an arm; fewer resamples have the first of more."""
    shape = (resamples, len(table.features), 3)  # positives, negatives, and all for the missing answers
    weight = np.random.default_rng([seed, 2]).gamma(2 * _SHARE, size=shape)
    ordered = table.state[np.argsort(np.array(table.ids, dtype=object), kind="stable")]
    share = np.random.default_rng([seed, 3, zlib.crc32(ordered.tobytes())]).beta(_SHARE, _SHARE, size=shape)
    right, wrong = weight * share, weight * (1 - share)
    return PseudoCounts(
        confusion=np.stack((right[..., 0], wrong[..., 1], wrong[..., 0], right[..., 1]), axis=-1),
        missing=np.stack((wrong[..., 2], weight[..., 2]), axis=-1),
    )


def smoothed(confusion: Floats, pseudo: Floats) -> Floats:
    """Confusion counts [B, k, 4] with the pseudo-counts, but where they hold one gold class only: that stays undefined."""
    tp, fp, fn, tn = np.moveaxis(confusion, -1, 0)
    both = (tp + fn > 0) & (tn + fp > 0)
    return np.asarray(confusion + pseudo * both[..., None])
