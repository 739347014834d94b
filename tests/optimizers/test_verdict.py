"""What is said of the best program, and the scores it is said from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.engines.protocol import Telemetry
from balin.errors import CheckFailed
from balin.optimizers.metric import Objective
from balin.optimizers.strategies import Candidate
from balin.optimizers.thresholds import ThresholdFit
from balin.optimizers.trial import Cost, Scored, Trial, without_errors
from balin.optimizers.verdict import difference, judge, trials_table
from balin.programs.builtin import BUILT_IN
from balin.programs.pipeline import Extraction
from balin.signatures.answers import ERROR, Answer
from balin.signatures.features import Feature, FeatureSet

SET = FeatureSet(
    "two",
    "Two",
    "en",
    {"en": "a note"},
    {},
    {},
    tuple(Feature(i, (), {"en": i}, {"en": i}, {"en": f"Has {i}."}) for i in ("pain", "fever")),
)
NOTES = [Transcript(f"n{n}", "–", labels={"pain": n % 2 == 0, "fever": n % 3 == 0}) for n in range(60)]


def said(transcript: Transcript, right: bool, **fields: Any) -> Extraction:
    answers = {i: Answer.of(bool(label) is right, None) for i, label in transcript.labels.items()}
    cost = Telemetry(requests=2, prompt_tokens=10, generated_tokens=3)
    return Extraction(answers, cost, **({"seconds": 0.5} | fields))


def failed() -> Extraction:
    return Extraction(dict.fromkeys(SET.ids, ERROR), Telemetry(), failure="timeout", detail="no answer in 3 s")


def trial(strategy: str, answers: Sequence[Extraction], notes: Sequence[Transcript] = NOTES) -> Trial:
    scored = Scored.of(notes, answers, "mcc")
    candidate = Candidate(strategy, "made up", BUILT_IN["zero-shot"].build(SET, "en"))
    return Trial(candidate, scored, scored)


def rightly(share: float, strategy: str = "coverage") -> Trial:
    return trial(strategy, [said(t, n >= (1 - share) * len(NOTES)) for n, t in enumerate(NOTES)])


def test_a_share_of_failures_has_no_score_and_few_are_left_out() -> None:
    answers = [said(t, True) for t in NOTES]
    one = trial("coverage", [failed(), *answers[1:]])
    assert (one.first.value, one.first.failures, one.first.detail) == (1.0, {"timeout": 1}, "no answer in 3 s")
    assert trial("coverage", [failed(), failed(), *answers[2:]]).first.value is None


def test_cost_is_that_of_the_answers_wherever_they_came_from() -> None:
    found = Cost.of([said(NOTES[0], True), said(NOTES[1], True, stored=True), failed()])
    assert found == Cost(answers=2, calls=4, prompt_tokens=20, generated_tokens=6, seconds=1.0)


def test_the_best_is_told_with_its_difference_to_each_baseline() -> None:
    finalists = [rightly(0.6, "zero-shot"), rightly(0.9, "study"), rightly(1.0)]
    verdict = judge(finalists, Objective("mcc"))
    assert verdict.best is finalists[2]
    assert list(verdict.against) == ["zero-shot", "study"]
    sure = verdict.against["zero-shot"]
    assert sure.proven
    assert 0 < cast(float, sure.low) < sure.value < cast(float, sure.high)
    text = " ".join(verdict.sentences("mcc", 9))
    assert "The best of 9 programs is coverage" in text
    assert "Against zero-shot: +" in text
    assert "No strategy beats" not in text


def test_a_difference_that_chance_could_give_is_said_to_be_one() -> None:
    verdict = judge([rightly(0.98, "zero-shot"), rightly(1.0)], Objective("mcc"))
    assert verdict.best.candidate.strategy == "coverage"
    assert not verdict.against["zero-shot"].proven
    assert "not more than chance could give" in " ".join(verdict.sentences("mcc", 2))


def test_a_tie_is_the_baselines_and_said_so() -> None:
    verdict = judge([rightly(0.9, "zero-shot"), rightly(0.8, "study"), rightly(0.9)], Objective("macro_f1"))
    assert verdict.best.candidate.strategy == "zero-shot"
    assert any("No strategy beats zero-shot and study." in s for s in verdict.sentences("macro_f1", 3))
    assert list(verdict.against) == ["study"]


def test_a_baseline_without_a_score_is_not_compared_with() -> None:
    dead = trial("study", [failed() for _ in NOTES])
    assert list(judge([rightly(0.5, "zero-shot"), dead, rightly(1.0)], Objective("mcc")).against) == ["zero-shot"]
    with pytest.raises(CheckFailed, match="no answer in 3 s"):
        judge([dead], Objective("mcc"))


def test_where_dev_has_one_class_only_the_reason_is_given() -> None:
    notes = [Transcript(f"n{n}", "–", labels=dict.fromkeys(SET.ids, False)) for n in range(5)]
    with pytest.raises(CheckFailed, match="no feature has both"):
        judge([trial("zero-shot", [said(t, True) for t in notes], notes)], Objective("mcc"))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(["right", "wrong"]), min_size=60, max_size=60), st.integers(0, 59))
def test_differences_are_opposite_and_leave_out_what_failed(answers: list[str], gone: int) -> None:
    one = trial("random", [said(t, a == "right") for t, a in zip(NOTES, answers, strict=True)])
    other = trial("study", [failed() if n == gone else said(t, True) for n, t in enumerate(NOTES)])
    there, back = difference(one, other, "mcc"), difference(other, one, "mcc")
    assert there.value == pytest.approx(-back.value)
    assert there.low is not None
    assert there.low == pytest.approx(-cast(float, back.high))
    mine, theirs = without_errors(one.first.table, other.first.table)
    assert mine.ids == theirs.ids == tuple(t.id for n, t in enumerate(NOTES) if n != gone)


def test_a_program_differs_from_itself_by_nothing() -> None:
    same = rightly(0.7)
    found = difference(same, same, "mcc")
    assert (found.value, found.low, found.high, found.proven) == (0.0, 0.0, 0.0, False)


def test_the_table_has_the_best_first_and_those_without_a_score_last() -> None:
    early = rightly(1.0, "random")
    early.whole = None  # good on the first transcripts, not among the finalists
    trials = [rightly(0.5, "zero-shot"), trial("study", [failed() for _ in NOTES]), early, rightly(0.9)]
    grid = trials_table("Tried", trials, "mcc")
    assert [row[0] for row in grid.rows] == ["coverage", "zero-shot", "random", "study"]
    assert grid.rows[0][6:] == ("120", "0.50", "10", "3")
    assert grid.rows[3][3:6] == ("–", "–", "60")


def test_a_program_that_misses_a_floor_less_is_preferred_to_a_better_score() -> None:
    def finds(pain: bool, fever: bool, strategy: str) -> Trial:
        def answer(note: Transcript) -> Extraction:
            told = {i: Answer.of(bool(note.labels[i]) and found) for i, found in (("pain", pain), ("fever", fever))}
            return Extraction(told, Telemetry(requests=1))

        return trial(strategy, [answer(t) for t in NOTES])

    pain, fever = finds(True, False, "coverage"), finds(False, True, "bootstrap")
    assert judge([pain, fever], Objective("mcc")).best is pain, "the first of equals"
    assert judge([pain, fever], Objective("mcc", {"fever": 0.9})).best is fever
    assert judge([pain, fever], Objective("mcc", {"pain": 0.9, "fever": 0.1})).best is pain


def test_thresholds_on_a_baseline_are_no_baseline() -> None:
    plain = rightly(0.8, "zero-shot")
    tuned = replace(rightly(0.9, "zero-shot"), fit=ThresholdFit({"pain": 0.2}, {"fever": "too few"}, plain.first.table))
    verdict = judge([plain, rightly(0.7, "study"), tuned], Objective("mcc"))
    assert verdict.best is tuned
    assert list(verdict.against) == ["zero-shot", "study"]
    said = " ".join(verdict.sentences("mcc", 3))
    assert "No strategy beats" not in said
    assert "out of fold" in said
    assert tuned.to_dict()["thresholds"] == {"pain": 0.2}
    assert tuned.to_dict()["without_threshold"] == {"fever": "too few"}
