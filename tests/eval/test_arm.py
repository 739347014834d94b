"""An arm at work: the order of work, what the model is shown, and what an interruption or a failure costs."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balin.data.persian import fingerprint
from balin.data.readers import read_dataset
from balin.data.store import Store
from balin.engines.opening import EngineSettings
from balin.engines.protocol import ModelIdentity
from balin.errors import (
    CallTimeout,
    EngineUnavailable,
    IncompleteAnswer,
    InputError,
    ModelChanged,
    ProgramError,
    PromptTooLong,
    RunError,
)
from balin.eval.answered import Answered
from balin.eval.arm import Arm, ArmSettings
from balin.eval.models import ModelRecord
from balin.programs.saving import save_program
from balin.signatures.answers import State

sys.path.append(str(Path(__file__).parent))
from calls import (  # type: ignore[import-not-found]
    SET,
    Call,
    WordEngine,
    demo_texts,
    some_calls,
    take,
    texts_asked,
    to_english,
    write_calls,
)

MODEL = "smollm2:135m"
FORMATS = ("lines", "json", "present", "probe")


@pytest.fixture
def engine(monkeypatch):
    made = WordEngine()
    take(monkeypatch, made)
    return made


def transcripts(tmp_path, calls):
    return list(read_dataset(write_calls(tmp_path / "calls.csv", calls), SET))


def arm(tmp_path, *, candidates=(), **settings_):
    out = tmp_path / "runs"
    out.mkdir(exist_ok=True)
    return Arm(
        settings=ArmSettings(**({"model": MODEL, "program": "study", "demos": 0} | settings_)),
        feature_set=SET,
        store=Store(out / "store"),
        engines=EngineSettings(choice="embedded"),
        models=ModelRecord(out / "models.json"),
        candidates=candidates,
    )


def answers_of(result):
    return [{i: a.state for i, a in e.answers.items()} for e in result.extractions]


def gold_of(calls):
    return [{i: State.TRUE if i in c.present else State.FALSE for i in SET.ids} for c in calls]


@pytest.mark.parametrize("route", ["direct", "translated"])
@pytest.mark.parametrize("answer_format", FORMATS)
def test_every_format_by_both_routes_reads_what_the_model_says(tmp_path, engine, route, answer_format):
    calls = some_calls(3)
    scored = transcripts(tmp_path, calls)
    result = arm(tmp_path, route=route, format=answer_format).run(scored)
    assert answers_of(result) == gold_of(calls)
    assert [t.id for t in result.transcripts] == ["c0", "c1", "c2"]
    assert result.extractor.format == answer_format
    table = Answered.of(result).table(SET)
    assert (table.gold == table.state).all()
    assert set(texts_asked(engine)) == {t.text if route == "direct" else to_english(t.text) for t in scored}


def test_all_translations_come_before_the_first_extraction_and_one_model_is_open_at_a_time(tmp_path, monkeypatch):
    translator = WordEngine(ModelIdentity("aya-expanse:8b", "sha256:" + "b" * 64, "embedded", "words 1", 4096))
    extractor = WordEngine()
    opened = take(monkeypatch, {"aya-expanse:8b": translator, MODEL: extractor})
    extractor.before = lambda number: None if translator.closed else pytest.fail("the translator was still open")
    scored = transcripts(tmp_path, some_calls(4))
    result = arm(tmp_path, route="translated", translator="aya-expanse:8b").run(scored)
    assert opened == ["aya-expanse:8b", MODEL]
    assert (translator.requests, translator.translations()) == (4, 4)
    assert (extractor.requests, extractor.translations()) == (4, 0)
    assert result.identity.name == MODEL
    assert result.translator[1].name == "aya-expanse:8b"
    assert (translator.closed, extractor.closed) == (1, 1)


def test_progress_is_told_for_both_phases(tmp_path, engine):
    told = []
    one = arm(tmp_path, route="translated")
    one.advance = lambda *step: told.append(step)
    one.run(transcripts(tmp_path, some_calls(2)))
    assert told == [(phase, done, 2) for phase in ("translate", "extract") for done in (0, 1, 2)]


def test_demos_are_shown_as_the_route_reads_texts(tmp_path, engine):
    scored = transcripts(tmp_path, some_calls(1))
    pool = transcripts(tmp_path / "pool", some_calls(3, 50))
    for route, english in (("direct", "model"), ("translated", "given"), ("translated", "model")):
        engine.asked.clear()
        folder = tmp_path / f"{route}-{english}"  # for here the model translates as the file's English has it
        folder.mkdir()
        result = arm(folder, route=route, english=english, demos=3, candidates=pool).run(scored)
        read = {
            ("direct", "model"): lambda t: t.text,
            ("translated", "given"): lambda t: t.english,
            ("translated", "model"): lambda t: to_english(t.text),
        }[route, english]
        assert demo_texts(engine) == {read(t) for t in pool}
        assert texts_asked(engine) == [read(scored[0])]
        assert sorted(d.id for d in result.demos) == ["c50", "c51", "c52"]
        assert result.dropped == 0


def test_a_demo_whose_translation_failed_is_left_out_and_counted(tmp_path, engine):
    pool = transcripts(tmp_path / "pool", some_calls(3, 50))

    def english(text):
        if text == pool[1].text:
            raise IncompleteAnswer("cut")
        return to_english(text)

    engine.english = english
    result = arm(tmp_path, route="translated", demos=3, candidates=pool).run(transcripts(tmp_path, some_calls(1)))
    assert sorted(d.id for d in result.demos) == ["c50", "c52"]
    assert result.dropped == 1
    assert len(result.extractor.predict.demos) == 2


labels = st.frozensets(st.sampled_from(SET.ids), max_size=2)
groups = st.none() | st.sampled_from(["p1", "p2", "p3"])
remarks = st.sampled_from(["", "a", "b"])


@st.composite
def call_lists(draw, begin, most):
    """Calls of which some share an id, a group or a text with those of another list."""
    found = {}
    for _ in range(draw(st.integers(1, most))):
        identifier = f"x{draw(st.integers(begin, begin + 6))}"
        found[identifier] = Call(identifier, draw(labels), draw(groups), remark=draw(remarks))
    return list(found.values())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call_lists(0, 5), call_lists(3, 6), st.integers(0, 3), st.integers(0, 5), st.sampled_from([None, "x3", "same"]))
def test_no_demo_shares_id_group_or_text_with_what_is_scored(
    tmp_path_factory, monkeypatch, scored, pool, count, seed, twin
):
    engine = WordEngine()
    take(monkeypatch, engine)
    folder = tmp_path_factory.mktemp("arm")
    left = transcripts(folder, scored)
    right = transcripts(folder / "pool", pool)
    if twin == "same":
        # The same call under another id, typed with Arabic letters.
        right.append(replace(left[0], id="twin", text=left[0].text.replace("ی", "ي"), group=None))
    one = arm(folder, demos=count, seed=seed, candidates=right)
    try:
        result = one.run(left)
    except InputError:
        assert engine.requests == 0
        return
    assert len(result.demos) == count
    assert len(result.transcripts) + result.held_out == len(left)
    used = [*result.demos]
    for transcript in result.transcripts:
        assert transcript.id not in {d.id for d in used}
        assert transcript.group is None or transcript.group not in {d.group for d in used}
        assert fingerprint(transcript.text) not in {fingerprint(d.text) for d in used}
    assert {fingerprint(t) for t in texts_asked(engine)}.isdisjoint({fingerprint(t) for t in demo_texts(engine)})


def test_the_seed_draws_the_demos_and_nothing_else_does(tmp_path, engine):
    scored, pool = transcripts(tmp_path, some_calls(1)), transcripts(tmp_path / "pool", some_calls(12, 50))
    drawn = [
        [d.id for d in arm(tmp_path, demos=3, seed=seed, candidates=order).run(scored).demos]
        for seed, order in ((0, pool), (0, pool[::-1]), (1, pool))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_scoring_the_pool_itself_leaves_the_demos_unscored(tmp_path, engine):
    pool = transcripts(tmp_path, some_calls(4))
    result = arm(tmp_path, demos=1, candidates=pool).run(pool)
    assert (result.held_out, len(result.transcripts)) == (1, 3)
    with pytest.raises(InputError, match="nothing is left to score"):
        arm(tmp_path, demos=4, candidates=pool).run(pool)


def test_too_few_labelled_demos(tmp_path, engine):
    with pytest.raises(InputError, match=r"3 demos were asked for and the data have no pool"):
        arm(tmp_path, demos=None).run(transcripts(tmp_path, some_calls(2)))
    assert engine.requests == 0


def test_given_english_needs_english(tmp_path, engine):
    without = [Call(f"n{i}", english=False) for i in range(2)]
    one = arm(tmp_path, route="translated", english="given")
    with pytest.raises(InputError, match="--english given needs an English text"):
        one.run(transcripts(tmp_path, without))
    result = one.run(transcripts(tmp_path, [*without, *some_calls(1)]))
    assert [e.failure for e in result.extractions] == ["no_english_text", "no_english_text", None]
    assert set(answers_of(result)[0].values()) == {State.ERROR}
    assert result.translator is None
    assert engine.translations() == 0


@pytest.mark.parametrize("error", [PromptTooLong(5000, 4096), IncompleteAnswer("cut"), CallTimeout("slow")])
def test_a_failed_call_is_an_error_and_is_asked_again_next_time(tmp_path, engine, error):
    def second_fails(number):
        if number == 2:
            raise error

    engine.before = second_fails
    scored = transcripts(tmp_path, some_calls(3))
    result = arm(tmp_path).run(scored)
    assert [e.failure for e in result.extractions] == [None, error.kind, None]
    assert set(answers_of(result)[1].values()) == {State.ERROR}
    assert result.extractions[1].telemetry.requests == 0
    result = arm(tmp_path).run(scored)
    assert [e.failure for e in result.extractions] == [None, None, None]
    assert [e.stored for e in result.extractions] == [True, False, True]
    assert texts_asked(engine)[3:] == [scored[1].text]


def test_a_failed_translation_makes_errors_of_the_answers(tmp_path, engine):
    scored = transcripts(tmp_path, some_calls(2))

    def english(text):
        if text == scored[0].text:
            raise CallTimeout("slow")
        return to_english(text)

    engine.english = english
    result = arm(tmp_path, route="translated").run(scored)
    assert [e.failure for e in result.extractions] == ["timeout", None]
    assert texts_asked(engine) == [to_english(scored[1].text)]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), EngineUnavailable("gone")])
@pytest.mark.parametrize("at", range(1, 7))
def test_stopped_at_any_request_it_goes_on_from_there(tmp_path, monkeypatch, stop, at):
    engine = WordEngine()
    take(monkeypatch, engine)

    def stops(number):
        if number == at:
            raise stop

    engine.before = stops
    calls = some_calls(3)
    scored = transcripts(tmp_path, calls)
    with pytest.raises(type(stop)):
        arm(tmp_path, route="translated").run(scored)
    assert engine.closed == (1 if at <= 3 else 2)
    result = arm(tmp_path, route="translated").run(scored)
    assert answers_of(result) == gold_of(calls)
    # Three translations, three extractions, and the one request that brought nothing.
    assert engine.requests == 7
    assert engine.translations() == (4 if at <= 3 else 3)


def test_everything_stored_is_asked_for_no_more(tmp_path, engine):
    scored = transcripts(tmp_path, some_calls(3))
    first = arm(tmp_path, route="translated").run(scored)
    asked = engine.requests
    second = arm(tmp_path, route="translated").run(scored)
    assert engine.requests == asked
    assert answers_of(second) == answers_of(first)
    assert [e.telemetry for e in second.extractions] == [e.telemetry for e in first.extractions]
    assert [e.seconds for e in second.extractions] == [e.seconds for e in first.extractions]
    assert [e.translation.seconds for e in second.extractions] == [e.translation.seconds for e in first.extractions]
    assert all(e.stored and e.translation.stored for e in second.extractions)
    assert not any(e.stored for e in first.extractions)


CHANGES = {
    "digest": {"digest": "sha256:" + "c" * 64},
    "context": {"num_ctx": 2048},
    "version": {"engine_version": "words 2"},
    "engine": {"engine": "ollama"},
    "name": {"name": "another"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_model_context_or_version_is_asked_anew(tmp_path, engine, change):
    scored = transcripts(tmp_path, some_calls(2))
    arm(tmp_path).run(scored)
    engine.identity = replace(engine.identity, **CHANGES[change])
    one = arm(tmp_path)
    one.models = ModelRecord(tmp_path / "runs" / "models.json", accept_change=True)
    one.run(scored)
    assert engine.requests == 4


def test_another_question_is_asked_anew(tmp_path, engine):
    scored, pool = transcripts(tmp_path, some_calls(1)), transcripts(tmp_path / "pool", some_calls(6, 50))
    variants = [
        {},
        {"format": "json"},
        {"route": "translated", "english": "given"},
        {"demos": 2},
        {"demos": 2, "seed": 1},
        {"program": "zero-shot"},
        {"language": "fa"},
    ]
    for count, variant in enumerate(variants, start=1):
        engine.deaf = ()
        arm(tmp_path, candidates=pool, **variant).run(scored)
        assert len(texts_asked(engine)) >= count, variant
    assert Store(tmp_path / "runs" / "store").count("predictions") == len(variants)


def test_a_changed_digest_is_refused_and_nothing_is_asked(tmp_path, engine):
    scored = transcripts(tmp_path, some_calls(2))
    arm(tmp_path).run(scored[:1])
    engine.identity = replace(engine.identity, digest="sha256:" + "c" * 64)
    with pytest.raises(ModelChanged, match="--accept-model-change"):
        arm(tmp_path).run(scored)
    assert (engine.requests, engine.closed) == (1, 2)
    for accept in (True, False):
        one = arm(tmp_path)
        one.models = ModelRecord(tmp_path / "runs" / "models.json", accept_change=accept)
        assert len(one.run(scored).transcripts) == 2
    assert engine.requests == 3


def test_the_record_of_models_tells_engines_apart_and_refuses_what_it_cannot_read(tmp_path):
    record = ModelRecord(tmp_path / "models.json")
    one = ModelIdentity("m", "sha256:" + "a" * 64, "ollama", "1", 4096)
    record.check(one)
    record.check(replace(one, engine="embedded", digest="sha256:" + "b" * 64))
    record.check(replace(one, num_ctx=2048, engine_version="2"))
    with pytest.raises(ModelChanged, match="m has changed"):
        record.check(replace(one, digest="sha256:" + "c" * 64))
    for content in (b"{", b"[]", b"3", b"\xff"):
        (tmp_path / "models.json").write_bytes(content)
        with pytest.raises(RunError, match=r"models\.json"):
            record.check(one)


def test_several_slots_give_the_same_answers_and_are_all_used(tmp_path, monkeypatch):
    calls = some_calls(9)
    scored = transcripts(tmp_path, calls)
    engine = WordEngine(slots=3)
    take(monkeypatch, engine)
    gate, running, most = threading.Lock(), [0], [0]

    def slowly(number):
        with gate:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with gate:
            running[0] -= 1

    engine.before = slowly
    result = arm(tmp_path, route="translated", format="json").run(scored)
    assert answers_of(result) == gold_of(calls)
    assert engine.requests == 18
    assert 1 < most[0] <= 3
    assert arm(tmp_path, route="translated", format="json").run(scored).extractions[8].stored


def test_with_several_slots_an_outage_keeps_what_was_answered(tmp_path, monkeypatch):
    scored = transcripts(tmp_path, some_calls(9))
    engine = WordEngine(slots=3)
    take(monkeypatch, engine)

    def breaks(number):
        if number == 5:
            raise EngineUnavailable("gone")

    engine.before = breaks
    with pytest.raises(EngineUnavailable):
        arm(tmp_path).run(scored)
    stored = Store(tmp_path / "runs" / "store").count("predictions")
    assert stored >= 4
    engine.before, before = (lambda _: None), engine.requests
    arm(tmp_path).run(scored)
    assert engine.requests - before == 9 - stored


def program(tmp_path, engine, **settings_):
    """A program file whose one demo is the call c50, and the engine as if it had not been asked."""
    pool = transcripts(tmp_path / "pool", some_calls(1, 50))
    made = arm(tmp_path / "elsewhere", demos=1, candidates=pool, **settings_)
    result = made.run(transcripts(tmp_path / "elsewhere", some_calls(1, 70)))
    save_program(result.extractor, tmp_path / "program.json")
    engine.asked.clear()
    return str(tmp_path / "program.json"), pool[0]


def test_a_program_file_asks_the_same_prompts(tmp_path, engine):
    (tmp_path / "elsewhere").mkdir()
    pool = transcripts(tmp_path / "pool", some_calls(2, 50))
    scored = transcripts(tmp_path, some_calls(2))
    for answer_format in FORMATS:
        engine.asked.clear()
        first = arm(tmp_path, demos=2, candidates=pool, format=answer_format).run(scored)
        before = list(engine.asked)
        path = tmp_path / f"{answer_format}.json"
        save_program(first.extractor, path)
        engine.asked.clear()
        # Elsewhere, for here the answers are stored.
        second = arm(tmp_path / "elsewhere", demos=None, program=str(path)).run(scored)
        assert engine.asked == before
        assert second.extractor.hash() == first.extractor.hash()
        assert answers_of(second) == answers_of(first)
        asked = engine.requests
        arm(tmp_path, demos=None, program=str(path)).run(scored)
        assert engine.requests == asked


@pytest.mark.parametrize(("route", "english"), [("direct", "model"), ("translated", "given"), ("translated", "model")])
def test_a_program_file_is_not_scored_on_its_own_demos(tmp_path, engine, route, english):
    (tmp_path / "elsewhere").mkdir()
    path, demo = program(tmp_path, engine, route=route, english=english)
    scored = transcripts(tmp_path, some_calls(2))
    one = arm(tmp_path, program=path, demos=None, route=route, english=english)
    assert len(one.run(scored).transcripts) == 2
    with pytest.raises(InputError, match=r"its demos hold the text of 1 transcripts to be scored \(again\)"):
        one.run([*scored, replace(demo, id="again")])
    assert not any(demo.text in text for text in texts_asked(engine))


def test_a_program_file_that_is_not_there(tmp_path, engine):
    with pytest.raises(ProgramError, match="no program"):
        arm(tmp_path, program=str(tmp_path / "none.json"), demos=None).run(transcripts(tmp_path, some_calls(1)))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"translator": "aya-expanse:8b"}, "--translator goes with --route translated"),
        ({"english": "given"}, "--english given goes with --route translated"),
        ({"route": "translated", "english": "given", "translator": "m"}, "contradict each other"),
        ({"program": "zero-shot", "demos": 2}, "zero-shot takes no demos"),
        ({"program": "file.json", "demos": 2}, "--demos goes with a built-in program"),
        ({"program": "file.json", "language": "fa"}, "--language goes with a built-in program"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(settings_, message):
    with pytest.raises(InputError, match=message):
        ArmSettings(MODEL, **settings_).check()


def test_translations_are_shared_by_all_programs_and_formats(tmp_path, engine):
    scored = transcripts(tmp_path, some_calls(2))
    for answer_format in FORMATS:
        arm(tmp_path, route="translated", format=answer_format).run(scored)
    assert engine.translations() == 2
