"""Thresholds that hold on data they were not fitted on, and decisions out of fold that have seen nothing of their own labels."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from balin.errors import InputError
from balin.eval.metrics import ERROR, FALSE, MISSING, TRUE, AnswerTable, Floats, rates
from balin.optimizers import thresholds as module
from balin.optimizers.metric import Objective
from balin.optimizers.thresholds import FOLDS, apply_thresholds, fit_thresholds
from balin.programs.decisions import check_thresholds, decide
from balin.signatures.answers import Answer, State

K = 10


def make_table(gold: Any, p_true: Any, groups: tuple[str | None, ...] | None = None) -> AnswerTable:
    """Answers at 0.5."""
    gold, p_true = np.asarray(gold, dtype=np.int8), np.asarray(p_true, dtype=float)
    n, k = gold.shape
    ids = tuple(f"t{i:04d}" for i in range(n))
    state = np.where(np.isnan(p_true), MISSING, p_true >= 0.5).astype(np.int8)
    return AnswerTable(ids, groups or (None,) * n, tuple(f"f{j}" for j in range(k)), gold, state, p_true)


def simulated(rng: np.random.Generator, n: int, positives: int, features: Floats) -> AnswerTable:
    """Features [2, k]: how far apart the classes are, and by how much P(true) is shifted, in logits."""
    apart, shift = features
    k = features.shape[1]
    gold = np.zeros((n, k), dtype=np.int8)
    for j in range(k):
        gold[rng.permutation(n)[:positives], j] = 1
    seen = rng.normal(size=(n, k)) + (gold - 0.5) * apart
    return make_table(gold, expit(1.5 * seen + shift))


def world(seed: int, n: int = 100, positives: int = 10) -> tuple[AnswerTable, AnswerTable]:
    """A table to fit on and a large one of the same features to be judged by."""
    rng = np.random.default_rng(seed)
    features = np.stack((rng.uniform(1.2, 2.8, K), rng.normal(1.0, 1.0, K)))
    return simulated(rng, n, positives, features), simulated(rng, 2000, 2000 * positives // n, features)


def free_thresholds(table: AnswerTable) -> dict[str, float]:
    """For each feature by itself the threshold of the best MCC."""
    found = {}
    for j, feature in enumerate(table.features):
        gold, p_true = table.gold[:, j], table.p_true[:, j]
        values = np.unique(p_true)
        cuts = (values[1:] + values[:-1]) / 2
        said = p_true >= cuts[:, None]
        tp, fp = (said & (gold == 1)).sum(axis=1), (said & (gold == 0)).sum(axis=1)
        confusion = np.stack((tp, fp, (gold == 1).sum() - tp, (gold == 0).sum() - fp), axis=-1)
        found[feature] = float(cuts[np.argmax(rates(confusion)["mcc"])])
    return found


@pytest.fixture(scope="module")
def means() -> dict[str, Floats]:
    """Mean MCC in twelve worlds with ten positives a feature among a hundred transcripts."""
    found: dict[str, list[float]] = {}
    mean = Objective().mean
    for seed in range(12):
        table, judge = world(seed)
        fit, free = fit_thresholds(table, seed=seed), free_thresholds(table)
        here = {
            "half": mean(judge),
            "fitted": mean(apply_thresholds(judge, fit.thresholds)),
            "free": mean(apply_thresholds(judge, free)),
            "out_of_fold": mean(fit.out_of_fold),
            "free_where_fitted": mean(apply_thresholds(table, free)),
        }
        for name, value in here.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


class TestOutOfSample:
    def test_better_than_a_half(self, means):
        assert (means["fitted"] - means["half"]).mean() > 0.15
        assert (means["fitted"] > means["half"]).all()

    def test_better_than_each_feature_by_itself(self, means):
        gain = means["fitted"] - means["free"]
        assert gain.mean() > 0.01
        assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain))
        assert (gain > 0).mean() > 0.7

    def test_the_out_of_fold_score_is_an_honest_estimate(self, means):
        assert abs((means["out_of_fold"] - means["fitted"]).mean()) < 0.03
        # What a selection that looks at the fitted data would believe:
        assert (means["free_where_fitted"] - means["free"]).mean() > 0.08

    def test_labels_that_are_noise_give_no_score(self):
        """Fitted on what is scored they would: the best cut of 80 transcripts always looks like something."""
        rng = np.random.default_rng(0)
        scores = []
        for _ in range(6):
            gold = (rng.random((80, K)) < 0.2).astype(np.int8)
            scores.append(Objective().mean(fit_thresholds(make_table(gold, rng.random((80, K)))).out_of_fold))
        assert abs(np.mean(scores)) < 0.04


class TestOutOfFold:
    def test_no_decision_has_seen_a_label_of_its_own_group(self, monkeypatch):
        """With the folds held fast, turning a group's labels changes others' decisions and none of its own."""
        table, _ = world(3)
        folds = module._folds(table, 0)
        monkeypatch.setattr(module, "_folds", lambda *_: folds)
        first = fit_thresholds(table)
        for held in folds:
            turned = np.where(held[:, None], 1 - table.gold, table.gold).astype(np.int8)
            again = fit_thresholds(replace(table, gold=turned))
            assert again.thresholds != first.thresholds
            np.testing.assert_array_equal(again.out_of_fold.state[held], first.out_of_fold.state[held])
            assert (again.out_of_fold.state[~held] != first.out_of_fold.state[~held]).any()

    def test_groups_stay_whole(self, monkeypatch):
        base, _ = world(4, n=60, positives=20)
        groups = tuple(f"p{i % 20}" for i in range(60))
        table = replace(base, groups=groups)
        seen: list[set[str | None]] = []
        fit = module._fit

        def spy(part: AnswerTable, *rest: Any) -> dict[str, float]:
            seen.append(set(part.groups))
            return fit(part, *rest)

        monkeypatch.setattr(module, "_fit", spy)
        fit_thresholds(table)
        whole, *others = seen
        assert len(others) == FOLDS
        held = [whole - kept for kept in others]
        assert all(held)
        assert sum(map(len, held)) == len(set().union(*held)) == 20

    @pytest.mark.parametrize("seed", [0, 7])
    def test_the_order_of_rows_has_no_effect(self, seed):
        table, _ = world(5)
        order = np.random.default_rng(1).permutation(len(table.ids))
        mixed = AnswerTable(
            tuple(table.ids[i] for i in order),
            table.groups,
            table.features,
            table.gold[order],
            table.state[order],
            table.p_true[order],
        )
        one, other = fit_thresholds(table, seed=seed), fit_thresholds(mixed, seed=seed)
        assert one.thresholds == pytest.approx(other.thresholds)
        np.testing.assert_array_equal(one.out_of_fold.state[order], other.out_of_fold.state)

    def test_the_same_seed_gives_the_same_and_another_other_folds(self):
        table, _ = world(6)
        states = [fit_thresholds(table, seed=s).out_of_fold.state.tolist() for s in (0, 0, 1)]
        assert states[0] == states[1] != states[2]

    def test_too_few_groups_are_refused(self):
        base, _ = world(0)
        table = replace(base, groups=tuple(f"p{i % 4}" for i in range(100)))
        fit = fit_thresholds(table)
        assert fit.thresholds == {}
        assert all("fewer than 5 groups" in reason for reason in fit.refused.values())
        assert fit.out_of_fold is table


class TestRefusals:
    def test_a_feature_with_few_of_one_class_keeps_its_decisions(self):
        table, _ = world(1)
        gold = table.gold.copy()
        gold[np.flatnonzero(gold[:, 2] == 1)[4:], 2] = 0
        gold[:, 4] = 1 - gold[:, 4]
        gold[np.flatnonzero(gold[:, 4] == 0)[4:], 4] = 1
        table = replace(table, gold=gold)
        fit = fit_thresholds(table)
        assert set(fit.refused) == {"f2", "f4"}
        assert "4 positives and 96 negatives" in fit.refused["f2"]
        assert "96 positives and 4 negatives" in fit.refused["f4"]
        assert set(fit.thresholds) == set(table.features) - {"f2", "f4"}
        np.testing.assert_array_equal(fit.out_of_fold.state[:, [2, 4]], table.state[:, [2, 4]])

    def test_five_of_each_are_enough(self):
        table, _ = world(1, n=10, positives=5)
        assert fit_thresholds(table).refused == {}

    def test_without_probabilities_nothing_is_fitted(self):
        table, _ = world(1)
        table = replace(table, p_true=np.full(table.p_true.shape, np.nan))
        fit = fit_thresholds(table)
        assert (fit.thresholds, fit.out_of_fold) == ({}, table)
        assert all("0 positives and 0 negatives have a P(true)" in reason for reason in fit.refused.values())

    def test_a_ranking_that_is_upside_down(self):
        table, _ = world(1)
        fit = fit_thresholds(make_table(table.gold, 1 - table.p_true))
        assert fit.thresholds == {}
        assert set(fit.refused) == set(table.features)
        assert all("does not go with" in reason for reason in fit.refused.values())

    def test_errors_and_unlabelled_cells_take_no_part(self):
        table, _ = world(2)
        rng = np.random.default_rng(9)
        extra = 20
        whole = AnswerTable(
            (*table.ids, *(f"x{i}" for i in range(extra))),
            (None,) * (len(table.ids) + extra),
            table.features,
            np.concatenate((table.gold, np.where(np.arange(extra)[:, None] % 2, 1, -1).repeat(K, axis=1))),
            np.concatenate((table.state, np.where(np.arange(extra)[:, None] % 2, ERROR, TRUE).repeat(K, axis=1))),
            np.concatenate((table.p_true, rng.random((extra, K)))),
        )
        assert fit_thresholds(whole).thresholds == pytest.approx(fit_thresholds(table).thresholds)


class TestFloors:
    def test_the_largest_threshold_that_reaches_it(self):
        table, _ = world(8)
        plain = fit_thresholds(table).thresholds
        floor = 0.95
        fit = fit_thresholds(table, Objective(floors={"f1": floor}))
        positive = np.sort(table.p_true[table.gold[:, 1] == 1, 1])
        assert fit.thresholds["f1"] == positive[0] < plain["f1"]  # ten of ten
        assert {f: t for f, t in fit.thresholds.items() if f != "f1"} == {f: t for f, t in plain.items() if f != "f1"}

    @pytest.mark.parametrize("floor", [0.7, 0.8, 0.9, 1.0])
    def test_it_is_reached_in_the_fitted_data_by_the_fewest_positives(self, floor):
        table, _ = world(8)
        objective = Objective(floors=dict.fromkeys(table.features, floor))
        fit = fit_thresholds(table, objective)
        assert objective.score(apply_thresholds(table, fit.thresholds)).shortfall == 0
        plain = fit_thresholds(table).thresholds
        for j, feature in enumerate(table.features):
            assert fit.thresholds[feature] <= plain[feature]
            if fit.thresholds[feature] < plain[feature]:
                found = table.p_true[table.gold[:, j] == 1, j] >= fit.thresholds[feature]
                assert found.sum() == round(floor * 10)

    def test_a_floor_that_the_cut_reaches_changes_nothing(self):
        table, _ = world(8)
        low = Objective(floors=dict.fromkeys(table.features, 0.1))
        assert fit_thresholds(table, low).thresholds == fit_thresholds(table).thresholds

    def test_a_floor_out_of_reach_is_refused(self):
        table, _ = world(8)
        p_true = table.p_true.copy()
        p_true[np.flatnonzero(table.gold[:, 0] == 1)[:3], 0] = np.nan
        p_true[np.flatnonzero(table.gold[:, 1] == 1)[:3], 1] = 0.0
        fit = fit_thresholds(make_table(table.gold, p_true), Objective(floors={"f0": 0.8, "f1": 0.8, "f2": 0.8}))
        assert set(fit.refused) == {"f0", "f1"}
        assert "no threshold reaches a sensitivity of 0.8" in fit.refused["f0"]
        reached = fit_thresholds(make_table(table.gold, p_true), Objective(floors={"f0": 0.7, "f1": 0.7}))
        assert reached.refused == {}

    def test_an_unknown_feature(self):
        with pytest.raises(InputError, match="f99"):
            fit_thresholds(world(0)[0], Objective(floors={"f99": 0.5}))


class TestTheValues:
    def test_the_cut_follows_the_objective(self):
        table, _ = world(2)
        fits = [fit_thresholds(table, Objective(metric)).thresholds for metric in ("mcc", "macro_f1")]
        at = [apply_thresholds(table, t) for t in fits]
        assert Objective("mcc").mean(at[0]) >= Objective("mcc").mean(at[1])
        assert Objective("macro_f1").mean(at[1]) >= Objective("macro_f1").mean(at[0])

    @settings(max_examples=25)
    @given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([1.0, 40.0]))
    def test_any_table_gives_thresholds_that_a_program_takes(self, seed, rounded, sharpness):
        """Many equal probabilities, exact zeros and ones, missing answers, groups of any size: no warning, no crash."""
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(5, 50)), int(rng.integers(1, 4))
        gold = rng.integers(-1, 2, size=(n, k))
        p_true = expit(sharpness * (rng.normal(size=(n, k)) + gold))
        p_true = np.where(rng.random((n, k)) < rounded, p_true.round(), p_true)
        p_true[rng.random((n, k)) < 0.1] = np.nan
        groups = tuple(f"p{i}" for i in rng.integers(0, rng.integers(1, n + 1), size=n))
        table = make_table(gold, p_true, groups)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = fit_thresholds(table, Objective(floors={"f0": 0.8}), seed=seed)
        assert check_thresholds(fit.thresholds, table.features) == fit.thresholds
        assert set(fit.thresholds).isdisjoint(fit.refused)
        assert set(fit.thresholds) | set(fit.refused) == set(table.features)
        changed = fit.out_of_fold.state != table.state
        assert not changed[:, [f in fit.refused for f in table.features]].any()
        assert not (changed & ~np.isin(table.state, (FALSE, TRUE))).any()

    def test_arrays_and_programs_decide_alike(self):
        answers = [Answer.of(p >= 0.5, p) for p in (0.2, 0.3, 0.31, 0.5)]
        answers += [Answer.of(True), Answer.of(False), Answer(State.MISSING, 0.9), Answer(State.ERROR, 0.9)]
        codes = {State.TRUE: TRUE, State.FALSE: FALSE, State.MISSING: MISSING, State.ERROR: ERROR}
        state = np.array([[codes[a.state]] * 2 for a in answers], dtype=np.int8)
        p_true = np.array([[np.nan if a.p_true is None else a.p_true] * 2 for a in answers])
        table = replace(make_table(np.zeros(state.shape), p_true), state=state)
        thresholds = {"f0": 0.3}
        found = apply_thresholds(table, thresholds).state.tolist()
        wanted = [decide({"f0": a, "f1": a}, thresholds) for a in answers]
        assert found == [[codes[w["f0"].state], codes[w["f1"].state]] for w in wanted]
