"""A bundle asks what the program asks, byte for byte, and answers what the program answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from calls import SET  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.deployment import runner
from balin.deployment.export import VECTOR_TEXT, extract_step, template, translate_step
from balin.deployment.manifest import STEPS, FeatureSetEntry, ModelEntry
from balin.engines.lm import language_model
from balin.engines.protocol import Completion, Message, ModelIdentity, Telemetry, TokenChoice
from balin.errors import ProgramError
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS
from balin.programs.translation import token_limit
from balin.programs.translator import Translator
from balin.programs.votes import Votes
from balin.signatures.features import Feature, FeatureSet
from balin.signatures.wording import INPUT

TRAPS = ["{}", "{transcript}", "{{text}}", "⟦slot⟧", '{"slot": "text"}', "%s", "$1", "\\g<0>", '"""', "\n", "نمی‌خوابد"]
TEXTS = st.lists(st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=("Cs",)), max_size=8))).map(
    "".join
)
GERMAN = FeatureSet(
    "wunden", "Wunden", "de", {"de": "eine Notiz {x}"}, {}, {},
    tuple(Feature(i, (), {"de": f"{i} ⟦slot⟧"}, {"de": i}, {"de": "Definition {transcript}"}) for i in ("geruch", "rot")),
)  # fmt: skip
DEMOS = ["short", "with {transcript} and ⟦slot⟧⟧", '{"slot": "text"}', "بیمار نمی‌خوابد"]
KINDS = [(SET, "en"), (SET, "fa"), (GERMAN, "de")]


def program(name, feature_set, language, demos, **fields):
    made = Extractor(feature_set, name="made", format=name, language=language, **fields)
    made.set_demos([(d, {f: i % 2 == 0 for i, f in enumerate(feature_set.ids)}) for d in demos])
    return made


def asked(extractor, text):
    return extractor.adapter.prompt(extractor.predict.signature, extractor.predict.demos, {INPUT: text})


def reread(step):
    """The step as a bundle's file gives it back."""
    (found,) = STEPS.validate_json(json.dumps([step.to_dict()]))
    return found


PROGRAMS = [
    program(name, feature_set, language, demos)
    for name in FORMATS
    for feature_set, language in KINDS
    for demos in ([], DEMOS)
]
STEPS_MADE = [(p, reread(extract_step(p))) for p in PROGRAMS]


@settings(max_examples=15)
@given(text=TEXTS)
def test_every_format_asks_what_the_program_asks(text):
    for extractor, step in STEPS_MADE:
        prompt = asked(extractor, text)
        assert runner.prompt(step, text) == prompt
        # Grammars write the keys in the schema's order.
        assert json.dumps(runner.prompt(step, text).schema) == json.dumps(prompt.schema)


@settings(max_examples=15)
@given(text=TEXTS, demos=st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
def test_the_translator_too(text, demos):
    translator = Translator(SET)
    translator.set_demos(demos)
    step = reread(translate_step(translator))
    wanted = translator.adapter.messages(translator.predict.signature, translator.predict.demos, {"source": text})
    assert runner.messages(step, text) == wanted
    assert runner.prompt(step, text).max_tokens == token_limit(text, translator.adapter.max_tokens)


@settings(max_examples=10)
@given(
    demos=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3), text=TEXTS, instructions=TEXTS.filter(str.strip)
)
def test_whatever_the_demos_and_instructions_hold(demos, text, instructions):
    extractor = program("lines", SET, "en", demos, instructions=instructions)
    assert runner.messages(reread(extract_step(extractor)), text) == asked(extractor, text).messages


class Wordy:
    """An engine whose answer depends on every byte of the prompt."""

    slots = 1
    identity = ModelIdentity("m", "sha256:0", "embedded", "1", 4096)

    def chat(self, request):
        number = sum(map(ord, repr(request)))
        values = {f: (number >> i) & 1 == 1 for i, f in enumerate(SET.ids)}
        if request.schema is None:
            text = "\n".join(f"{f.label['en']}: {values[f.id]}" for f in SET)
        elif request.schema["type"] == "array":
            text = json.dumps([f for f in SET.ids if values[f]])
        else:
            text = json.dumps(values)
        tokens = tuple(TokenChoice(c, -0.1, ((c, -0.1),)) for c in text) if request.top_logprobs else ()
        return Completion(text, "stop", tokens, Telemetry(1, generated_tokens=number))

    def render(self, messages):
        return repr(messages)

    def read(self, prompt, *, top_logprobs):
        p = (sum(map(ord, prompt)) % 97 + 1) / 99
        top = (("True", math.log(p)), ("False", math.log(1 - p)))[:top_logprobs]
        return Completion(
            "True", "length", (TokenChoice("True", top[0][1], top),), Telemetry(1, prompt_tokens=len(prompt))
        )

    def close(self):
        pass


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["A call.", VECTOR_TEXT])
def test_the_answers_are_the_programs(name, text):
    extractor = program(name, SET, "en", DEMOS[:2])
    if name in ("probe", "json"):
        extractor.thresholds = {"pain": 0.9, "fever": 0.05}
    engine = Wordy()
    extractor.set_lm(language_model(engine))
    expected = extractor(transcript=text)
    step = reread(extract_step(extractor))
    model = ModelEntry(**engine.identity.to_dict())
    found = runner.extract(step, SET, model, engine, text)
    assert runner.decided(step, found.answers) == expected.answers
    assert found.telemetry == expected.telemetry
    if name == "probe":
        plain = replace_thresholds(step, {})
        assert {a.p_true for a in found.answers.values()} != {None}
        assert runner.decided(plain, found.answers) == dict(found.answers)


@pytest.mark.parametrize("name", ["lines", "json", "present"])
def test_the_votes_are_the_programs_and_a_step_without_them_is_as_it_was(name):
    extractor = program(name, SET, "en", DEMOS[:2])
    plain = extract_step(extractor)
    assert "votes" not in plain.to_dict()
    extractor.votes = Votes(3, 0.5)
    extractor.thresholds = {"pain": 0.9}
    engine = Wordy()
    extractor.set_lm(language_model(engine))
    expected = extractor(transcript="A call.")
    step = reread(extract_step(extractor))
    assert step.hash != plain.hash
    found = runner.extract(step, SET, ModelEntry(**engine.identity.to_dict()), engine, "A call.")
    assert runner.decided(step, found.answers) == expected.answers
    assert found.telemetry == expected.telemetry


def replace_thresholds(step, thresholds):
    return step.model_copy(update={"thresholds": thresholds})


@pytest.mark.parametrize(
    "render",
    [
        lambda text: (Message("system", text), Message("user", text)),
        lambda text: (Message("user", f"{text} and {text}"),),
        lambda text: (Message("user", text.upper()),),
        lambda text: (Message("user", "always the same"),),
    ],
)
def test_a_program_without_one_place_for_the_text_has_no_bundle(render):
    with pytest.raises(ProgramError, match="has no bundle"):
        template(render)


def test_a_program_whose_prompt_turns_on_the_text_has_no_bundle(monkeypatch):
    extractor = program("lines", SET, "en", [])
    usual = extractor.adapter.prompt

    def prompt(signature, demos, inputs):
        made = usual(signature, demos, inputs)
        return replace(made, max_tokens=99) if "Invented" in inputs[INPUT] else made

    monkeypatch.setattr(extractor.adapter, "prompt", prompt)
    with pytest.raises(ProgramError, match="another way"):
        extract_step(extractor)


@pytest.mark.parametrize("feature_set", [SET, GERMAN])
def test_the_feature_set_comes_back_whole(feature_set):
    entry = FeatureSetEntry.of(feature_set)
    found = FeatureSetEntry.model_validate_json(entry.model_dump_json()).feature_set()
    assert found == feature_set
    assert found.hash == feature_set.hash
    assert found.languages == feature_set.languages
