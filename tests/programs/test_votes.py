"""Votes: the majority of sampled answers; asked with one seed each, stored as one answer, saved with the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.lm import language_model
from balin.engines.protocol import ChatRequest, Completion, ModelIdentity, Telemetry
from balin.errors import InputError, ProgramError
from balin.programs.extractor import Extractor
from balin.programs.saving import load_program, save_program
from balin.programs.votes import Votes, count_votes
from balin.signatures.answers import MISSING, Answer, State
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")
FIRST = SET.ids[0]


class Sampling:
    """Says the first feature is there when the request's seed is odd."""

    identity = ModelIdentity("m", "sha256:" + "a" * 64, "embedded", "1", 4096)
    slots = 1

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def chat(self, request: ChatRequest) -> Completion:
        self.asked.append(request)
        said = "\n".join(f"{f.label['en']}: {f.id == FIRST and request.seed % 2 == 1}" for f in SET)
        return Completion(said, "stop", (), Telemetry(requests=1, generated_tokens=3))


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.none() | st.floats(0, 1)), min_size=1, max_size=9))
def test_the_majority_of_those_that_voted_decides_and_a_tie_is_false(
    cast: list[tuple[bool | None, float | None]],
) -> None:
    found = count_votes([{"pain": Answer.of(value, None if value is None else p)} for value, p in cast])["pain"]
    said = [(value, p) for value, p in cast if value is not None]
    if not said:
        assert found == MISSING
        return
    yes = sum(value for value, _ in said)
    assert found.value is (yes > len(said) - yes)
    assert found.p_true == pytest.approx(sum(float(v) if p is None else p for v, p in said) / len(said))


def test_each_vote_is_a_request_with_a_seed_of_its_own_and_the_cost_is_that_of_all() -> None:
    engine, program = Sampling(), Extractor(SET, name="x", format="lines")
    program.set_lm(language_model(engine))
    program.votes = Votes(3, 0.5)
    found = program(transcript="x")
    assert [(r.seed, r.temperature) for r in engine.asked] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert found.answers[FIRST] == Answer(State.TRUE, pytest.approx(2 / 3))
    assert found.telemetry.requests == 3
    program.votes = Votes(2, 0.5)
    assert program(transcript="x").answers[FIRST] == Answer(State.FALSE, 0.5)
    program.votes = Votes(3, 0.5)
    program.thresholds = {FIRST: 0.9}
    assert program(transcript="x").answers[FIRST].value is False


def test_votes_are_another_question_and_are_saved(tmp_path: Path) -> None:
    program = Extractor(SET, name="x", format="lines")
    greedy = program.asking_hash()
    program.votes = Votes(3)
    assert len({greedy, program.asking_hash()}) == 2
    program.thresholds = {FIRST: 0.5}
    save_program(program, tmp_path / "p.json")
    loaded = load_program(tmp_path / "p.json", SET)
    assert (loaded.votes, loaded.thresholds, loaded.hash()) == (program.votes, program.thresholds, program.hash())
    content = json.loads((tmp_path / "p.json").read_text())
    content["votes"]["n"] = 1
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(ProgramError, match="votes"):
        load_program(tmp_path / "p.json", SET)


def test_what_cannot_be_voted_on_is_refused() -> None:
    with pytest.raises(InputError, match="probe"):
        Extractor(SET, name="x", format="probe").votes = Votes(3)
    program = Extractor(SET, name="x", format="json")
    program.votes = Votes(3)
    with pytest.raises(InputError, match="probe"):
        program.set_format("probe")
    program.thresholds = {FIRST: 0.5}
    with pytest.raises(InputError, match="thresholds"):
        program.votes = None
    for n, temperature in ((1, 0.7), (3, 0.0), (3, float("nan")), (100, 0.7)):
        with pytest.raises(InputError, match="votes"):
            Votes(n, temperature)
