"""Strategies: what they choose, from what, and what they never do."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.engines.lm import language_model
from balin.engines.protocol import ChatRequest, Completion, ModelIdentity, Telemetry
from balin.errors import BalinError, CallTimeout, EngineUnavailable, InputError
from balin.optimizers.room import Rates, Room
from balin.optimizers.strategies import BASELINES, STRATEGIES, Setting, eligible
from balin.optimizers.strategies.coverage import cover, covered
from balin.optimizers.strategies.passing import passing, with_quotas
from balin.programs.builtin import BUILT_IN
from balin.programs.extractor import Extractor
from balin.programs.pipeline import Extraction
from balin.signatures.answers import ERROR, Answer, State
from balin.signatures.features import Feature, FeatureSet
from balin.signatures.wording import INPUT

IDS = ("pain", "fever", "cough", "fatigue")
SET = FeatureSet(
    "four",
    "Four",
    "en",
    {"en": "a note"},
    {},
    {},
    tuple(Feature(i, (), {"en": i.title()}, {"en": i.title()}, {"en": f"Has {i}."}) for i in IDS),
)


def note(number: int, present: Sequence[str] = (), denied: Sequence[str] = (), **fields: Any) -> Transcript:
    """A note that names what it has and what it denies."""
    text = (
        f"Note {number}. She has {' and '.join(present) or 'nothing'}; she denies {' and '.join(denied) or 'nothing'}."
    )
    return Transcript(**({"id": f"n{number:03d}", "text": text, "labels": {i: i in present for i in IDS}} | fields))


def pool(count: int = 24) -> tuple[Transcript, ...]:
    """Notes of which each has up to two features; fever is rare."""
    return tuple(
        note(n, [i for k, i in enumerate(IDS) if (n + k) % (9 if i == "fever" else 4) == 0], [IDS[(n + 2) % 4]])
        for n in range(count)
    )


def answered(transcript: Transcript, wrong: Sequence[str] = ()) -> Extraction:
    """The gold labels but for some."""
    values = {i: bool(transcript.labels[i]) is not (i in wrong) for i in IDS}
    return Extraction({i: Answer.of(v, None) for i, v in values.items()}, Telemetry())


class Writer:
    """Proposes an instruction, another one at each request; what it is asked is kept."""

    slots = 1
    identity = ModelIdentity("writer", "sha256:0", "scripted", "1", 4096)

    def __init__(self, *texts: str | BalinError) -> None:
        self.texts = texts or tuple(f"Look closely, time {n}." for n in range(9))
        self.asked: list[ChatRequest] = []
        self.outage: EngineUnavailable | None = None

    def chat(self, request: ChatRequest) -> Completion:
        text = self.texts[len(self.asked) % len(self.texts)]
        self.asked.append(request)
        if isinstance(text, BalinError):
            self.outage = text if isinstance(text, EngineUnavailable) else None
            raise text
        return Completion(f"[[ ## proposed_instruction ## ]]\n{text}\n\n[[ ## completed ## ]]", "stop")

    def lm(self, seed: int) -> Any:
        return language_model(self, temperature=1.0, seed=seed, num_retries=0)


Answers = Callable[[Extractor, Sequence[Transcript]], list[Extraction]]


def setting(
    notes: Sequence[Transcript] | None = None,
    *,
    answers: Answers | None = None,
    score: Callable[[Extractor, str], float | None] | None = None,
    proposer: Any = None,
    room: Room | None = None,
    demos: int = 4,
    candidates: int = 3,
    seed: int = 0,
) -> Setting:
    """A ground of four features; a model that is always right unless `answers` says otherwise."""
    chosen = tuple(pool() if notes is None else notes)
    return Setting(
        build=lambda: BUILT_IN["few-shot"].build(SET, "en"),
        study=lambda: BUILT_IN["study"].build(SET, "en"),
        pool=chosen,
        texts={t.id: t.text for t in chosen},
        answers=answers or (lambda program, asked: [answered(t) for t in asked]),
        score=score or (lambda program, phase: len(program.predict.demos) / 10),
        proposer=proposer or Writer(),
        room=room or Room(100_000, Rates(1.0, 1.0), "x" * 100),
        demos=demos,
        candidates=candidates,
        seed=seed,
    )


def chosen(name: str, ground: Setting) -> list[list[str]]:
    return [[t.id for t in c.demos] for c in STRATEGIES[name](ground)]


# One has an index in place of demos, the other makes no candidate for a model that is always right; they have files of their own.
FIXED = [name for name in STRATEGIES if name not in ("nearest", "gepa")]


@pytest.mark.parametrize("name", FIXED)
def test_every_strategy_repeats_itself_and_shows_gold_labels(name: str) -> None:
    ground = setting()
    made = list(STRATEGIES[name](ground))
    assert chosen(name, ground) == [[t.id for t in c.demos] for c in made]
    assert 1 <= len(made) <= ground.candidates
    for candidate in made:
        assert candidate.strategy == candidate.program.name == name
        assert len({t.id for t in candidate.demos}) == len(candidate.demos) <= ground.demos
        assert [d[INPUT] for d in candidate.program.predict.demos] == [t.text for t in candidate.demos]
        for demo, transcript in zip(candidate.program.predict.demos, candidate.demos, strict=True):
            assert {i: demo[i] for i in IDS} == transcript.labels
        assert candidate.positives() == {i: sum(bool(t.labels[i]) for t in candidate.demos) for i in IDS}
        assert not any(t.text in candidate.description for t in ground.pool)


@pytest.mark.parametrize("name", ["random", "labeled", "bootstrap", "random-search", "coverage", "study"])
def test_the_seed_decides_and_zero_is_a_seed(name: str) -> None:
    draws = [chosen(name, setting(seed=seed, candidates=1))[0] for seed in (0, 1, 2, 3)]
    assert len({tuple(d) for d in draws}) > 1
    # Candidate i of seed s is drawn like the first of seed s + i, except where the first is a plain one.
    if name in ("random", "labeled"):
        assert chosen(name, setting(seed=0, candidates=4)) == draws


@pytest.mark.parametrize("name", [name for name in FIXED if name != "mipro"])
def test_a_pool_smaller_than_the_demos_is_used_whole(name: str) -> None:
    small = [note(1, ["pain", "fever"]), note(2, ["cough", "fatigue"])]
    for demos in chosen(name, setting(small, demos=6)):
        assert set(demos) == (set() if name == "zero-shot" else {"n001", "n002"})


def test_zero_shot_has_no_demos_and_the_study_its_own_protocol() -> None:
    assert BASELINES == ("zero-shot", "study")
    (zero,) = STRATEGIES["zero-shot"](setting())
    (study,) = STRATEGIES["study"](setting(demos=7))
    assert (len(zero.demos), zero.program.format) == (0, "probe")
    assert (len(study.demos), study.program.format, study.program.adapter.definitions) == (3, "lines", False)


def test_demos_that_the_context_has_no_room_for_are_left_out() -> None:
    program = BUILT_IN["few-shot"].build(SET, "en")
    roomy = Room(100_000, Rates(1.0, 1.0), "x" * 100)
    needed = 100_000 - roomy.left(program)
    one = next(iter(STRATEGIES["random"](setting(demos=1)))).program
    cost = roomy.tokens(one, "") - roomy.tokens(program, "")
    tight = Room(int(needed + 2.5 * cost), Rates(1.0, 1.0), "x" * 100)
    for candidate in STRATEGIES["random"](setting(room=tight)):
        assert len(candidate.demos) == 2
        assert "2 demos left out" in candidate.description
        assert tight.left(candidate.program) >= 0
    none = Room(10, Rates(1.0, 1.0), "x" * 100)
    assert all(c.demos == () for c in STRATEGIES["coverage"](setting(room=none)))


# Which transcripts may become demos


def test_what_cannot_be_a_demo_is_left_out_with_the_reason() -> None:
    good = note(1, ["pain"])
    candidates = [
        good,
        note(2, labels={**good.labels, "fever": None}),
        note(3, group="patient"),
        note(4, text="THE SAME   text!"),
        note(5),
        note(6),
        note(7, text=good.text),
        note(8, ["cough"]),
    ]
    scored = [note(90, group="patient"), note(91, text="the same text"), note(6, text="other")]
    texts = {t.id: t.text for t in [*scored, *candidates]}
    del texts["n005"]
    texts["n008"] = texts["n090"]  # two calls whose translations are the same
    found = eligible(candidates, scored, texts, SET)
    assert [t.id for t in found.pool] == ["n001"]
    assert found.left_out == {
        "a label is blank": 1,
        "shares id, group or text with a scored transcript": 4,
        "no text on this route": 1,
        "the same text as another of the pool": 1,
    }
    assert found.without_positive == ("fever", "cough", "fatigue")


def test_an_empty_pool_is_an_error_that_says_why() -> None:
    with pytest.raises(InputError, match="the pool is empty"):
        eligible([], [], {}, SET)
    with pytest.raises(InputError, match=r"a label is blank: 1.*label the pool"):
        eligible([note(1, labels={"pain": True})], [], {"n001": "x"}, SET)


# Bootstrapping: a filter


def test_a_transcript_passes_with_all_but_one_right_and_its_demo_has_the_gold_labels() -> None:
    notes = pool(8)
    wrong = {"n000": ["pain"], "n001": ["pain", "fever"], "n002": list(IDS)}
    ground = setting(notes, answers=lambda _, asked: [answered(t, wrong.get(t.id, ())) for t in asked], demos=8)
    assert {t.id for t in passing(ground)} == {t.id for t in notes} - {"n001", "n002"}
    (candidate, *_) = STRATEGIES["bootstrap"](ground)
    (demo,) = [d for d in candidate.program.predict.demos if d[INPUT] == notes[0].text]
    assert demo["pain"] is notes[0].labels["pain"]


def test_a_missing_answer_is_not_right() -> None:
    def answers(_: Extractor, asked: Sequence[Transcript]) -> list[Extraction]:
        blank = dict.fromkeys(("pain", "fever"), Answer(State.MISSING))
        return [Extraction({**answered(t).answers, **blank}, Telemetry()) for t in asked]

    assert passing(setting(answers=answers)) == []


def test_failed_calls_neither_pass_nor_stop_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    """DSPy's own path gives up after ten errors and forgets the teacher's demos."""

    def answers(_: Extractor, asked: Sequence[Transcript]) -> list[Extraction]:
        failed = Extraction(dict.fromkeys(IDS, ERROR), Telemetry(), failure="timeout")
        return [failed if t.id < "n015" else answered(t) for t in asked]

    assert {t.id for t in passing(setting(answers=answers))} == {f"n{n:03d}" for n in range(15, 24)}
    assert capsys.readouterr() == ("", "")


def test_bootstrap_asks_the_pool_once_and_without_demos() -> None:
    asked: list[tuple[int, int]] = []

    def answers(program: Extractor, transcripts: Sequence[Transcript]) -> list[Extraction]:
        asked.append((len(program.predict.demos), len(transcripts)))
        return [answered(t) for t in transcripts]

    assert len(list(STRATEGIES["bootstrap"](setting(answers=answers)))) == 3
    assert asked == [(0, 24)]
    asked.clear()
    list(STRATEGIES["bootstrap"](setting(pool(200), answers=answers)))
    assert asked == [(0, 48)]


def test_of_a_large_pool_the_rare_features_are_looked_at() -> None:
    notes = [note(n, ["fever"] if n in (150, 170) else ["pain"] if n % 2 else []) for n in range(200)]
    assert {"n150", "n170"} <= {t.id for t in passing(setting(notes))}


def test_where_nothing_passes_there_is_no_bootstrapped_candidate() -> None:
    def answers(_: Extractor, asked: Sequence[Transcript]) -> list[Extraction]:
        return [answered(t, IDS) for t in asked]

    assert chosen("bootstrap", setting(answers=answers)) == []
    assert [len(demos) for demos in chosen("random-search", setting(answers=answers))] == [4, 4, 4]


labels = st.lists(st.sets(st.sampled_from(IDS)), max_size=12)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(labels, st.integers(0, 8), st.integers(0, 99))
def test_quotas_show_each_feature_where_there_is_a_place(present: list[set[str]], count: int, seed: int) -> None:
    notes = [note(n, sorted(p)) for n, p in enumerate(present)]
    taken = with_quotas(notes, count, IDS, random.Random(seed))
    assert len({t.id for t in taken}) == len(taken) == min(count, len(notes))
    assert taken == with_quotas(notes, count, IDS, random.Random(seed))
    there = set().union(*present) if present else set()
    if count >= len(there):
        assert {i for i in IDS if any(t.labels[i] for t in taken)} == there


def test_quotas_do_not_take_the_positives_only() -> None:
    notes = [note(n, ["pain"] if n < 10 else []) for n in range(30)]
    taken = with_quotas(notes, 6, IDS, random.Random(0))
    assert sum(bool(t.labels["pain"]) for t in taken) == 2


# Coverage


def test_a_hard_negative_speaks_of_the_feature_without_having_it() -> None:
    notes = [note(n, ["fever"]) for n in range(4)] + [note(n) for n in range(4, 10)] + [note(10, (), ["fever"])]
    shows = covered(notes, {t.id: t.text for t in notes}, IDS)
    assert {i for i, units in shows.items() if ("fever", False) in units} == {"n010"}
    assert {i for i, units in shows.items() if ("fever", True) in units} == {f"n{n:03d}" for n in range(4)}
    # A feature that nobody has can have neither.
    assert not any(feature == "pain" for units in shows.values() for feature, _ in units)


def test_coverage_takes_a_positive_and_a_hard_negative_of_every_feature() -> None:
    notes = [note(n, [], ["nothing"]) for n in range(30)]
    notes += [note(40 + k, [i], [IDS[(k + 1) % 4]]) for k, i in enumerate(IDS)]
    notes += [note(50 + k, [i]) for k, i in enumerate(IDS)]
    (candidate, *_) = STRATEGIES["coverage"](setting(notes, demos=4))
    assert {t.id for t in candidate.demos} == {"n040", "n041", "n042", "n043"}
    assert "cover 8 of 8" in candidate.description


@settings(derandomize=True, deadline=None, max_examples=100)
@given(labels, st.integers(0, 14), st.integers(0, 99), st.sampled_from([0.0, 0.3]))
def test_a_cover_leaves_nothing_out_that_there_is_room_for(
    present: list[set[str]], count: int, seed: int, shaken: float
) -> None:
    notes = [note(n, sorted(p)) for n, p in enumerate(present)]
    shows = {t.id: {(i, bool(t.labels[i])) for i in IDS if t.labels[i]} for t in notes}
    taken = cover(notes, shows, count, random.Random(seed), shaken)
    assert len({t.id for t in taken}) == len(taken) == min(count, len(notes))
    units = set().union(*shows.values()) if shows else set()
    if count >= len(units):
        assert set().union(*(shows[t.id] for t in taken)) == units


def test_texts_without_words_do_not_stop_coverage() -> None:
    notes = [note(1, ["pain"], text="؟"), note(2, text="!"), note(3, text="…")]
    assert len(chosen("coverage", setting(notes))[0]) == 3


# MIPROv2


def test_mipro_searches_instructions_and_demos_by_the_score_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    scored: list[tuple[str, int]] = []

    def score(program: Extractor, phase: str) -> float:
        scored.append((program.predict.signature.instructions, len(program.predict.demos)))
        return float("closely" in program.predict.signature.instructions)

    writer = Writer()
    made = list(STRATEGIES["mipro"](setting(candidates=12, score=score, proposer=writer)))
    own = setting().build().predict.signature.instructions
    assert scored[0] == (own, 0)
    assert len(scored) == 13
    assert {instructions for instructions, _ in scored[1:]} > {own}
    asked = {(c.program.predict.signature.instructions, len(c.demos)) for c in made}
    assert asked == set(scored) - {(own, 0)}
    assert {c.program.name for c in made} == {"mipro"}
    assert capsys.readouterr() == ("", "")


def test_mipro_shows_no_transcript_to_the_writer() -> None:
    writer = Writer()
    list(STRATEGIES["mipro"](setting(proposer=writer)))
    told = " ".join(m.content for request in writer.asked for m in request.messages)
    assert writer.asked
    assert not [t.id for t in pool() if t.text in told]


def test_mipro_with_another_seed_is_another_search_also_with_zero() -> None:
    def programs(seed: int) -> list[str]:
        return [c.program.hash() for c in STRATEGIES["mipro"](setting(seed=seed, candidates=6))]

    assert programs(0) == programs(0)
    assert programs(0) != programs(9)


def test_where_the_writer_writes_nonsense_mipro_searches_the_demos() -> None:
    made = list(STRATEGIES["mipro"](setting(candidates=8, proposer=Writer(CallTimeout("slow")))))
    own = setting().build().predict.signature.instructions
    assert made
    assert {c.program.predict.signature.instructions for c in made} == {own}


def test_an_outage_stops_mipro_and_is_no_score() -> None:
    with pytest.raises(EngineUnavailable, match="gone"):
        list(STRATEGIES["mipro"](setting(proposer=Writer(EngineUnavailable("gone")))))

    def score(program: Extractor, phase: str) -> float:
        if program.predict.demos:
            raise EngineUnavailable("died")
        return 0.5

    with pytest.raises(EngineUnavailable, match="died"):
        list(STRATEGIES["mipro"](setting(candidates=8, score=score)))


def test_a_program_without_a_score_does_not_stop_mipro() -> None:
    def score(program: Extractor, phase: str) -> float | None:
        return None if program.predict.demos else 0.5

    assert list(STRATEGIES["mipro"](setting(candidates=6, score=score)))
