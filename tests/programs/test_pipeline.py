"""Both routes over the store: nothing is asked twice, an error is not an answer, and a key holds all that an answer depends on."""

from __future__ import annotations

import json

import pytest

from balin.data.store import Store
from balin.data.transcripts import Transcript
from balin.engines.protocol import Telemetry
from balin.errors import (
    CallError,
    CallTimeout,
    EmptyAnswer,
    EngineUnavailable,
    IncompleteAnswer,
    InputError,
    PromptTooLong,
)
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS
from balin.programs.pipeline import Pipeline, answer_key
from balin.programs.saving import load_program, save_program
from balin.programs.translator import Translator
from balin.signatures.answers import State
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")
LABELS = {i: n % 2 == 0 for n, i in enumerate(SET.ids)}
CALL = Transcript(
    "c1", "بیمار ۲ روز است که درد دارد و نمی‌خوابد.", "The patient has had pain for 2 days and cannot sleep."
)
TRANSLATION = "The patient has been in pain for 2 days and does not sleep."
FAILURES = [
    PromptTooLong(600, 512),
    IncompleteAnswer("cut"),
    EmptyAnswer("nothing"),
    CallTimeout("late"),
    CallError("no"),
]


def written(request) -> str:
    return "\n".join(f"{f.label['en']}: {LABELS[f.id]}" for f in SET)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def direct(scripted, store):
    """A pipeline of the direct route with its engine."""

    def make(reply=written, name="lines", **identity):
        engine = scripted(reply, **identity)
        extractor = Extractor(SET, name="x", format=name)
        extractor.set_lm(engine.lm())
        return Pipeline(extractor, store=store), engine

    return make


@pytest.fixture
def translated(scripted, store):
    """A pipeline of the translated route with the engines of both steps."""

    def make(translate=lambda _: TRANSLATION, reply=written, **identity):
        first, second = scripted(translate, name="translator", **identity), scripted(reply)
        translator, extractor = Translator(SET), Extractor(SET, name="x", format="lines")
        translator.set_lm(first.lm())
        extractor.set_lm(second.lm())
        return Pipeline(extractor, store=store, translator=translator, route="translated"), first, second

    return make


class TestTheDirectRoute:
    def test_the_source_text_is_read(self, direct):
        pipeline, engine = direct()
        found = pipeline(transcript=CALL).extraction
        assert CALL.text in engine.requests[0].messages[-1].content
        assert CALL.english not in str(engine.requests[0])
        assert tuple(found.answers) == SET.ids
        assert {i: a.value for i, a in found.answers.items()} == LABELS
        assert (found.failure, found.stored, found.translation) == (None, False, None)
        assert found.seconds > 0
        assert found.telemetry.requests == 1

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_a_stored_answer_costs_no_call_and_is_the_same(self, direct, name):
        pipeline, engine = direct(
            lambda r: written(r) if not r.schema else json.dumps(LABELS) if "properties" in r.schema else '["pain"]',
            name,
        )
        first = pipeline.extract(CALL, None)
        asked = engine.calls
        assert asked > 0
        assert pipeline.is_stored(CALL)
        second = pipeline.extract(CALL, None)
        assert engine.calls == asked
        assert (first.stored, second.stored) == (False, True)
        for field in ("answers", "telemetry", "seconds", "failure"):
            assert getattr(second, field) == getattr(first, field)
        assert list(second.answers) == list(first.answers) == list(SET.ids)

    def test_another_process_finds_it_too(self, direct, store):
        pipeline, _ = direct()
        first = pipeline.extract(CALL, None)
        again, engine = direct(lambda _: CallError("not to be asked"))
        again.store = Store(store.folder)
        assert again.is_stored(CALL)
        assert again.extract(CALL, None).answers == first.answers
        assert engine.calls == 0

    def test_the_same_text_under_another_id_is_the_same_question(self, direct):
        pipeline, engine = direct()
        pipeline.extract(CALL, None)
        assert pipeline.extract(Transcript("other", CALL.text), None).stored
        assert not pipeline.extract(Transcript("c1", CALL.text + "!"), None).stored
        assert engine.calls == 2

    def test_missing_answers_are_answers_and_are_stored(self, direct):
        pipeline, engine = direct(lambda _: "Pain: True\nFever: unknown")
        first = pipeline.extract(CALL, None)
        assert (first.answers["pain"].state, first.answers["fever"].state) == (State.TRUE, State.MISSING)
        assert pipeline.extract(CALL, None).answers == first.answers
        assert engine.calls == 1


class TestThresholds:
    @pytest.fixture
    def probing(self, direct):
        """A pipeline that asks by probes, with its engine and the P(true) of every answer."""
        pipeline, engine = direct(name="probe")
        p_true = pipeline.extractor.ask("another text").answers["pain"].p_true
        assert 0 < p_true < 0.5
        return pipeline, engine, p_true

    def test_stored_and_fresh_answers_are_decided_alike_and_as_a_bare_call_is(self, probing):
        pipeline, _, p_true = probing
        pipeline.extractor.thresholds = {"pain": p_true, "fever": p_true + 0.01}
        fresh, kept = pipeline.extract(CALL, None), pipeline.extract(CALL, None)
        assert (fresh.stored, kept.stored) == (False, True)
        assert fresh.answers == kept.answers == pipeline.extractor(transcript=CALL.text).answers
        assert {i for i, a in fresh.answers.items() if a.state is State.TRUE} == {"pain"}

    def test_a_new_threshold_asks_nothing_and_the_store_keeps_what_was_said(self, probing):
        pipeline, engine, p_true = probing
        pipeline.extractor.thresholds = {"pain": p_true}
        key = answer_key(pipeline.extractor, CALL.text)
        pipeline.extract(CALL, None)
        asked = engine.calls
        assert pipeline.store.get("predictions", key)["answers"]["pain"] == ["false", p_true]
        for thresholds, state in (({"pain": 0.9}, State.FALSE), ({"pain": 0.01}, State.TRUE), ({}, State.FALSE)):
            pipeline.extractor.thresholds = thresholds
            assert answer_key(pipeline.extractor, CALL.text) == key
            assert pipeline.is_stored(CALL)
            found = pipeline.extract(CALL, None)
            assert found.stored
            assert (found.answers["pain"].state, found.answers["pain"].p_true) == (state, p_true)
        assert engine.calls == asked

    def test_missing_and_error_stay_what_they_are(self, probing):
        pipeline, engine, _ = probing
        pipeline.extractor.thresholds = dict.fromkeys(SET.ids, 0.001)
        engine.next_token = lambda _: CallTimeout("late")
        assert {a.state for a in pipeline.extract(CALL, None).answers.values()} == {State.ERROR}
        engine.next_token = lambda _: ((" Perhaps", -0.1),)
        for _ in range(2):
            assert {a.state for a in pipeline.extract(CALL, None).answers.values()} == {State.MISSING}


class TestFailures:
    @pytest.mark.parametrize("error", FAILURES, ids=lambda e: e.kind)
    def test_a_failed_call_is_an_error_in_every_answer_and_is_asked_again(self, direct, store, error):
        replies = [error, error, written(None)]
        pipeline, engine = direct(lambda _: replies.pop(0))
        for asked in (1, 2):
            found = pipeline.extract(CALL, None)
            assert {a.state for a in found.answers.values()} == {State.ERROR}
            assert tuple(found.answers) == SET.ids
            assert (found.failure, found.stored) == (error.kind, False)
            assert found.telemetry == Telemetry()
            assert not pipeline.is_stored(CALL)
            assert engine.calls == asked
        assert store.count("predictions") == 0
        assert pipeline.extract(CALL, None).failure is None
        assert pipeline.is_stored(CALL)

    def test_one_failed_probe_fails_the_transcript_and_nothing_is_stored(self, direct, store):
        pipeline, engine = direct(name="probe")
        engine.next_token = lambda _: CallTimeout("late") if len(engine.reads) == 5 else ((" True", -0.1),)
        found = pipeline.extract(CALL, None)
        assert {a.state for a in found.answers.values()} == {State.ERROR}
        assert len(engine.reads) == 5
        assert store.count("predictions") == 0

    def test_an_engine_that_is_gone_stops_the_work(self, direct, store):
        pipeline, _ = direct(lambda _: EngineUnavailable("gone"))
        with pytest.raises(EngineUnavailable):
            pipeline.extract(CALL, None)
        assert store.count("predictions") == 0


class TestTheTranslatedRoute:
    def test_the_models_translation_is_read_and_not_the_files_english(self, translated, store):
        pipeline, first, second = translated()
        found = pipeline(transcript=CALL).extraction
        assert first.requests[0].messages[-1].content == CALL.text
        assert TRANSLATION in second.requests[0].messages[-1].content
        assert CALL.text not in str(second.requests[0])
        assert CALL.english not in str((first.requests, second.requests))
        assert found.translation.text == TRANSLATION
        assert found.translation.warnings == ()
        assert (found.stored, found.translation.stored) == (False, False)
        assert (store.count("translations"), store.count("predictions")) == (1, 1)

    def test_both_steps_are_asked_once(self, translated):
        pipeline, first, second = translated()
        assert not pipeline.is_stored(CALL)
        before = pipeline(transcript=CALL).extraction
        assert pipeline.is_stored(CALL)
        after = pipeline(transcript=CALL).extraction
        assert (first.calls, second.calls) == (1, 1)
        assert (after.stored, after.translation.stored) == (True, True)
        assert after.translation.telemetry == before.translation.telemetry
        assert after.translation.seconds == before.translation.seconds
        assert after.translation.text == TRANSLATION

    def test_a_translation_alone_is_not_the_whole_answer(self, translated):
        pipeline, first, second = translated()
        pipeline.translate(CALL)
        assert not pipeline.is_stored(CALL)
        pipeline(transcript=CALL)
        assert (first.calls, second.calls) == (1, 1)

    @pytest.mark.parametrize("error", FAILURES, ids=lambda e: e.kind)
    def test_a_failed_translation_is_an_error_and_is_made_again(self, translated, store, error):
        replies = [error, TRANSLATION]
        pipeline, first, second = translated(lambda _: replies.pop(0))
        found = pipeline(transcript=CALL).extraction
        assert {a.state for a in found.answers.values()} == {State.ERROR}
        assert found.failure == found.translation.failure == error.kind
        assert found.translation.text is None
        assert second.calls == 0
        assert len(store) == 0
        assert not pipeline.is_stored(CALL)
        assert pipeline(transcript=CALL).extraction.failure is None
        assert (first.calls, second.calls) == (2, 1)

    def test_a_failed_extraction_keeps_the_translation(self, translated):
        replies = [CallTimeout("late"), written(None)]
        pipeline, first, _ = translated(reply=lambda _: replies.pop(0))
        found = pipeline(transcript=CALL).extraction
        assert found.failure == "timeout"
        assert found.translation.text == TRANSLATION
        assert pipeline(transcript=CALL).extraction.failure is None
        assert first.calls == 1

    def test_a_bad_translation_is_marked_also_when_it_comes_from_the_store(self, translated):
        pipeline, _, _ = translated(lambda _: CALL.text)
        assert "untranslated" in pipeline.translate(CALL).warnings
        assert "untranslated" in pipeline.translate(CALL).warnings

    def test_an_engine_that_is_gone_stops_the_work(self, translated, store):
        pipeline, _, second = translated(lambda _: EngineUnavailable("gone"))
        with pytest.raises(EngineUnavailable):
            pipeline(transcript=CALL)
        assert second.calls == len(store) == 0

    def test_it_needs_a_translator(self, store):
        with pytest.raises(InputError, match=r"--translator.*--english given"):
            Pipeline(Extractor(SET, name="x"), store=store, route="translated")


class TestGivenEnglish:
    @pytest.fixture
    def given(self, scripted, store):
        engine = scripted(written)
        extractor = Extractor(SET, name="x", format="lines")
        extractor.set_lm(engine.lm())
        return Pipeline(extractor, store=store, route="translated", english="given"), engine

    def test_the_files_english_is_read_and_nothing_is_translated(self, given, store):
        pipeline, engine = given
        found = pipeline(transcript=CALL).extraction
        assert CALL.english in engine.requests[0].messages[-1].content
        assert CALL.text not in str(engine.requests[0])
        assert found.translation is None
        assert pipeline.is_stored(CALL)
        assert store.count("translations") == 0

    def test_a_row_without_english_is_an_error_and_asks_nothing(self, given, store):
        pipeline, engine = given
        row = Transcript("c2", CALL.text)
        found = pipeline(transcript=row).extraction
        assert {a.state for a in found.answers.values()} == {State.ERROR}
        assert found.failure == "no_english_text"
        assert not pipeline.is_stored(row)
        assert engine.calls == len(store) == 0

    def test_it_shares_answers_with_the_direct_route_on_the_same_text(self, given, direct):
        pipeline, _ = given
        pipeline(transcript=CALL)
        other, engine = direct()
        assert other.extract(Transcript("e", CALL.english), None).stored
        assert engine.calls == 0


class TestKeys:
    def key(self, scripted, *, text="text", options=None, sampling=None, demos=(), **identity):
        extractor = Extractor(SET, name="x", **({"format": "lines"} | (options or {})))
        extractor.set_demos(demos)
        extractor.set_lm(scripted(**identity).lm(**(sampling or {})))
        return answer_key(extractor, text)

    def test_all_that_an_answer_depends_on_makes_another_key(self, scripted):
        keys = [
            self.key(scripted),
            self.key(scripted, text="other text"),
            self.key(scripted, name="other"),
            self.key(scripted, digest="sha256:" + "1" * 64),
            self.key(scripted, num_ctx=8192),
            self.key(scripted, engine="ollama"),
            self.key(scripted, engine_version="2"),
            *(self.key(scripted, options={"format": name}) for name in FORMATS if name != "lines"),
            self.key(scripted, options={"language": "fa"}),
            self.key(scripted, options={"instructions": "Other."}),
            self.key(scripted, options={"definitions": False}),
            self.key(scripted, options={"max_tokens": 99}),
            self.key(scripted, demos=[("Call.", LABELS)]),
            self.key(scripted, demos=[("Call.", {i: not v for i, v in LABELS.items()})]),
        ]
        assert len(set(keys)) == len(keys)

    def test_how_the_answer_is_sampled_makes_another_key(self, scripted):
        keys = {
            self.key(scripted),
            self.key(scripted, sampling={"temperature": 0.7}),
            self.key(scripted, sampling={"temperature": 0.7, "seed": 1}),
        }
        assert len(keys) == 3

    def test_the_same_question_has_the_same_key_also_after_saving(self, scripted, tmp_path):
        extractor = Extractor(SET, name="x", format="json", language="fa")
        extractor.set_demos([("متن", LABELS)])
        save_program(extractor, tmp_path / "program.json")
        loaded = load_program(tmp_path / "program.json", SET)
        for program in (extractor, loaded):
            program.set_lm(scripted().lm())
        assert answer_key(loaded, "t") == answer_key(extractor, "t")

    def test_a_translation_and_an_answer_never_share_a_key(self, scripted):
        translator = Translator(SET)
        translator.set_lm(scripted().lm())
        other = Translator(SET, target="fr")
        other.set_lm(scripted().lm())
        assert len({answer_key(translator, "text"), answer_key(other, "text"), self.key(scripted)}) == 3

    def test_without_a_language_model_there_is_no_key(self):
        with pytest.raises(InputError, match="language_model"):
            answer_key(Extractor(SET, name="x"), "text")
