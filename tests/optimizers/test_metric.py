"""The objectives are the report's numbers, and the surrogate's mean is the macro balanced accuracy exactly."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from balin.errors import CallError, InputError
from balin.eval.metrics import (
    ERROR,
    FALSE,
    MISSING,
    POLICIES,
    TRUE,
    AnswerRow,
    AnswerTable,
    feature_metrics,
)
from balin.optimizers.metric import Objective, Surrogate, gepa_metric, surrogate_metric, surrogate_scores
from balin.programs.pipeline import Extraction
from balin.signatures.answers import ERROR as ERROR_ANSWER
from balin.signatures.answers import MISSING as MISSING_ANSWER
from balin.signatures.answers import Answer
from balin.signatures.features import FeatureSet
from balin.signatures.private_dspy import dspy

ANSWERS = {TRUE: Answer.of(True), FALSE: Answer.of(False), MISSING: MISSING_ANSWER, ERROR: ERROR_ANSWER}


def make_table(gold: Any, state: Any, features: tuple[str, ...] = ()) -> AnswerTable:
    gold, state = np.asarray(gold, dtype=np.int8), np.asarray(state, dtype=np.int8)
    n, k = gold.shape
    ids = tuple(f"t{i}" for i in range(n))
    names = features or tuple(f"f{j}" for j in range(k))
    return AnswerTable(ids, (None,) * n, names, gold, state, np.full((n, k), np.nan))


@st.composite
def tables(draw: st.DrawFn, states: tuple[int, ...] = (FALSE, TRUE, MISSING)) -> AnswerTable:
    """Tables with at least one feature of both classes; in some, whole rows are errors."""
    n, k = draw(st.integers(2, 25)), draw(st.integers(1, 4))

    def cells(values: tuple[int, ...]) -> list[list[int]]:
        return draw(st.lists(st.lists(st.sampled_from(values), min_size=k, max_size=k), min_size=n, max_size=n))

    table = make_table(cells((-1, 0, 1)), cells(states))
    assume(np.isfinite(feature_metrics(table)["mcc"]).any())
    return table


def examples(table: AnswerTable) -> list[Any]:
    names = {1: True, 0: False, -1: None}
    return [
        dspy.Example(transcript="SECRET", **{f: names[int(g)] for f, g in zip(table.features, row, strict=True)})
        for row in table.gold
    ]


def predictions(table: AnswerTable) -> list[Any]:
    return [
        dspy.Prediction(answers={f: ANSWERS[int(s)] for f, s in zip(table.features, row, strict=True)}, raw="SECRET")
        for row in table.state
    ]


class TestTheObjective:
    table = make_table(
        [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, -1, 0]],
        [[1, 0, 1], [0, 0, 0], [0, 1, 1], [2, 3, 0], [0, 1, 0]],
    )

    @pytest.mark.parametrize("metric", ["mcc", "macro_f1"])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_it_is_the_mean_that_the_report_shows(self, metric, policy):
        found = Objective(metric, policy=policy).score(self.table)
        assert found.value == pytest.approx(feature_metrics(self.table, policy)[metric].mean())
        assert found.value == Objective(metric, policy=policy).mean(self.table)
        assert (found.missed, found.shortfall, found.undefined, found.n) == ({}, 0, (), 5)

    def test_a_floor_is_a_constraint_beside_the_value(self):
        plain = Objective().score(self.table)
        found = Objective(floors={"f0": 0.75, "f1": 0.5, "f2": 1.0}).score(self.table)
        assert found.value == plain.value
        assert found.missed == {"f0": 0.25, "f1": 0, "f2": 0}
        assert found.shortfall == 0.25

    def test_an_undefined_feature_is_left_out_and_named(self):
        table = make_table([[1, 0], [0, 0], [0, 0]], [[1, 1], [0, 0], [0, 0]])
        found = Objective().score(table)
        assert (found.value, found.undefined) == (1.0, ("f1",))
        with pytest.raises(InputError, match="floor of f1"):
            Objective(floors={"f0": 0.5, "f1": 0.5}).score(table)

    def test_where_nothing_is_defined_there_is_no_value(self):
        table = make_table([[0], [0]], [[0], [1]])
        assert np.isnan(Objective().mean(table))
        with pytest.raises(InputError, match="no feature"):
            Objective().score(table)

    def test_failed_calls_are_left_out_and_counted(self):
        failed = make_table([*self.table.gold, [1, 1, 1]], [*self.table.state, [3, 3, 3]])
        assert Objective().score(failed) == Objective().score(self.table)

    def test_wrong_settings_are_refused(self):
        for wrong in ({"metric": "auc"}, {"policy": "true"}, {"floors": {"f0": 0}}, {"floors": {"f0": 1.01}}):
            with pytest.raises(InputError):
                Objective(**wrong)
        with pytest.raises(InputError, match="f9"):
            Objective(floors={"f9": 0.5}).score(self.table)


class TestTheSurrogate:
    @given(tables(), st.sampled_from(POLICIES))
    def test_its_mean_is_the_macro_balanced_accuracy(self, table, policy):
        surrogate = Surrogate.of(table.features, table.gold)
        by_feature = feature_metrics(table, policy)["balanced_accuracy"]
        assert surrogate.left_out == tuple(f for f, b in zip(table.features, by_feature, strict=True) if np.isnan(b))
        means = surrogate.parts(table.gold, table.state, policy).mean(axis=0)
        np.testing.assert_allclose(means, np.nan_to_num(by_feature), atol=1e-12)
        scores = surrogate.scores(table.gold, table.state, policy)
        assert scores.mean() == pytest.approx(np.nanmean(by_feature), abs=1e-12)

    @given(tables((FALSE, TRUE, MISSING, ERROR)), st.sampled_from(POLICIES))
    def test_errors_are_left_out(self, table, policy):
        scores = surrogate_scores(table, policy)
        assert np.isnan(scores).tolist() == (~table.scored.any(axis=1)).tolist()
        found = feature_metrics(table, policy)["balanced_accuracy"]
        assert np.nanmean(scores) == pytest.approx(np.nanmean(found), abs=1e-12)

    @given(tables(), st.sampled_from(POLICIES))
    def test_dspys_metrics_give_the_same_numbers(self, table, policy):
        surrogate = Surrogate.of_examples(table.features, examples(table))
        np.testing.assert_array_equal(surrogate.worth, Surrogate.of(table.features, table.gold).worth)
        wanted = surrogate.scores(table.gold, table.state, policy).tolist()
        metric = surrogate_metric(surrogate, policy)
        pairs = list(zip(examples(table), predictions(table), strict=True))
        assert [metric(e, p) for e, p in pairs] == wanted
        assert [metric(e, p, trace=[]) for e, p in pairs] == wanted

    def test_by_hand(self):
        # One positive in four: it is worth 4/2, each negative 4/6; the second feature has one class.
        surrogate = Surrogate.of(("a", "b"), np.array([[1, 0], [0, 0], [0, 0], [0, 0]], dtype=np.int8))
        assert surrogate.left_out == ("b",)
        gold = np.array([[1, 0], [0, 0], [0, 0]], dtype=np.int8)
        state = np.array([[TRUE, TRUE], [FALSE, FALSE], [MISSING, FALSE]], dtype=np.int8)
        assert surrogate.scores(gold, state, "false") == pytest.approx([2, 2 / 3, 2 / 3])
        assert surrogate.scores(gold, state, "wrong") == pytest.approx([2, 2 / 3, 0])

    def test_one_class_everywhere_is_refused(self):
        with pytest.raises(InputError, match="no feature has both"):
            Surrogate.of(("a",), np.array([[1], [1], [-1]], dtype=np.int8))

    @pytest.mark.parametrize(
        "failed", [dspy.Prediction(), dspy.Prediction(answers={"f0": ERROR_ANSWER}), SimpleNamespace()], ids=repr
    )
    def test_a_failed_call_is_no_score(self, failed, feature_set):
        surrogate = Surrogate.of(("f0",), np.array([[1], [0]], dtype=np.int8))
        with pytest.raises(CallError, match="no score") as caught:
            surrogate_metric(surrogate)(dspy.Example(f0=True, transcript="SECRET"), failed)
        assert "SECRET" not in str(caught.value)
        with pytest.raises(CallError):
            gepa_metric(surrogate, feature_set, "en")(dspy.Example(f0=True), failed, None, None, None)

    def test_a_pipelines_prediction_is_read_too(self):
        surrogate = Surrogate.of(("f0",), np.array([[1], [0]], dtype=np.int8))
        made = dspy.Prediction(extraction=Extraction({"f0": Answer.of(True)}, None))
        assert surrogate_metric(surrogate)(dspy.Example(f0=True), made) == 1.0

    def test_dspys_evaluate_reports_its_mean(self):
        table = make_table([[1], [0], [0]], [[1], [0], [1]], ("pain",))
        given_ = [e.with_inputs("transcript") for e in examples(table)]
        replies = iter(predictions(table))
        metric = surrogate_metric(Surrogate.of_examples(table.features, given_))
        evaluate = dspy.Evaluate(devset=given_, metric=metric, num_threads=1, display_progress=False)
        assert evaluate(lambda transcript: next(replies)).score == pytest.approx(75.0)


class TestGepasMetric:
    @pytest.fixture
    def part(self, feature_set: FeatureSet) -> AnswerTable:
        """Three transcripts of all features; the last feature has no positive."""
        k = len(feature_set)
        gold = np.array([[1] * (k - 1) + [0], [0] * k, [0] * k], dtype=np.int8)
        state = gold.copy()
        state[0, :2], state[1, 2:4], state[2, 4] = (FALSE, MISSING), (TRUE, MISSING), TRUE
        return make_table(gold, state, feature_set.ids)

    @pytest.mark.parametrize("language", ["en", "fa"])
    def test_score_feedback_and_objectives(self, part, feature_set, language):
        surrogate = Surrogate.of(part.features, part.gold)
        metric = gepa_metric(surrogate, feature_set, language)
        inspect.signature(metric).bind(None, None, None, None, None)
        found = [metric(e, p, None, "predict", None) for e, p in zip(examples(part), predictions(part), strict=True)]
        assert [f.score for f in found] == surrogate.scores(part.gold, part.state).tolist()
        labels = [f.label[language] for f in feature_set]
        k = len(labels)
        assert found[0].feedback == (
            f"{k - 2} of {k} features are right. Answered absent, but this patient has it: {labels[0]}. "
            f"No readable answer, and this patient has it: {labels[1]}."
        )
        assert found[1].feedback == (
            f"{k - 2} of {k} features are right. Answered present, but this patient does not have it: {labels[2]}. "
            f"No readable answer, and this patient does not have it: {labels[3]}."
        )
        assert "SECRET" not in str(found)
        balanced = feature_metrics(part)["balanced_accuracy"]
        for j, feature in enumerate(part.features[:-1]):
            assert np.mean([f.objective_scores[feature] for f in found]) == pytest.approx(balanced[j])
        assert all(part.features[-1] not in f.objective_scores for f in found)

    def test_an_unlabelled_feature_is_neither_right_nor_wrong(self, part, feature_set):
        metric = gepa_metric(Surrogate.of(part.features, part.gold), feature_set, "en")
        first = part.features[0]
        example = dspy.Example(transcript="t", **{first: True})
        found = metric(example, predictions(part)[0], None, None, None)
        assert found.feedback.startswith("0 of 1 features")
        assert set(found.objective_scores.values()) == {0.0}


def test_rows_of_a_table_and_of_examples_agree():
    rows = [
        AnswerRow("a", None, {"f0": True}, {"f0": Answer.of(True)}),
        AnswerRow("b", None, {"f0": False}, {"f0": MISSING_ANSWER}),
    ]
    table = AnswerTable.from_rows(("f0",), rows)
    assert surrogate_scores(table).tolist() == [1.0, 1.0]
    assert surrogate_scores(table, "wrong").tolist() == [1.0, 0.0]
