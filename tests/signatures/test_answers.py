"""The four states of an answer: none of them is silently another."""

from __future__ import annotations

import dataclasses

import pytest

from balin.signatures.answers import ERROR, MISSING, Answer, State


@pytest.mark.parametrize(
    ("value", "state"), [(True, State.TRUE), (False, State.FALSE), (None, State.MISSING)], ids=["true", "false", "none"]
)
def test_an_answer_of_a_value_gives_the_value_back(value, state):
    answer = Answer.of(value, 0.25)
    assert answer.state is state
    assert answer.value is value
    assert answer.p_true == 0.25


def test_missing_and_error_are_two_states_and_neither_is_false():
    assert MISSING.state is State.MISSING
    assert ERROR.state is State.ERROR
    assert MISSING != ERROR
    assert MISSING.value is None
    assert ERROR.value is None
    assert Answer.of(None) == MISSING
    assert Answer.of(False) not in (MISSING, ERROR)


def test_a_probability_is_optional():
    assert Answer.of(True).p_true is None
    assert Answer(State.FALSE) == Answer.of(False)


def test_states_are_stored_by_name():
    assert [s.value for s in State] == ["true", "false", "missing", "error"]
    assert State("missing") is State.MISSING
    with pytest.raises(ValueError, match="maybe"):
        State("maybe")


def test_an_answer_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Answer.of(True).state = State.FALSE  # type: ignore[misc]
