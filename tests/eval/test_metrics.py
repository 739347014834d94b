"""Metrics, held to scikit-learn's definitions."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from balin.errors import DataError, InputError
from balin.eval.metrics import (
    COUNT_METRICS,
    ERROR,
    FALSE,
    METRICS,
    MISSING,
    POLICIES,
    TRUE,
    AnswerRow,
    AnswerTable,
    auc,
    counts,
    feature_metrics,
    over_features,
    rates,
    tally,
    under,
)
from balin.signatures.answers import ERROR as ERROR_ANSWER
from balin.signatures.answers import MISSING as MISSING_ANSWER
from balin.signatures.answers import Answer


def make_table(gold, state, p_true=None, groups=None):
    gold, state = np.asarray(gold, dtype=np.int8), np.asarray(state, dtype=np.int8)
    n, k = gold.shape
    p_true = np.full((n, k), np.nan) if p_true is None else np.asarray(p_true, dtype=float)
    ids = tuple(f"t{i}" for i in range(n))
    return AnswerTable(ids, groups or (None,) * n, tuple(f"f{j}" for j in range(k)), gold, state, p_true)


@st.composite
def tables(draw, min_rows=1, states=(FALSE, TRUE, MISSING, ERROR), golds=(-1, 0, 1)):
    n, k = draw(st.integers(min_rows, 30)), draw(st.integers(1, 3))

    def cells(values):
        return draw(st.lists(st.lists(st.sampled_from(values), min_size=k, max_size=k), min_size=n, max_size=n))

    # Tenths, so that ties are common.
    return make_table(cells(golds), cells(states), cells([np.nan, *(i / 10 for i in range(11))]))


def scikit_learn(truth, predicted):
    """Every count metric of one feature with both gold classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "macro_f1": sk.f1_score(truth, predicted, average="macro", zero_division=0),
            "mcc": sk.matthews_corrcoef(truth, predicted),
            "sensitivity": sk.recall_score(truth, predicted),
            "specificity": sk.recall_score(truth, predicted, pos_label=0),
            "precision": sk.precision_score(truth, predicted, zero_division=0),
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
            "positive_f1": sk.f1_score(truth, predicted, zero_division=0),
            "prediction_ratio": predicted.sum() / truth.sum(),
        }


def decided(table, policy, j):
    """Gold labels and 0/1 predictions of one feature's scored rows, written out plainly."""
    truth, predicted = [], []
    for gold, state in zip(table.gold[:, j], table.state[:, j], strict=True):
        if gold == -1 or state == ERROR:
            continue
        truth.append(int(gold))
        predicted.append(int(state) if state != MISSING else 0 if policy == "false" else 1 - int(gold))
    return np.array(truth, dtype=int), np.array(predicted, dtype=int)


@given(tables(), st.sampled_from(POLICIES))
def test_equal_to_scikit_learn(table, policy):
    found = feature_metrics(table, policy)
    confusion = counts(table, policy=policy)
    for j in range(len(table.features)):
        truth, predicted = decided(table, policy, j)
        tn, fp, fn, tp = sk.confusion_matrix(truth, predicted, labels=[0, 1]).ravel() if len(truth) else (0, 0, 0, 0)
        assert confusion[j].tolist() == [tp, fp, fn, tn]
        if len(set(truth)) == 2:
            for name, value in scikit_learn(truth, predicted).items():
                assert found[name][j] == pytest.approx(value, abs=1e-12), name
        else:
            assert all(np.isnan(found[name][j]) for name in COUNT_METRICS)


@given(tables(min_rows=4))
def test_auc_equal_to_scikit_learn(table):
    found = auc(table)
    for j in range(len(table.features)):
        rows = (table.gold[:, j] >= 0) & (table.state[:, j] != ERROR) & ~np.isnan(table.p_true[:, j])
        truth, p_true = table.gold[rows, j], table.p_true[rows, j]
        if len(set(truth.tolist())) == 2:
            assert found[j] == pytest.approx(sk.roc_auc_score(truth, p_true), abs=1e-12)
        else:
            assert np.isnan(found[j])


@given(tables(min_rows=2), st.data())
def test_weights_are_repeated_rows(table, data):
    n = len(table.ids)
    weights = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=4)))
    by_weight, area = tally(table, weights.astype(float)), auc(table, weights.astype(float))
    for b, times in enumerate(weights):
        rows = np.repeat(np.arange(n), times)
        repeated = make_table(table.gold[rows], table.state[rows], table.p_true[rows])
        assert by_weight[b].tolist() == tally(repeated).tolist()
        np.testing.assert_allclose(area[b], auc(repeated), atol=1e-12)


@pytest.mark.parametrize(("said", "precision"), [(TRUE, 0.25), (FALSE, 0.0)])
def test_one_predicted_class_is_defined(said, precision):
    table = make_table([[1], [0], [0], [0]], [[said]] * 4)
    found = feature_metrics(table)
    assert found["mcc"][0] == 0
    assert found["precision"][0] == precision
    assert found["balanced_accuracy"][0] == 0.5
    assert not any(np.isnan(found[name][0]) for name in COUNT_METRICS)


@pytest.mark.parametrize("gold", [0, 1])
def test_one_gold_class_is_undefined(gold):
    table = make_table([[gold], [gold], [1 - gold]], [[TRUE], [FALSE], [ERROR]], [[0.9], [0.1], [0.5]])
    found = feature_metrics(table)
    assert set(found) == set(METRICS)
    assert all(np.isnan(values[0]) for values in found.values())


def test_missing_policies():
    table = make_table([[1], [1], [0], [0]], [[TRUE], [MISSING], [MISSING], [FALSE]])
    assert counts(table)[0].tolist() == [1, 0, 1, 2]
    assert counts(table, policy="wrong")[0].tolist() == [1, 1, 1, 1]
    with pytest.raises(InputError, match="no missing policy 'true'"):
        under("true", tally(table))


@given(tables())
def test_wrong_is_never_better_than_false(table):
    as_false, as_wrong = feature_metrics(table, "false"), feature_metrics(table, "wrong")
    for name in ("accuracy", "sensitivity", "specificity", "balanced_accuracy"):
        assert (np.nan_to_num(as_wrong[name]) <= np.nan_to_num(as_false[name]) + 1e-12).all()


@given(tables())
def test_errors_and_unlabelled_cells_do_not_count(table):
    seen = table.scored
    other = make_table(
        np.where(seen, table.gold, -1), np.where(seen, table.state, ERROR), np.where(seen, table.p_true, 0.5)
    )
    for name, values in feature_metrics(table).items():
        np.testing.assert_array_equal(values, feature_metrics(other)[name])


def test_rates_have_the_shape_of_the_counts():
    confusion = np.ones((5, 3, 4))
    assert {values.shape for values in rates(confusion).values()} == {(5, 3)}
    assert rates(confusion)["mcc"].tolist() == np.zeros((5, 3)).tolist()


def test_mcc_of_large_counts():
    # The product of the four margins is far beyond 64-bit whole numbers.
    million = rates(np.array([900_000, 100_000, 100_000, 9_900_000]))["mcc"]
    assert million == pytest.approx(0.89)


def test_over_features_leaves_undefined_out():
    mean, median = over_features(np.array([[0.2, np.nan, 0.4, 0.9], [np.nan] * 4]))
    assert mean[0] == pytest.approx(0.5)
    assert median[0] == pytest.approx(0.4)
    assert np.isnan(mean[1])
    assert np.isnan(median[1])


def test_from_rows():
    rows = [
        AnswerRow("a", "p1", {"pain": True, "fever": None}, {"pain": Answer.of(True, 0.9), "fever": Answer.of(False)}),
        AnswerRow("b", None, {"pain": 0, "fever": float("nan")}, {"pain": MISSING_ANSWER, "fever": ERROR_ANSWER}),
        AnswerRow("c", None, {"pain": bool(np.bool_(True))}, {"pain": Answer.of(False), "fever": Answer.of(True)}),
    ]
    table = AnswerTable.from_rows(("pain", "fever"), rows)
    assert table.ids == ("a", "b", "c")
    assert table.groups == ("p1", None, None)
    assert table.gold.tolist() == [[1, -1], [0, -1], [1, -1]]
    assert table.state.tolist() == [[TRUE, FALSE], [MISSING, ERROR], [FALSE, TRUE]]
    assert table.p_true[0, 0] == 0.9
    assert np.isnan(table.p_true).sum() == 5


def test_from_rows_names_what_is_wrong():
    whole = {"pain": Answer.of(True)}
    with pytest.raises(DataError, match="'a' has no answer for feature 'pain'"):
        AnswerTable.from_rows(("pain",), [AnswerRow("a", None, {}, {})])
    with pytest.raises(DataError, match="'a': the label of 'pain' is neither"):
        AnswerTable.from_rows(("pain",), [AnswerRow("a", None, {"pain": 0.5}, whole)])
    with pytest.raises(DataError, match="id 'a' is there twice"):
        AnswerTable.from_rows(("pain",), [AnswerRow("a", None, {}, whole)] * 2)
    with pytest.raises(DataError, match="between 0 and 1"):
        AnswerTable.from_rows(("pain",), [AnswerRow("a", None, {}, {"pain": Answer.of(True, 1.5)})])


@pytest.mark.parametrize(
    ("gold", "state", "p_true", "message"),
    [
        ([[2]], [[0]], [[0.5]], "gold labels must be"),
        ([[1]], [[4]], [[0.5]], "states must be"),
        ([[1]], [[1]], [[-0.1]], "between 0 and 1"),
        ([[1, 0]], [[1]], [[0.5]], "state has shape"),
    ],
)
def test_table_refuses_wrong_arrays(gold, state, p_true, message):
    with pytest.raises(DataError, match=message):
        make_table(gold, state, p_true)


def test_import_is_light():
    heavy = ["dspy", "litellm", "ollama", "optuna", "rich", "pandas", "sklearn", "scipy"]
    code = f"import sys, balin.eval.evaluation, balin.eval.tables; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
