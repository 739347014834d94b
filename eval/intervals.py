"""Intervals: the seeded bootstrap by group, and Wilson's interval for a proportion.

Transcripts of one patient are alike, so a resample draws whole groups with replacement; a transcript without a group is a
group of its own. Resamples are weights [B, n]: how often each transcript was drawn. They depend on the seed and on the
transcripts' ids and groups alone, not on answers or on the order of rows, so the arms of a comparison share them.

A resample can lose all positives of a rare feature. The feature is undefined there and left out of that resample's mean
and median; its own interval is made of the other resamples, and is refused where fewer than half are left. With one group
there is nothing to resample and every interval is refused.

The plain percentile bootstrap is too narrow for a few dozen transcripts, so the interval of a number is the percentiles of
smoothed resamples (`smoothing`), moved so that their median is the number itself, and taken a little further out where groups are
few (`bootstrap_bounds`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .metrics import AnswerTable, Floats, auc, tally

CONFIDENCE = 0.95
RESAMPLES = 2000
_BLOCK_CELLS = 1_000_000  # weights held at once: 8 MB, and some ten times that in a block's intermediate arrays


@dataclass(frozen=True)
class Replicates:
    """What a bootstrap needs of each resample.

    Attributes:
        tallies: [B, k, 6], as `metrics.tally` gives them.
        auc: [B, k], NaN where undefined.
    """

    tallies: Floats
    auc: Floats


class Bounds(NamedTuple):
    """Percentile intervals of many quantities.

    Attributes:
        low: Lower ends; NaN where refused.
        high: Upper ends; NaN where refused.
        defined: Resamples in which the quantity was defined.
    """

    low: Floats
    high: Floats
    defined: npt.NDArray[np.int64]


def group_numbers(ids: Sequence[str], groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """The group of each transcript as a number from 0, [n]; numbered in sorted order, whatever the order of rows."""
    keys = [("transcript", i) if group is None else ("group", group) for i, group in zip(ids, groups, strict=True)]
    number = {key: index for index, key in enumerate(sorted(set(keys)))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def groups_repeat(table: AnswerTable) -> bool:
    """Whether any group has more than one transcript."""
    named = [group for group in table.groups if group is not None]
    return len(set(named)) < len(named)


def weight_blocks(
    ids: Sequence[str],
    groups: Sequence[str | None],
    resamples: int = RESAMPLES,
    seed: int = 0,
    *,
    block: int | None = None,
) -> Iterator[Floats]:
    """The bootstrap's weights, a few resamples at a time, so that memory stays bounded.

    Args:
        ids: The transcripts' ids.
        groups: Their groups, None where a transcript stands alone.
        resamples: B, at least 0. Fewer are the first of more.
        seed: 0 or more.
        block: Resamples at a time; has no effect on the weights.

    Yields:
        [b, n], whole numbers; each row sums to about n (exactly, where no group repeats).

    Raises:
        InputError: `resamples` or `seed` is negative.
    """
    if resamples < 0 or seed < 0:
        raise InputError(f"resamples and seed must be 0 or more, got {resamples} and {seed}")
    member = group_numbers(ids, groups)
    if not len(member):
        return
    size = int(member.max()) + 1
    step = block or max(1, _BLOCK_CELLS // len(member))
    draw = np.random.default_rng(seed)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draw.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        yield times[:, member].astype(np.float64)


def resample_weights(
    ids: Sequence[str], groups: Sequence[str | None], resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """All of `weight_blocks` in one array [B, n]: 8·B·n bytes."""
    blocks = list(weight_blocks(ids, groups, resamples, seed))
    return np.concatenate(blocks) if blocks else np.empty((0, len(ids)))


def replicate(table: AnswerTable, resamples: int = RESAMPLES, seed: int = 0) -> Replicates:
    """Tallies and AUC of every resample; both missing policies and all summaries follow from them."""
    k = len(table.features)
    tallies, areas = [np.empty((0, k, 6))], [np.empty((0, k))]
    if len(set(group_numbers(table.ids, table.groups))) > 1:
        for weights in weight_blocks(table.ids, table.groups, resamples, seed):
            tallies.append(tally(table, weights))
            areas.append(auc(table, weights))
    return Replicates(np.concatenate(tallies), np.concatenate(areas))


def percentile_bounds(replicates: Floats, confidence: float = CONFIDENCE) -> Bounds:
    """Percentile bootstrap intervals along the first axis.

    Args:
        replicates: [B, ...], NaN where the quantity is undefined in a resample.
        confidence: Between 0 and 1.

    Returns:
        Arrays [...]; low and high are NaN where fewer than half of the resamples are defined, or B is 0.
    """
    defined = np.asarray((~np.isnan(replicates)).sum(axis=0), dtype=np.int64)
    if not len(replicates):
        refused = np.full(replicates.shape[1:], np.nan)
        return Bounds(refused, refused.copy(), defined)
    tail = (1 - confidence) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "all-NaN slice": refused below
        quantile = np.quantile if (defined == len(replicates)).all() else np.nanquantile  # which is far slower
        low, high = quantile(replicates, (tail, 1 - tail), axis=0)
    enough = 2 * defined >= len(replicates)
    return Bounds(np.where(enough, low, np.nan), np.where(enough, high, np.nan), defined)


def bootstrap_bounds(
    replicates: Floats,
    point: Floats | float,
    groups: int,
    *,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Bounds:
    """95 % intervals around known values: percentiles of the replicates, recentred and corrected for few groups.

    Resamples of a metric that is no mean lie off the value itself, most of all those of a mean or median over features, whose
    small biases add up; the interval is moved by the distance of their median to it. The percentiles are those that make the
    interval of a mean Student's: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69
    (2015), section 5.

    Args:
        replicates: [B, ...], NaN where the quantity is undefined in a resample.
        point: [...], the quantity itself.
        groups: The groups that were resampled.
        limits: Least and greatest possible value; no end lies beyond.

    Returns:
        As `percentile_bounds`; also NaN where the quantity itself is undefined. Each interval holds its value.
    """
    low, high, defined = percentile_bounds(replicates, 1 - 2 * _tail(groups))
    if not len(replicates):
        return Bounds(low, high, defined)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "all-NaN slice": refused above
        median = np.median if (defined == len(replicates)).all() else np.nanmedian
        moved = np.asarray(point - median(replicates, axis=0))
    least, most = limits
    return Bounds(np.clip(low + moved, least, most), np.clip(high + moved, least, most), defined)


def _tail(groups: int) -> float:
    """The share left out at each end, so that 95 % are held although groups are few; 0.025 with many."""
    if groups < 2:
        return (1 - CONFIDENCE) / 2
    # Loaded when used: SciPy takes longer to import than the tables to print.
    from scipy.special import ndtr, stdtrit

    student = float(stdtrit(groups - 1, (1 - CONFIDENCE) / 2))
    return float(ndtr(student * math.sqrt(groups / (groups - 1))))


def wilson_bounds(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval (1927) for a proportion of independent trials; (NaN, NaN) without trials.

    Unlike the bootstrap it has a width where all trials or none succeeded. It is right only where no group repeats.
    """
    if trials == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    # The ends at no and at full success are 0 and 1 exactly; rounding must not put them outside.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)
