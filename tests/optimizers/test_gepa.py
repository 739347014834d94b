"""GEPA: it learns from the pool, refuses what is no instruction, and takes no outage for a bad score."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from test_strategies import IDS, SET, Writer, answered, pool, setting  # type: ignore[import-not-found]

from balin.data.transcripts import Transcript
from balin.engines.protocol import ChatRequest, Completion, Telemetry
from balin.errors import BalinError, CallTimeout, EngineUnavailable
from balin.optimizers.room import Rates, Room
from balin.optimizers.strategies import STRATEGIES
from balin.optimizers.strategies.gepa import feedback
from balin.optimizers.strategies.proposed import Proposed
from balin.programs.extractor import Extractor
from balin.programs.pipeline import Extraction
from balin.signatures.answers import ERROR, MISSING, Answer

GOOD = "Look closely at every note before you decide."
BETTER = "Look closely at every note, twice, before you decide."


class Reflector(Writer):  # type: ignore[misc]
    """Writes these instructions in turn, as they are."""

    def chat(self, request: ChatRequest) -> Completion:
        text = self.texts[len(self.asked) % len(self.texts)]
        self.asked.append(request)
        if isinstance(text, BalinError):
            raise text
        return Completion(text, "stop")


class Model:
    """Is wrong about pain and cough, about pain alone if it is to look closely, and about nothing if twice."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, program: Extractor, transcripts: Sequence[Transcript]) -> list[Extraction]:
        told = program.predict.signature.instructions
        wrong = [] if "twice" in told else ["pain"] if "closely" in told else ["pain", "cough"]
        self.asked += [t.id for t in transcripts]
        return [answered(t, wrong) for t in transcripts]


def ground(*texts: Any, answers: Any = None, **fields: Any) -> Any:
    calls = fields.pop("gepa_calls", 150)
    made = setting(pool(24), answers=answers or Model(), **fields)
    return replace(made, reflector=Reflector(*(texts or (GOOD, BETTER))), gepa_calls=calls)


def instructions(made: Any) -> list[str]:
    return [c.program.predict.signature.instructions for c in made]


def test_the_best_instructions_come_first_each_with_and_without_demos(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    base = ground(candidates=3)
    with caplog.at_level(logging.DEBUG):
        made = list(STRATEGIES["gepa"](base))
    assert instructions(made)[:2] == [BETTER, BETTER]
    assert [len(c.demos) for c in made[:2]] == [4, 0]
    assert len(made) == 3
    assert all(c.strategy == c.program.name == "gepa" for c in made)
    assert capsys.readouterr() == ("", "")
    assert not any(t.text in caplog.text for t in pool())


def test_the_same_seed_goes_the_same_way_and_zero_is_a_seed() -> None:
    """So that a search goes on from the store with what it had found."""
    runs = []
    for seed in (0, 0, 1):
        base = ground(seed=seed)
        list(STRATEGIES["gepa"](base))
        runs.append(
            ([r.messages for r in base.reflector.asked], [r.seed for r in base.reflector.asked], base.answers.asked)
        )
    assert runs[0] == runs[1]
    assert runs[0][2] != runs[2][2]
    assert runs[0][1][0] == 1


@pytest.mark.parametrize("calls", [20, 60, 150])
def test_it_asks_about_no_more_transcripts_than_it_may(calls: int) -> None:
    model = Model()
    base = ground(answers=model, gepa_calls=calls)
    list(STRATEGIES["gepa"](base))
    assert 0 < len(model.asked) <= calls
    assert set(model.asked) <= {t.id for t in pool(24)}


def test_progress_counts_the_transcripts_up_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, int, int]] = []
    model = Model()

    def advance(*step: Any) -> None:
        told.append(step)
        print(".", end="")
        print("!", end="", file=sys.stderr)

    base = replace(ground(answers=model), advance=advance)
    list(STRATEGIES["gepa"](base))
    # What DSPy says is kept from the user, and what tells of the progress is not.
    assert capsys.readouterr() == ("." * len(told), "!" * len(told))
    assert [done for _, done, _ in told[:-1]] == list(range(1, len(model.asked) + 1))
    assert {(phase, of) for phase, _, of in told[:-1]} == {("gepa", 150)}
    assert told[-1] == ("gepa", len(model.asked), len(model.asked))


def test_the_reflecting_model_reads_what_was_wrong_and_how() -> None:
    base = ground()
    list(STRATEGIES["gepa"](base))
    (message,) = base.reflector.asked[0].messages
    assert "Pain: " in message.content
    assert "Has pain." in message.content
    assert "false alarm" in message.content
    assert any(t.text in message.content for t in pool())


@pytest.mark.parametrize("definitions", [True, False])
def test_the_reflecting_model_is_told_what_the_prompt_holds_besides(definitions: bool) -> None:
    base = ground()
    build = partial(Extractor, SET, name="few-shot", definitions=definitions)
    list(STRATEGIES["gepa"](replace(base, build=build)))
    (message,) = base.reflector.asked[0].messages
    assert ("what they mean are given" in message.content) is definitions


def test_feedback_names_the_kind_of_mistake() -> None:
    answers = {"pain": Answer.of(True), "fever": Answer.of(False), "cough": MISSING, "fatigue": Answer.of(False)}
    gold = {"pain": False, "fever": True, "cough": True, "fatigue": False}
    assert feedback(gold, answers, SET, "en").split("; ") == [
        "Pain: false alarm, the patient does not have it (Has pain.)",
        "Fever: overlooked, the patient has it (Has fever.)",
        "Cough: no readable answer, the patient has it (Has cough.)",
    ]
    right = {i: Answer.of(v) for i, v in gold.items()}
    assert feedback(gold, right, SET, "en") == "nothing, every feature is right"


def test_where_nothing_proposed_is_better_there_is_no_candidate() -> None:
    assert list(STRATEGIES["gepa"](ground("Do whatever you like with the notes."))) == []


@pytest.mark.parametrize(
    "junk",
    ["", "   ", '{"pain": true, "fever": false}', '[{"instruction": "x"}, ', "Pain: True\nFever: False\nCough: No",
     pool()[3].text, f"Always remember this one: {pool()[3].text}", "closely", "Look closely. " * 400],
    ids=range(9),
)  # fmt: skip
def test_junk_is_refused_and_asked_for_anew(junk: str) -> None:
    room = Room(6_000, Rates(1.0, 1.0), "x" * 100)
    base = ground(junk, room=room)
    assert list(STRATEGIES["gepa"](base)) == []
    assert len({r.seed for r in base.reflector.asked}) == len(base.reflector.asked) >= 3


def test_an_outage_stops_the_work() -> None:
    def gone(program: Extractor, transcripts: Sequence[Transcript]) -> list[Extraction]:
        raise EngineUnavailable("no server")

    with pytest.raises(EngineUnavailable, match="no server"):
        list(STRATEGIES["gepa"](ground(answers=gone)))
    with pytest.raises(EngineUnavailable, match="no writer"):
        list(STRATEGIES["gepa"](ground(EngineUnavailable("no writer"))))


def test_calls_that_fail_neither_help_nor_harm() -> None:
    failing = {t.id for t in pool(24)[::3]}

    class Shaky(Model):
        def __call__(self, program: Extractor, transcripts: Sequence[Transcript]) -> list[Extraction]:
            found = super().__call__(program, transcripts)
            lost = Extraction(dict.fromkeys(IDS, ERROR), Telemetry(), failure="timeout")
            told = program.predict.signature.instructions
            return [
                lost if t.id in failing and "closely" in told else e for t, e in zip(transcripts, found, strict=True)
            ]

    assert BETTER in instructions(STRATEGIES["gepa"](ground(answers=Shaky())))


def test_a_reflecting_model_that_fails_is_no_instruction() -> None:
    base = ground(CallTimeout("slow"))
    assert list(STRATEGIES["gepa"](base)) == []
    # Again with fewer notes, in case the prompt was too long.
    sizes = [len(r.messages[0].content) for r in base.reflector.asked[:3]]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


# What can be used of a proposal


def test_what_stands_around_instructions_is_taken_off() -> None:
    judge = Proposed([], [])
    for written in (
        f"```text\n{GOOD}\n```",
        f"Here it is:\n```\n{GOOD}\n```\nGood luck!",
        f'"{GOOD}"',
        f"<instructions>{GOOD}</instructions>",
    ):
        assert judge.usable(written) == GOOD


def test_a_quotation_is_recognised_whatever_its_form() -> None:
    text = "بیمار از دیشب تب شدید دارد و نمی‌خوابد."
    judge = Proposed([text, "Her son Reza called."], ["Say whether the patient has a fever or a cough today."])
    assert judge.quotes("Beware: بيمار از ديشب تب شديد دارد.")
    assert judge.quotes("As in: HER SON, Reza called!")
    assert not judge.quotes("Say whether the patient has a fever or not.")
    assert not Proposed(["Say whether the patient has a fever."], ["Say whether the patient has a fever."]).quotes(
        "Say whether the patient has a fever."
    )


@given(st.text(), st.lists(st.text(), max_size=3))
def test_nothing_a_model_writes_stops_the_judge_and_no_quotation_passes(written: str, texts: list[str]) -> None:
    judge = Proposed(texts, [])
    found = judge.usable(written)
    assert found is None or not judge.quotes(found)
