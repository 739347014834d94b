"""Pruning at a few looks: a trial ends early where it is worse than the best beyond chance.

Each look is at the first so many transcripts of one order, drawn so that each look's labels are spread as in all of them. The test
is a paired one on the surrogate (the mean over groups of transcripts changes sign at random where nothing differs; exact or
9,999 permutations), one-sided, with p below 5 % divided by the number of looks: with Bonferroni the chance that a trial
is pruned at any look although it is as good as one that was named beforehand stays below 5 %. The best of many trials is
not named beforehand: it was lucky on these very transcripts, so of its equals more than that are pruned. That loses nothing but
equals of the best. The surrogate is not the objective: a trial whose objective is ahead on the same transcripts is never pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..data.split import make_split
from ..data.transcripts import Dataset, Transcript
from ..errors import DataError
from ..eval.intervals import group_numbers
from ..eval.metrics import AnswerTable, Floats
from ..signatures.features import FeatureSet
from .metric import MetricName, Surrogate
from .trial import objective_of, without_errors

LOOKS = (24, 40, 60)
LEVEL = 0.05
_RESAMPLES = 9999


def ordered(
    dataset: Dataset, feature_set: FeatureSet, limit: int | None, looks: Sequence[int], seed: int
) -> tuple[list[Transcript], tuple[int, ...]]:
    """The transcripts that trials are scored on, each look's first.

    Args:
        dataset: With a part dev.
        feature_set: Whose labels are spread.
        limit: About so many transcripts; None takes all of dev.
        looks: Sizes, ascending; those that are not below the whole are left out.
        seed: Of the draws.

    Returns:
        The transcripts, and how many there are at each look, the last being all. Groups stay together, so sizes may differ a little.
    """
    kept = list(dataset.part("dev"))
    sizes = [n for n in (*looks, limit) if n is not None and n < len(kept) and (limit is None or n <= limit)]
    rings: list[list[Transcript]] = []
    for size in sorted(set(sizes), reverse=True):
        data = replace(dataset, transcripts=tuple(kept))
        try:
            split = make_split(data, feature_set, seed=seed, sizes={"dev": size, "pool": len(kept) - size})
        except DataError:
            break
        inner = set(split.parts["dev"])
        if not rings and size == limit:
            kept = [t for t in kept if t.id in inner]
            continue
        if 0 < len(inner) < len(kept):
            rings.insert(0, [t for t in kept if t.id not in inner])
            kept = [t for t in kept if t.id in inner]
    order = [*kept, *(t for ring in rings for t in ring)]
    ends = np.cumsum([len(kept), *(len(ring) for ring in rings)])
    return order, tuple(int(n) for n in ends)


def first_rows(table: AnswerTable, n: int) -> AnswerTable:
    """The first n transcripts of a table."""
    return AnswerTable(
        table.ids[:n], table.groups[:n], table.features, table.gold[:n], table.state[:n], table.p_true[:n]
    )


def hopeless(own: AnswerTable, best: AnswerTable, objective: MetricName, looks: int, seed: int = 0) -> bool:
    """Whether a trial should be pruned.

    Args:
        own: Its answers for some transcripts.
        best: The answers of the best finished trial for the same transcripts.
        objective: What is maximised.
        looks: How many looks a trial may meet.
        seed: Of the permutations.
    """
    if own.ids != best.ids:
        raise ValueError("a paired test needs the same transcripts in the same order")
    own, best = without_errors(own, best)
    mine, theirs = (objective_of(table, objective) for table in (own, best))
    if mine is None or theirs is None or mine >= theirs:
        return False
    surrogate = Surrogate.of(own.features, own.gold)
    differences = surrogate.scores(own.gold, own.state) - surrogate.scores(best.gold, best.state)
    return worse(_by_group(own, differences), seed) < LEVEL / looks


def worse(differences: Floats, seed: int = 0) -> float:
    """The one-sided p-value of the paired permutation test that the mean difference is below zero; 1 without a difference."""
    from scipy.stats import permutation_test

    differences = differences[differences != 0]
    if len(differences) == 0:
        return 1.0
    if len(differences) == 1:
        return 0.5 if differences[0] < 0 else 1.0
    found = permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b, axis: (a - b).sum(axis=axis),
        permutation_type="samples",
        alternative="less",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _by_group(table: AnswerTable, values: Floats) -> Floats:
    """Sums over groups: transcripts of one patient are no independent evidence."""
    numbers = group_numbers(table.ids, table.groups)
    return np.bincount(numbers, weights=values).astype(np.float64)
