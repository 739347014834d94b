"""Paired differences: the same resamples, the swap of whole groups, Holm's and McNemar's procedures."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, permutation_test

from balin.errors import InputError
from balin.eval.evaluation import evaluate_answers
from balin.eval.intervals import bootstrap_bounds
from balin.eval.metrics import ERROR, FALSE, MISSING, TRUE, AnswerTable
from balin.eval.paired import (
    PAIRED,
    PairedArms,
    holm,
    mcnemar_p_value,
    paired_arms,
    resampled_values,
    swap_p_values,
)


def names(n: int, letter: str = "t") -> tuple[str, ...]:
    return tuple(f"{letter}{i}" for i in range(n))


def a_table(gold: np.ndarray, state: np.ndarray, groups: tuple[str | None, ...] | None = None) -> AnswerTable:
    gold, state = np.asarray(gold, dtype=np.int8), np.asarray(state, dtype=np.int8)
    n, k = gold.shape
    return AnswerTable(names(n), groups or (None,) * n, names(k, "f"), gold, state, np.full((n, k), np.nan))


def two_arms(
    n: int = 200,
    k: int = 4,
    *,
    seed: int = 0,
    right: tuple[float, float] = (0.8, 0.8),
    missing: float = 0.0,
    per_group: int = 1,
) -> tuple[AnswerTable, AnswerTable]:
    """Two arms that are right with these chances, independently; a group's transcripts are copies of one."""
    draw = np.random.default_rng(seed)
    own = n // per_group
    gold = (draw.random((own, k)) < 0.4).astype(np.int8)
    tables = []
    for chance in right:
        state = np.where(draw.random((own, k)) < chance, gold, 1 - gold)
        state[draw.random((own, k)) < missing] = MISSING
        groups = tuple(f"p{i // per_group}" for i in range(n)) if per_group > 1 else None
        tables.append(a_table(np.repeat(gold, per_group, axis=0), np.repeat(state, per_group, axis=0), groups))
    return tables[0], tables[1]


def compared(first: AnswerTable, second: AnswerTable, **options: object) -> PairedArms:
    (found,) = paired_arms((first, second), [(0, 1)], **{"resamples": 200, "permutations": 200} | options)
    return found


@pytest.mark.parametrize("policy", ["false", "wrong"])
def test_the_values_are_those_of_the_scores(policy):
    tables = two_arms(missing=0.2)
    found = compared(*tables, policy=policy)
    scores = [evaluate_answers(table, policy=policy, resamples=0) for table in tables]
    for metric in PAIRED[:-1]:
        for j, feature in enumerate(tables[0].features):
            item = found.features[feature][metric]
            wanted = [s.features[feature].values[metric] for s in scores]
            assert (item.first, item.second) == pytest.approx(wanted), (j, metric)
            assert item.difference == pytest.approx(wanted[1] - wanted[0])
        assert found.mean[metric].first == pytest.approx(scores[0].summaries(policy)[metric].mean)
        assert found.median[metric].second == pytest.approx(scores[1].summaries(policy)[metric].median)
    assert found.features["f0"]["missing"].first == pytest.approx((tables[0].state[:, 0] == MISSING).mean())


def test_the_resamples_are_those_of_the_arms_own_intervals():
    tables = two_arms(missing=0.1, per_group=2)
    drawn = resampled_values(tables, "false", 300, 5)
    for table, values in zip(tables, drawn, strict=True):
        own = evaluate_answers(table, resamples=300, seed=5)
        for place, value, interval in (
            (0, own.features["f0"].values["mcc"], own.features["f0"].intervals["mcc"]),
            (-1, own.summaries()["mcc"].median, own.summaries()["mcc"].median_interval),
        ):
            low, high, _ = bootstrap_bounds(values[:, PAIRED.index("mcc"), place], value, 100)
            assert (low, high) == pytest.approx((interval.low, interval.high))


def test_bootstrap_error_of_a_mean_difference_is_the_analytic_one():
    # The share of missing answers is a mean over transcripts, so its paired difference has a textbook standard error.
    first, second = two_arms(800, 2, missing=0.3)
    drawn = resampled_values((first, second), "false", 4000, 1)
    error = (drawn[1] - drawn[0])[:, PAIRED.index("missing"), 0].std()
    each = (second.state[:, 0] == MISSING).astype(float) - (first.state[:, 0] == MISSING)
    assert error == pytest.approx(each.std() / math.sqrt(800), rel=0.04)


def test_bootstrap_error_knows_groups():
    first, second = two_arms(800, 2, missing=0.3, per_group=4)
    drawn = resampled_values((first, second), "false", 4000, 1)
    error = (drawn[1] - drawn[0])[:, PAIRED.index("missing"), 0].std()
    each = (second.state[::4, 0] == MISSING).astype(float) - (first.state[::4, 0] == MISSING)
    assert error == pytest.approx(each.std() / math.sqrt(200), rel=0.04)


def test_an_interval_of_a_difference_is_narrower_than_of_independent_arms():
    first, second = two_arms(400, 2, right=(0.8, 0.8))
    alike = first.state.copy()
    alike[:20] = second.state[:20]
    found = compared(first, a_table(first.gold, alike))
    interval = found.features["f0"]["mcc"].interval
    own = evaluate_answers(first, resamples=200).features["f0"].intervals["mcc"]
    assert interval.high - interval.low < (own.high - own.low) / 2


def test_the_permutation_test_is_scipys_where_all_swaps_can_be_tried():
    first, second = two_arms(9, 1, seed=3, right=(0.5, 0.9), missing=0.2)
    gold = first.gold[:, 0]

    def mcc_difference(a: np.ndarray, b: np.ndarray) -> float:
        tables = (a_table(gold[:, None], s[:, None]) for s in (a, b))
        one, other = (evaluate_answers(t, resamples=0).features["f0"].values["mcc"] for t in tables)
        return other - one

    exact = permutation_test(
        (first.state[:, 0], second.state[:, 0]),
        mcc_difference,
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=False,
    )
    p = swap_p_values(first, second, "false", 20_000, 0)[PAIRED.index("mcc"), 0]
    # |difference| and not SciPy's doubled smaller tail: the distribution of swaps is symmetric, so both are the same.
    assert p == pytest.approx(exact.pvalue, abs=0.012)
    assert 0.01 < p < 0.99


def test_groups_are_swapped_whole():
    # Four copies of each answer say no more than one, in sensitivity and specificity too.
    single = two_arms(60, 3, seed=2, right=(0.7, 0.85))
    rows = np.repeat(np.arange(60), 4)
    groups = tuple(f"t{i}" for i in rows)
    copied = [a_table(t.gold[rows], t.state[rows], groups) for t in single]
    alone = swap_p_values(single[0], single[1], "false", 4000, 0)
    together = swap_p_values(copied[0], copied[1], "false", 4000, 0)
    ungrouped = [a_table(t.gold, t.state) for t in copied]
    apart = swap_p_values(ungrouped[0], ungrouped[1], "false", 4000, 0)
    np.testing.assert_allclose(together, alone, atol=0.04)
    m = PAIRED.index("mcc")
    assert apart[m, -2] < alone[m, -2] / 2


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=15)
def test_turning_the_pair_round_turns_the_sign_and_nothing_else(seed, grouped):
    first, second = two_arms(40, 3, seed=seed, missing=0.1, per_group=2 if grouped else 1)
    there, back = compared(first, second), compared(second, first)
    for one, other in [
        (there.features["f1"], back.features["f1"]),
        (there.mean, back.mean),
        (there.median, back.median),
    ]:
        for metric in PAIRED:
            a, b = one[metric], other[metric]
            assert a.p == b.p
            assert a.p_holm == b.p_holm
            if a.difference is not None:
                assert a.difference == pytest.approx(-b.difference)
                assert a.interval.low == pytest.approx(-b.interval.high)
    for feature, c in there.disagreements.items():
        d = back.disagreements[feature]
        assert (c.first_right, c.second_right, c.both_right, c.p) == (d.second_right, d.first_right, d.both_right, d.p)


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_the_order_of_rows_does_not_matter(seed, random):
    tables = two_arms(30, 2, seed=seed, missing=0.1, per_group=3)
    order = list(range(30))
    random.shuffle(order)
    shuffled = [
        AnswerTable(
            tuple(t.ids[i] for i in order),
            tuple(t.groups[i] for i in order),
            t.features,
            t.gold[order],
            t.state[order],
            t.p_true[order],
        )
        for t in tables
    ]
    assert compared(*tables).to_dict() == compared(*shuffled).to_dict()


def test_an_arm_does_not_differ_from_itself():
    first, _ = two_arms(missing=0.1)
    found = compared(first, first)
    for item, p in (
        (found.features["f0"]["mcc"], 1.0),
        (found.mean["macro_f1"], 1.0),
        (found.median["missing"], None),
    ):
        assert (item.difference, item.p) == (0.0, p)
        assert (item.interval.low, item.interval.high) == (0.0, 0.0)
    assert all(item.p == 1.0 and not item.first_right for item in found.disagreements.values())


def test_a_real_difference_is_found_and_no_p_is_zero():
    found = compared(*two_arms(300, 3, right=(0.7, 0.95)))
    item = found.features["f0"]["mcc"]
    assert item.interval.low > 0
    assert item.p == pytest.approx(1 / 201)
    assert item.p_holm == pytest.approx(3 / 201)
    assert found.mean["mcc"].p_holm is None


def test_without_a_difference_p_is_rarely_small():
    p = [swap_p_values(*two_arms(60, 1, seed=s), "false", 99, 0)[PAIRED.index("mcc"), 0] for s in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


def opposite_arms(n: int, seed: int) -> tuple[AnswerTable, AnswerTable]:
    """Each arm is far better in half of the features; means and medians over the features are the same."""
    draw = np.random.default_rng([seed, n])
    gold = (draw.random((n, 6)) < 0.3).astype(np.int8)
    better = np.array([0.97, 0.8] * 3)
    right = (draw.random(gold.shape) < chance for chance in (better, better[::-1]))
    first, second = (a_table(gold, np.where(r, gold, 1 - gold)) for r in right)
    return first, second


def test_a_difference_of_medians_has_an_interval_and_no_p():
    # Swapping makes unlike features alike, so p would be too small; of the mean it is not, and the interval holds for both.
    m, found = PAIRED.index("mcc"), []
    for seed in range(60):
        arms = opposite_arms(100, seed)
        p = swap_p_values(*arms, "false", 99, seed)[m]
        median = compared(*arms, permutations=9, resamples=200, seed=seed).median["mcc"]
        assert median.p is None
        found.append((p[-2] <= 0.05, not median.interval.low <= 0 <= median.interval.high))
    assert np.mean(found, axis=0) == pytest.approx([0.05, 0.05], abs=0.08)


def test_a_feature_of_one_class_is_undefined_and_left_out_of_the_family():
    first, second = two_arms(80, 3)
    gold = first.gold.copy()
    gold[:, 1] = 0
    found = compared(a_table(gold, first.state), a_table(gold, second.state))
    for metric in PAIRED:
        item = found.features["f1"][metric]
        assert (item.first, item.difference, item.interval, item.p, item.p_holm) == (None,) * 5
    items = [found.features[f]["mcc"] for f in ("f0", "f2")]
    ps, corrected = [item.p or 0.0 for item in items], [item.p_holm or 0.0 for item in items]
    assert min(corrected) == pytest.approx(min(1.0, 2 * min(ps)))
    assert found.mean["mcc"].difference is not None


def test_no_resamples_no_interval_and_no_permutations_no_p():
    found = compared(*two_arms(), resamples=0, permutations=0)
    item = found.features["f0"]["mcc"]
    assert (item.interval, item.p, item.p_holm) == (None, None, None)
    assert item.difference is not None


def test_one_group_is_no_evidence():
    first, second = two_arms(20, 2, right=(0.5, 1.0), per_group=20)
    gold = first.gold.copy()
    gold[:10] = 1 - gold[:10]
    found = compared(a_table(gold, first.state, first.groups), a_table(gold, second.state, first.groups))
    item = found.features["f0"]["mcc"]
    assert (item.interval, item.p) == (None, 1.0)


def test_who_is_right_is_counted_under_both_policies():
    gold = [[1], [1], [0], [0], [0], [-1]]
    first = a_table(gold, [[TRUE], [FALSE], [MISSING], [FALSE], [TRUE], [TRUE]])
    second = a_table(gold, [[TRUE], [TRUE], [FALSE], [MISSING], [TRUE], [TRUE]])
    item = compared(first, second).disagreements["f0"]
    assert (item.both_right, item.first_right, item.second_right, item.neither_right) == (3, 0, 1, 1)
    item = compared(first, second, policy="wrong").disagreements["f0"]
    assert (item.both_right, item.first_right, item.second_right, item.neither_right) == (1, 1, 2, 1)
    assert item.p == pytest.approx(1.0)


def test_mcnemar_is_left_out_where_a_group_repeats():
    found = compared(*two_arms(40, per_group=2))
    assert {(d.p, d.p_holm) for d in found.disagreements.values()} == {(None, None)}


def test_mcnemar_by_hand():
    # 1 against 9: 2 · (C(10,0) + C(10,1)) / 2^10
    assert mcnemar_p_value(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar_p_value(0, 0) == 1.0
    # With many, the chi-squared approximation with continuity correction.
    assert mcnemar_p_value(120, 160) == pytest.approx(chi2.sf((40 - 1) ** 2 / 280, 1), abs=0.002)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1: 0.02, 0.03, 0.06, and 0.04 that may not be below 0.06.
    found = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, np.nan, 0.01])).tolist() == pytest.approx([0.6, math.nan, 0.02], nan_ok=True)
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_test(p_values):
    k = len(p_values)
    subsets = [s for size in range(1, k + 1) for s in combinations(range(k), size)]
    bonferroni = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets}
    wanted = [max(p for s, p in bonferroni.items() if i in s) for i in range(k)]
    assert holm(np.array(p_values)).tolist() == pytest.approx(wanted)


def test_arms_that_are_not_on_the_same_cells_are_refused():
    first, second = two_arms(20, 2)
    failed = second.state.copy()
    failed[3] = ERROR
    gold = first.gold.copy()
    gold[0, 0] = 1 - gold[0, 0]
    others = {
        "call failed": a_table(first.gold, failed),
        "gold": a_table(gold, second.state),
        "ids": a_table(first.gold[:10], second.state[:10]),
        "groups": a_table(first.gold, second.state, ("p",) * 20),
        "features": a_table(first.gold[:, :1], second.state[:, :1]),
    }
    for message, other in others.items():
        with pytest.raises(InputError, match=message):
            compared(first, other)


@pytest.mark.parametrize("numbers", [{"resamples": -1}, {"permutations": -1}, {"seed": -1}])
def test_negative_numbers_are_refused(numbers):
    with pytest.raises(InputError, match="must be 0 or more"):
        compared(*two_arms(10, 1), **numbers)


def test_several_pairs_are_each_what_they_are_alone():
    a, b = two_arms(60, 2)
    c = a_table(a.gold, np.where(a.gold == 1, TRUE, FALSE))
    found = paired_arms((a, b, c), [(0, 1), (2, 1)], resamples=100, permutations=100, seed=4)
    assert found[0].to_dict() == compared(a, b, resamples=100, permutations=100, seed=4).to_dict()
    assert found[1].to_dict() == compared(c, b, resamples=100, permutations=100, seed=4).to_dict()
