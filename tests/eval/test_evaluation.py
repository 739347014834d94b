"""Scores: one table in, one JSON-ready result out."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from balin.errors import InputError, RunError
from balin.eval import evaluation
from balin.eval.evaluation import Scores, evaluate_answers
from balin.eval.intervals import bootstrap_bounds, resample_weights
from balin.eval.metrics import METRICS, AnswerTable


def make_table(gold, state, p_true=None, groups=None):
    gold, state = np.asarray(gold, dtype=np.int8), np.asarray(state, dtype=np.int8)
    n, k = gold.shape
    p_true = np.full((n, k), np.nan) if p_true is None else np.asarray(p_true, dtype=float)
    ids = tuple(f"t{i:03}" for i in range(n))
    return AnswerTable(ids, groups or (None,) * n, tuple(f"f{j}" for j in range(k)), gold, state, p_true)


def random_table(n=60, k=4, seed=0, groups=None, codes=(-1, 0, 1)):
    draw = np.random.default_rng(seed)
    return make_table(
        draw.choice(codes, (n, k)), draw.choice(4, (n, k), p=(0.5, 0.4, 0.08, 0.02)), draw.random((n, k)), groups
    )


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 1000), st.booleans(), st.sampled_from(["false", "wrong"]))
@settings(max_examples=40, deadline=None)
def test_json_round_trip(n, k, seed, grouped, policy):
    table = random_table(n, k, seed, tuple(f"p{i // 3}" for i in range(n)) if grouped else None)
    scores = evaluate_answers(table, policy=policy, resamples=20)
    document = json.dumps(scores.to_dict(), allow_nan=False)
    assert Scores.from_dict(json.loads(document)) == scores


def test_no_transcripts_at_all():
    scores = evaluate_answers(make_table(np.empty((0, 2)), np.empty((0, 2))))
    json.dumps(scores.to_dict(), allow_nan=False)
    assert scores.undefined == ("f0", "f1")
    assert not scores.too_many_errors


def test_counts_by_hand():
    #        f0: tp fp fn tn missing-positive missing-negative error unlabelled
    gold = [[1], [0], [1], [0], [1], [0], [1], [-1]]
    state = [[1], [1], [0], [0], [2], [2], [3], [2]]
    p_true = [[0.9], [0.6], [0.2], [0.1], [np.nan], [np.nan], [0.5], [0.5]]
    scores = evaluate_answers(make_table(gold, state, p_true), resamples=0)
    count = scores.features["f0"].count
    assert (count.n, count.tp, count.fp, count.fn, count.tn) == (6, 1, 1, 2, 2)
    assert (count.positives, count.missing, count.errors, count.auc_n) == (3, 2, 1, 4)
    assert scores.answers == {"true": 2, "false": 2, "missing": 3, "error": 1}
    assert scores.features["f0"].values["sensitivity"] == pytest.approx(1 / 3)
    assert scores.features["f0"].values["prediction_ratio"] == pytest.approx(2 / 3)
    assert scores.features["f0"].values["auc"] == pytest.approx(0.75)
    wrong = evaluate_answers(make_table(gold, state, p_true), policy="wrong", resamples=0)
    assert (wrong.features["f0"].count.fp, wrong.features["f0"].count.tn) == (2, 1)
    assert wrong.missing_as_false == scores.missing_as_false
    assert wrong.summary() == scores.summary("wrong") != scores.summary()


def test_summary_has_the_paths_of_the_json_document():
    summary = evaluate_answers(random_table(), resamples=50).summary()
    assert set(summary) == set(METRICS)
    for item in summary.values():
        assert set(item) == {"mean", "median", "mean_interval", "median_interval"}
    assert summary["macro_f1"]["mean"] == pytest.approx(
        np.mean([v.values["macro_f1"] for v in evaluate_answers(random_table(), resamples=0).features.values()])
    )


def test_undefined_feature_is_named_and_left_out():
    table = random_table(80, 3, codes=(0, 1))
    lonely = dataclasses.replace(table, gold=np.where([True, False, True], table.gold, 0).astype(np.int8))
    scores = evaluate_answers(lonely, resamples=30)
    rest = [scores.features[name].values["mcc"] for name in ("f0", "f2")]
    assert scores.undefined == ("f1",)
    assert set(scores.features["f1"].values.values()) == {None}
    assert set(scores.features["f1"].intervals.values()) == {None}
    assert scores.summary()["mcc"]["mean"] == pytest.approx(np.mean(rest))


def test_a_model_of_one_class_counts_with_mcc_zero():
    gold = [[1, 1], [0, 0], [0, 1], [1, 0]]
    scores = evaluate_answers(make_table(gold, [[0, 1], [0, 0], [0, 1], [0, 0]]), resamples=0)
    assert scores.undefined == ()
    assert scores.summary()["mcc"] == {"mean": 0.5, "median": 0.5, "mean_interval": None, "median_interval": None}


def test_pooled_is_the_sum_of_the_features():
    scores = evaluate_answers(random_table(), resamples=30)
    for name in ("n", "tp", "fp", "fn", "tn", "positives", "missing", "errors", "auc_n"):
        assert getattr(scores.pooled.count, name) == sum(getattr(f.count, name) for f in scores.features.values())
    assert scores.pooled.values["auc"] is None
    interval = scores.pooled.intervals["mcc"]
    assert interval is not None
    assert interval.low < scores.pooled.values["mcc"] < interval.high


def test_pooled_mcc_is_scikit_learns():
    table = random_table(codes=(0, 1))
    seen = table.state != 3
    wanted = matthews_corrcoef(table.gold[seen], table.state[seen] == 1)
    assert evaluate_answers(table, resamples=0).pooled.values["mcc"] == pytest.approx(wanted)


@pytest.mark.parametrize(("failed", "too_many"), [(0, False), (1, False), (2, True)])
def test_error_limit_counts_transcripts(failed, too_many):
    state = np.zeros((50, 3))
    state[:failed, :2] = 3
    scores = evaluate_answers(make_table(np.ones((50, 3)), state), resamples=0)
    assert scores.transcripts_with_error == failed
    assert scores.error_share == failed / 50
    assert scores.too_many_errors is too_many
    assert scores.to_dict()["too_many_errors"] is too_many


def test_intervals_are_those_of_resampled_rows(monkeypatch):
    """The whole chain, without pseudo-counts, against a plain loop over resamples with scikit-learn."""
    monkeypatch.setattr(evaluation, "smoothed", lambda confusion, pseudo: confusion)
    table = random_table(40, 2, groups=tuple(f"p{i // 2}" for i in range(40)), codes=(0, 1))
    scores = evaluate_answers(table, resamples=60, seed=7)
    looped = []
    for times in resample_weights(table.ids, table.groups, 60, 7).astype(int):
        rows = np.repeat(np.arange(40), times)
        looped.append([])
        for j in range(2):
            gold, state = table.gold[rows, j], table.state[rows, j]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                looped[-1].append(matthews_corrcoef(gold[state != 3], state[state != 3] == 1))
    for j in range(2):
        measured = scores.features[f"f{j}"]
        interval = measured.intervals["mcc"]
        wanted = bootstrap_bounds(np.array(looped)[:, j], measured.values["mcc"], 20)
        assert (interval.low, interval.high) == pytest.approx(wanted[:2])
        assert interval.resamples == 60
    summary = scores.missing_as_false["mcc"]
    wanted = bootstrap_bounds(np.mean(looped, axis=1), summary.mean, 20)
    assert (summary.mean_interval.low, summary.mean_interval.high) == pytest.approx(wanted[:2])


def test_a_perfect_or_constant_arm_is_not_beyond_doubt():
    gold = (np.arange(60)[:, None] % 3 == 0).astype(np.int8)
    perfect = evaluate_answers(make_table(gold, gold), resamples=500).features["f0"]
    assert perfect.values["mcc"] == perfect.intervals["mcc"].high == 1
    assert 0.75 < perfect.intervals["mcc"].low < 0.97
    constant = evaluate_answers(make_table(gold, np.zeros_like(gold)), resamples=500).features["f0"]
    assert constant.values["mcc"] == 0
    assert constant.intervals["mcc"].low < 0 < constant.intervals["mcc"].high


def test_wilson_only_where_no_group_repeats():
    alone = evaluate_answers(random_table(codes=(0, 1)), resamples=30).features["f0"].intervals
    assert alone["sensitivity"].method == alone["specificity"].method == "wilson"
    assert alone["mcc"].method == "bootstrap"
    grouped = random_table(codes=(0, 1), groups=tuple(f"p{i // 2}" for i in range(60)))
    together = evaluate_answers(grouped, resamples=30).features["f0"].intervals
    assert together["sensitivity"].method == together["mcc"].method == "bootstrap"
    assert evaluate_answers(grouped, resamples=30).groups_repeat


def test_row_order_does_not_change_the_scores():
    table = random_table(groups=tuple(f"p{i // 2}" for i in range(60)))
    order = np.random.default_rng(0).permutation(60)
    shuffled = AnswerTable(
        tuple(table.ids[i] for i in order),
        tuple(table.groups[i] for i in order),
        table.features,
        table.gold[order],
        table.state[order],
        table.p_true[order],
    )
    one, other = evaluate_answers(table, resamples=50), evaluate_answers(shuffled, resamples=50)
    assert other.features["f0"].intervals["mcc"].low == pytest.approx(one.features["f0"].intervals["mcc"].low)
    assert other.missing_as_wrong["auc"].mean_interval.high == pytest.approx(
        one.missing_as_wrong["auc"].mean_interval.high
    )


def test_interval_is_refused_where_most_resamples_lose_the_feature():
    # A single positive is in about 63 % of the resamples.
    gold = np.zeros((40, 1))
    gold[0] = 1
    interval = evaluate_answers(make_table(gold, gold), resamples=2000).features["f0"].intervals["mcc"]
    assert 0.58 * 2000 < interval.resamples < 0.69 * 2000
    # Of one negative beside one positive, fewer than half of the resamples hold both.
    pair = evaluate_answers(make_table([[1], [0], [-1], [-1]], [[1], [0], [0], [0]]), resamples=2000)
    assert pair.features["f0"].intervals["mcc"] is None
    assert pair.features["f0"].values["mcc"] == 1


def test_scarce_features():
    gold = np.zeros((40, 3))
    gold[:15, 0] = gold[:14, 1] = 1
    scores = evaluate_answers(make_table(gold, gold), resamples=0)
    assert scores.scarce == ("f1",), "15 are enough; one class only is undefined, not scarce"


def test_reading_refuses_what_it_does_not_know():
    document = evaluate_answers(random_table(), resamples=0).to_dict()
    with pytest.raises(RunError, match="version 99"):
        Scores.from_dict({**document, "schema": 99})
    del document["pooled"]
    with pytest.raises(RunError, match="'pooled' is missing"):
        Scores.from_dict(document)


def test_wrong_policy_is_refused():
    with pytest.raises(InputError, match="no missing policy 'maybe'"):
        evaluate_answers(random_table(), policy="maybe")
