"""The Translator as a DSPy module."""

from __future__ import annotations

import pytest

from balin.engines.protocol import Message
from balin.errors import IncompleteAnswer
from balin.programs.translator import MAX_TOKENS, REPEAT_PENALTY, Translator
from balin.signatures.private_dspy import dspy
from balin.signatures.translate import INPUT, OUTPUT


def made(scripted, feature_set, reply=lambda _: " She has pain.\n", **options):
    engine = scripted(reply)
    translator = Translator(feature_set, **options)
    translator.set_lm(engine.lm())
    return translator, engine


def test_a_text_becomes_its_translation_with_its_cost(scripted, palliative):
    translator, engine = made(scripted, palliative)
    found = translator(source="درد دارد.")
    assert found.translation == "She has pain."
    assert found.telemetry.requests == 1
    (request,) = engine.requests
    assert request.messages[0].role == "system"
    assert request.messages[1:] == (Message("user", "درد دارد."),)
    assert (request.max_tokens, request.temperature, request.partial) == (64 + len("درد دارد."), 0.0, False)
    assert request.repeat_penalty == REPEAT_PENALTY > 1


def test_a_long_text_may_take_the_most_tokens_and_no_more(scripted, palliative):
    translator, engine = made(scripted, palliative)
    translator(source="درد دارد. " * 200)
    assert engine.requests[0].max_tokens == MAX_TOKENS


def test_a_cut_translation_is_an_error_and_never_a_text(scripted, palliative):
    translator, _ = made(scripted, palliative, lambda _: IncompleteAnswer("cut at 768 tokens"))
    with pytest.raises(IncompleteAnswer):
        translator(source="درد دارد.")


def test_demos_are_turns(scripted, palliative):
    translator, engine = made(scripted, palliative)
    translator.set_demos([("تب دارد.", "She has fever."), ("خوب است.", "She is well.")])
    translator(source="درد دارد.")
    assert [(m.role, m.content) for m in engine.requests[0].messages[1:]] == [
        ("user", "تب دارد."),
        ("assistant", "She has fever."),
        ("user", "خوب است."),
        ("assistant", "She is well."),
        ("user", "درد دارد."),
    ]


def test_a_trace_holds_source_and_translation(scripted, palliative):
    translator, _ = made(scripted, palliative)
    with dspy.context(trace=[]):
        translator(source="درد دارد.")
        ((predictor, inputs, prediction),) = dspy.settings.trace
    assert predictor is translator.predict
    assert inputs == {INPUT: "درد دارد."}
    assert prediction[OUTPUT] == "She has pain."


def test_dspys_labeled_few_shot_compiles_it(scripted, palliative):
    translator, engine = made(scripted, palliative)
    rows = [
        dspy.Example(source=f"متن {n}", translation=f"text {n}", phone="0912").with_inputs("source") for n in range(4)
    ]
    compiled = dspy.LabeledFewShot(k=2).compile(translator, trainset=rows)
    compiled.set_lm(engine.lm())
    compiled(source="درد دارد.")
    assert len(engine.requests[0].messages) == 6
    assert "0912" not in str(engine.requests[0])
    assert "0912" not in str(compiled.state())


def test_another_language_pair(scripted, german):
    translator, engine = made(scripted, german, target="fr")
    translator(source="Die Wunde schmerzt.")
    system = engine.requests[0].messages[0].content
    assert "German" in system
    assert "French" in system


def test_everything_that_is_asked_is_in_the_hash(palliative, german):
    with_demo, with_other = Translator(palliative), Translator(palliative)
    with_demo.set_demos([("تب", "fever")])
    with_other.set_demos([("تب", "a fever")])
    programs = [
        Translator(palliative),
        Translator(palliative, target="fr"),
        Translator(palliative, instructions="Translate."),
        Translator(palliative, max_tokens=100),
        Translator(palliative, repeat_penalty=1.0),
        Translator(german),
        with_demo,
        with_other,
    ]
    assert len({p.hash() for p in programs}) == len(programs)
    assert Translator(palliative).hash() == programs[0].hash()
