"""Two arms on the same transcripts: differences with intervals, permutation and McNemar p-values, Holm's correction.

All arms are resampled with the same weights (`intervals.weight_blocks`), so the interval of a difference is that of one
quantity of each resample, not of two independent ones. The test of a feature and of a mean over the features swaps the two arms' answers for whole groups: under the null
hypothesis, that for no group it matters which arm answered, every such swap is as likely as what was seen. Both are one
matrix product for thousands of resamples, since a metric is a function of counts, and counts are sums over transcripts.

Shapes: n transcripts, k features, B resamples or permutations, M metrics of `PAIRED`. A last axis of k + 2 holds
the k features, then their mean, then their median.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from ..errors import InputError
from .intervals import RESAMPLES, bootstrap_bounds, group_numbers, groups_repeat, weight_blocks
from .metrics import FALSE, MISSING, TRUE, AnswerTable, Floats, Policy, over_features, rates, tally, under
from .scores import Interval
from .smoothing import PseudoCounts, pseudo_counts, smoothed

PAIRED = ("macro_f1", "mcc", "sensitivity", "specificity", "precision", "missing")
PERMUTATIONS = 10_000
_BLOCK_CELLS = 1_000_000
_ROUNDING = 1e-12  # two sums of the same numbers in another order may differ by this much


@dataclass(frozen=True, slots=True)
class Difference:
    """One quantity of two arms; None throughout where it is undefined.

    Attributes:
        first: Its value for the first arm.
        second: Its value for the second arm.
        difference: `second` − `first`.
        interval: 95 % bootstrap interval of the difference; None where refused.
        p: Two-sided p-value of the group-wise arm swap; None for medians, and where no permutations were asked for.
        p_holm: The same, corrected by Holm over the features; None for means and medians.
    """

    first: float | None
    second: float | None
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Who is right about one feature, transcript by transcript.

    Attributes:
        both_right: Transcripts on which both arms are right.
        first_right: Only the first arm is.
        second_right: Only the second arm is.
        neither_right: Neither is.
        p: McNemar's exact two-sided p-value; None where a group repeats or nothing is scored.
        p_holm: The same, corrected by Holm over the features.
    """

    both_right: int
    first_right: int
    second_right: int
    neither_right: int
    p: float | None
    p_holm: float | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairedArms:
    """Two arms compared.

    Attributes:
        features: Feature id to metric of `PAIRED` to its difference.
        mean: For each metric the difference of its means over the features.
        median: For each metric the difference of its medians over the features.
        disagreements: Feature id to who is right.
    """

    features: Mapping[str, Mapping[str, Difference]]
    mean: Mapping[str, Difference]
    median: Mapping[str, Difference]
    disagreements: Mapping[str, Disagreement]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without NaN."""
        return {
            "features": {f: {m: d.to_dict() for m, d in by.items()} for f, by in self.features.items()},
            "mean": {m: d.to_dict() for m, d in self.mean.items()},
            "median": {m: d.to_dict() for m, d in self.median.items()},
            "disagreements": {f: d.to_dict() for f, d in self.disagreements.items()},
        }


def paired_arms(
    tables: Sequence[AnswerTable],
    pairs: Sequence[tuple[int, int]],
    *,
    policy: Policy = "false",
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[PairedArms]:
    """Compare pairs of arms; all pairs share the resamples, and all share the swaps.

    Args:
        tables: The arms' answers to the same transcripts in the same order.
        pairs: (first, second) as indices into `tables`; a difference is second − first.
        policy: How a missing answer is scored.
        resamples: Bootstrap resamples; 0 leaves the intervals out.
        permutations: Random swaps; 0 leaves the permutation p-values out.
        seed: Of both.

    Raises:
        InputError: The arms have other transcripts, groups, features or labels, or were not scored on the same cells (leave
            out for all what failed in one); or a number is negative.
    """
    if permutations < 0 or seed < 0:
        raise InputError(f"permutations and seed must be 0 or more, got {permutations} and {seed}")
    _check(tables)
    values = [_values(tally(table), policy) for table in tables]
    drawn = resampled_values(tables, policy, resamples, seed)
    found = []
    for a, b in pairs:
        p = swap_p_values(tables[a], tables[b], policy, permutations, seed)
        p[:, -1] = np.nan  # too small for medians where features differ in opposite directions: `swap_p_values`
        groups = len(set(group_numbers(tables[a].ids, tables[a].groups)))
        differences = _differences(values[a], values[b], drawn[b] - drawn[a], p, groups)
        k = len(tables[a].features)
        found.append(
            PairedArms(
                features={f: differences[j] for j, f in enumerate(tables[a].features)},
                mean=differences[k],
                median=differences[k + 1],
                disagreements=_disagreements(tables[a], tables[b], policy),
            )
        )
    return found


def resampled_values(tables: Sequence[AnswerTable], policy: Policy, resamples: int, seed: int) -> list[Floats]:
    """Every metric of every arm in each smoothed resample, [B, M, k + 2] an arm; B is 0 where there is but one group."""
    first, k = tables[0], len(tables[0].features)
    tallies: list[list[Floats]] = [[np.empty((0, k, 6))] for _ in tables]
    if len(set(group_numbers(first.ids, first.groups))) > 1:
        for weights in weight_blocks(first.ids, first.groups, resamples, seed):
            for blocks, table in zip(tallies, tables, strict=True):
                blocks.append(tally(table, weights))
    drawn = [np.concatenate(blocks) for blocks in tallies]
    return [
        _values(tallied, policy, pseudo_counts(table, len(tallied), seed))
        for tallied, table in zip(drawn, tables, strict=True)
    ]


def swap_p_values(first: AnswerTable, second: AnswerTable, policy: Policy, permutations: int, seed: int) -> Floats:
    """Two-sided p-values [M, k + 2] of the group-wise arm swap, (b + 1) / (m + 1); NaN where undefined or m is 0.

    b of m random swaps give a difference at least as far from 0 as the one seen; counting the one seen among them keeps p
    from being 0 and the test valid: Phipson and Smyth, "Permutation p-values should never be zero", Statistical
    Applications in Genetics and Molecular Biology 9 (2010).

    The null hypothesis is that the arms are exchangeable. Where they are not but a mean over the features is the same, p keeps
    its level for the mean, and does not for the median (`benchmarks/swap_test.py`), which is why reports show none for medians.
    """
    one, other = tally(first), tally(second)
    seen = _values(other, policy) - _values(one, policy)
    if not permutations:
        return np.full(seen.shape, np.nan)
    both, reached = one + other, np.zeros(seen.shape)
    for swaps in _swap_blocks(first, permutations, seed):
        # What the swapped transcripts add to one arm's tally moves into the other's, and back.
        swapped = one + tally(second, swaps) - tally(first, swaps)
        difference = _values(both - swapped, policy) - _values(swapped, policy)
        reached += (np.abs(difference) >= np.abs(seen) - _ROUNDING).sum(axis=0)
    return np.where(np.isnan(seen), np.nan, (reached + 1) / (permutations + 1))


def mcnemar_p_value(first_only: int, second_only: int) -> float:
    """McNemar's exact two-sided test: of the transcripts on which one arm alone is right, is either arm's share half?

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12
    (1947). It is right only where no group repeats.
    """
    n = first_only + second_only
    return float(binomtest(first_only, n).pvalue) if n else 1.0


def holm(p_values: Floats) -> Floats:
    """p-values [k] of one family, corrected by Holm's step-down procedure; NaN stays and does not count.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int((~np.isnan(p_values)).sum())]  # NaN is sorted to the end
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def _check(tables: Sequence[AnswerTable]) -> None:
    first = tables[0]
    for table in tables[1:]:
        for name in ("ids", "groups", "features"):
            if getattr(table, name) != getattr(first, name):
                raise InputError(f"arms that are compared must have the same {name}, in the same order")
        if not np.array_equal(table.gold, first.gold):
            raise InputError("arms that are compared must have the same gold labels")
        if not np.array_equal(table.scored, first.scored):
            raise InputError("a call failed in one arm only: leave that transcript out for all arms")


def _values(tallied: Floats, policy: Policy, pseudo: PseudoCounts | None = None) -> Floats:
    """The metrics of `PAIRED` from tallies [..., k, 6], smoothed if there are pseudo-counts: [..., M, k + 2].

    `missing` is the share of scored answers that the model did not give, under either policy; like the rest it is NaN where
    gold has one class, so that all means are over the same features.
    """
    confusion = under(policy, tallied)
    n, missing = confusion.sum(axis=-1), tallied[..., 4] + tallied[..., 5]
    if pseudo is not None:
        confusion = smoothed(confusion, pseudo.confusion)
        missing, n = missing + pseudo.missing[..., 0], n + pseudo.missing[..., 1]
    found = rates(confusion)
    found["missing"] = np.divide(missing, n, out=np.full(n.shape, np.nan), where=~np.isnan(found["mcc"]))
    by_feature = np.stack([found[name] for name in PAIRED], axis=-2)
    mean, median = over_features(by_feature)
    return np.concatenate((by_feature, mean[..., None], median[..., None]), axis=-1)


def _swap_blocks(table: AnswerTable, permutations: int, seed: int) -> Iterator[Floats]:
    """[b, n] of 0 and 1: whose answers are swapped, alike within a group.

    As the bootstrap's weights they depend on seed, ids and groups alone; their stream is another than the bootstrap's.
    """
    member = group_numbers(table.ids, table.groups)
    draw = np.random.default_rng([seed, 1])
    step = max(1, _BLOCK_CELLS // max(1, len(member)))
    for start in range(0, permutations, step):
        swaps = draw.integers(2, size=(min(step, permutations - start), int(member.max(initial=-1)) + 1))
        yield swaps[:, member].astype(np.float64)


def _differences(first: Floats, second: Floats, drawn: Floats, p: Floats, groups: int) -> list[dict[str, Difference]]:
    """For each feature, the mean and the median: metric to difference."""
    low, high, defined = bootstrap_bounds(drawn, second - first, groups)
    corrected = np.full(p.shape, np.nan)
    corrected[:, :-2] = [holm(row) for row in p[:, :-2]]
    return [
        {
            metric: Difference(
                first=_number(first[m, j]),
                second=_number(second[m, j]),
                difference=_number(second[m, j] - first[m, j]),
                interval=None
                if math.isnan(low[m, j])
                else Interval(float(low[m, j]), float(high[m, j]), "bootstrap", int(defined[m, j])),
                p=_number(p[m, j]),
                p_holm=_number(corrected[m, j]),
            )
            for m, metric in enumerate(PAIRED)
        }
        for j in range(first.shape[-1])
    ]


def _disagreements(first: AnswerTable, second: AnswerTable, policy: Policy) -> dict[str, Disagreement]:
    right_1, right_2, scored = _right(first, policy), _right(second, policy), first.scored
    cells = [(right_1 & right_2), (right_1 & ~right_2), (~right_1 & right_2), (~right_1 & ~right_2)]
    counted = np.stack([(cell & scored).sum(axis=0) for cell in cells], axis=-1)
    p = np.full(len(first.features), np.nan)
    if not groups_repeat(first):
        for j, (_, one, other, _) in enumerate(counted):
            p[j] = mcnemar_p_value(int(one), int(other)) if counted[j].any() else np.nan
    corrected = holm(p)
    return {
        name: Disagreement(
            both_right=int(counted[j, 0]),
            first_right=int(counted[j, 1]),
            second_right=int(counted[j, 2]),
            neither_right=int(counted[j, 3]),
            p=_number(p[j]),
            p_holm=_number(corrected[j]),
        )
        for j, name in enumerate(first.features)
    }


def _right(table: AnswerTable, policy: Policy) -> Any:
    """Bool [n, k]: the answer is the gold label; only scored cells mean anything."""
    denied = table.state == FALSE
    if policy == "false":
        denied = denied | (table.state == MISSING)
    return ((table.state == TRUE) & (table.gold == 1)) | (denied & (table.gold == 0))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
