"""The bootstrap by group and Wilson's interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, ttest_1samp

from balin.errors import InputError
from balin.eval.intervals import (
    bootstrap_bounds,
    group_numbers,
    groups_repeat,
    percentile_bounds,
    replicate,
    resample_weights,
    weight_blocks,
    wilson_bounds,
)
from balin.eval.metrics import AnswerTable, auc, tally

GROUPS = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=12)


def names(n):
    return tuple(f"t{i}" for i in range(n))


def random_table(n=60, k=4, seed=0, groups=None):
    draw = np.random.default_rng(seed)
    gold = (draw.random((n, k)) < 0.3).astype(np.int8)
    p_true = np.round(np.clip(0.3 * gold + 0.7 * draw.random((n, k)), 0, 1), 2)
    state = np.where(draw.random((n, k)) < 0.1, 2, p_true > 0.5).astype(np.int8)
    return AnswerTable(names(n), groups or (None,) * n, names(k), gold, state, p_true)


@given(GROUPS, st.integers(0, 5))
def test_whole_groups_are_drawn(groups, seed):
    ids = names(len(groups))
    weights = resample_weights(ids, groups, 20, seed)
    number = group_numbers(ids, groups)
    first = [int(np.flatnonzero(number == g)[0]) for g in range(number.max() + 1)]
    assert weights.shape == (20, len(groups))
    assert (weights == weights[:, first][:, number]).all(), "members of a group share its weight"
    assert (weights[:, first].sum(axis=1) == len(first)).all(), "as many groups are drawn as there are"


@given(GROUPS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(groups, seed, random):
    ids = names(len(groups))
    order = list(range(len(ids)))
    random.shuffle(order)
    shuffled = resample_weights([ids[i] for i in order], [groups[i] for i in order], 10, seed)
    assert (shuffled == resample_weights(ids, groups, 10, seed)[:, order]).all()


def test_a_group_and_an_id_of_one_name_are_not_one():
    assert len(set(group_numbers(("a", "b"), (None, "a")))) == 2


def test_seed_fixes_the_resamples():
    ids, groups = names(30), (None,) * 30
    weights = resample_weights(ids, groups, 50, 3)
    assert (weights == resample_weights(ids, groups, 50, 3)).all()
    assert (weights != resample_weights(ids, groups, 50, 4)).any()
    assert (weights[:20] == resample_weights(ids, groups, 20, 3)).all(), "fewer are the first of more"
    for block in (1, 7, 50):
        assert (weights == np.concatenate(list(weight_blocks(ids, groups, 50, 3, block=block)))).all()


def test_bootstrap_error_of_a_mean_is_the_analytic_one():
    n = 400
    values = np.random.default_rng(1).normal(size=n)
    weights = resample_weights(names(n), (None,) * n, 4000, 0)
    means = weights @ values / weights.sum(axis=1)
    assert means.std() == pytest.approx(values.std() / math.sqrt(n), rel=0.04)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)


def test_bootstrap_error_knows_groups():
    # Four equal transcripts a patient: 100 independent values, not 400.
    values = np.repeat(np.random.default_rng(1).normal(size=100), 4)
    groups = [f"p{i // 4}" for i in range(400)]
    weights = resample_weights(names(400), groups, 4000, 0)
    means = weights @ values / weights.sum(axis=1)
    assert means.std() == pytest.approx(values.std() / math.sqrt(100), rel=0.04)


def test_replicates_are_the_weighted_metrics():
    table = random_table(groups=tuple(f"p{i // 3}" for i in range(60)))
    drawn = replicate(table, 40, 5)
    weights = resample_weights(table.ids, table.groups, 40, 5)
    assert (drawn.tallies == tally(table, weights)).all()
    np.testing.assert_array_equal(drawn.auc, auc(table, weights))


def test_one_group_gives_no_replicates():
    table = random_table(n=5, groups=("p",) * 5)
    assert replicate(table, 10).tallies.shape == (0, 4, 6)
    assert groups_repeat(table)
    assert not groups_repeat(random_table())


def test_percentile_bounds():
    values = np.stack((np.arange(101.0), np.full(101, np.nan), np.arange(101.0)), axis=-1)
    values[51:, 2] = np.nan
    low, high, defined = percentile_bounds(values, confidence=0.9)
    assert (low[0], high[0]) == (pytest.approx(5), pytest.approx(95))
    assert np.isnan(low[1])
    assert defined.tolist() == [101, 0, 51]
    assert high[2] == pytest.approx(47.5), "just over half are defined"
    values[50, 2] = np.nan
    assert np.isnan(percentile_bounds(values).low[2]), "under half are defined"


def test_no_resamples_no_interval():
    low, high, defined = percentile_bounds(np.empty((0, 3)))
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    assert defined.tolist() == [0, 0, 0]


@given(st.integers(5, 60), st.integers(0, 50))
@settings(max_examples=20)
def test_the_interval_of_a_mean_is_students(n, seed):
    values = np.random.default_rng(seed).normal(size=n)
    # What the bootstrap of a mean tends to: a normal distribution with the variance of the n values, divided by n and not n - 1.
    replicates = norm.ppf(np.linspace(0, 1, 4001)[1:-1], 3.0, values.std() / math.sqrt(n))
    low, high, _ = bootstrap_bounds(replicates, values.mean(), n)
    wanted = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=0.02 * (wanted.high - wanted.low))


def test_bounds_hold_the_value_and_keep_to_the_limits():
    values = np.array([0.0, 0.2, 0.4, 0.6, 0.8])
    for point in (0.0, 0.5, 1.0):
        low, high, _ = bootstrap_bounds(values, point, 50, limits=(0.0, 1.0))
        assert 0 <= low <= point <= high <= 1
    assert np.isnan(bootstrap_bounds(values, math.nan, 50).low)
    assert np.isnan(bootstrap_bounds(np.empty((0, 2)), np.zeros(2), 1).low).all()


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(trials, data):
    successes = data.draw(st.integers(0, trials))
    found = wilson_bounds(successes, trials)
    wanted = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert found == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert 0 <= found[0] <= successes / trials <= found[1] <= 1


def test_wilson_without_trials():
    assert all(math.isnan(end) for end in wilson_bounds(0, 0))


@pytest.mark.parametrize(("resamples", "seed"), [(-1, 0), (10, -1)])
def test_negative_numbers_are_refused(resamples, seed):
    with pytest.raises(InputError, match="must be 0 or more"):
        resample_weights(names(3), (None,) * 3, resamples, seed)
