"""Thresholds decide what has a probability, and nothing else."""

from __future__ import annotations

import pytest

from balin.errors import InputError
from balin.programs.decisions import check_thresholds, decide
from balin.signatures.answers import ERROR, MISSING, Answer, State


def test_true_from_the_threshold_on():
    answers = {i: Answer.of(p >= 0.5, p) for i, p in (("a", 0.29), ("b", 0.3), ("c", 0.31), ("d", 0.9))}
    decided = decide(answers, {"a": 0.3, "b": 0.3, "c": 0.3, "d": 0.95})
    assert {i: a.value for i, a in decided.items()} == {"a": False, "b": True, "c": True, "d": False}
    assert {i: a.p_true for i, a in decided.items()} == {i: a.p_true for i, a in answers.items()}


@pytest.mark.parametrize(
    "answer",
    [MISSING, ERROR, Answer(State.MISSING, 0.9), Answer(State.ERROR, 0.9), Answer.of(True), Answer.of(False)],
    ids=str,
)
def test_other_answers_stay_what_they_are(answer):
    assert decide({"a": answer}, {"a": 0.001}) == decide({"a": answer}, {"a": 0.999}) == {"a": answer}


def test_a_feature_without_a_threshold_keeps_what_was_written():
    # A sampled or constrained `json` answer can differ from its probability.
    assert decide({"a": Answer.of(True, 0.2)}, {"b": 0.5})["a"].value is True
    assert decide({"a": Answer.of(True, 0.2)}, {"a": 0.5})["a"].value is False


def test_thresholds_are_floats_in_the_order_of_the_features():
    checked = check_thresholds({"b": 0.5, "a": 0.25}, ("a", "b", "c"))
    assert list(checked.items()) == [("a", 0.25), ("b", 0.5)]
    with pytest.raises(InputError, match="no d, e"):
        check_thresholds({"e": 0.5, "a": 0.25, "d": 0.5}, ("a", "b", "c"))
