"""The adapters: our prompts through DSPy's modules, and DSPy's own modules through our engines."""

from __future__ import annotations

import warnings

import pytest

from balin.engines.lm import engine_of, language_model
from balin.engines.protocol import Completion, Engine, Message, TokenChoice
from balin.errors import (
    CallError,
    CallTimeout,
    EmptyAnswer,
    EngineUnavailable,
    IncompleteAnswer,
    InputError,
    ModelMissing,
    PromptTooLong,
)
from balin.programs.adapter import ExtractAdapter, TranslateAdapter, ask
from balin.programs.formats import FORMATS, Prompt, answer_format
from balin.signatures.extract import extract_signature
from balin.signatures.private_dspy import dspy
from balin.signatures.translate import INPUT, OUTPUT, translate_signature

HELLO = Prompt((Message("system", "S"), Message("user", "U")), 33, {"type": "object"}, top_logprobs=5, partial=True)


def test_the_scripted_engine_keeps_the_protocol(scripted):
    assert isinstance(scripted(), Engine)


class TestAsk:
    def test_a_prompt_becomes_one_request_with_all_that_it_says(self, scripted):
        engine = scripted(lambda _: "hello")
        (completion,) = ask(engine, HELLO, temperature=0.5, seed=7)
        (request,) = engine.requests
        assert completion.text == "hello"
        for field in ("messages", "max_tokens", "schema", "top_logprobs", "partial"):
            assert getattr(request, field) == getattr(HELLO, field)
        assert (request.temperature, request.seed) == (0.5, 7)
        assert (engine.renders, engine.reads) == ([], [])

    def test_probes_share_one_rendered_prefix_and_none_sees_another(self, scripted):
        likely = {"a:": " True", "b:": " no", "c:": " yes"}
        engine = scripted(next_token=lambda p: (("\n", -0.2), (likely[p[-2:]], -2.0)))
        prompt = Prompt((Message("user", "U"),), 1, top_logprobs=20, probes=("a:", "b:", "c:"))
        found = ask(engine, prompt)
        assert [c.tokens[0].top[1][0] for c in found] == [" True", " no", " yes"]
        assert engine.renders == [prompt.messages]
        assert engine.requests == []
        prefix = engine.render(prompt.messages)
        assert engine.reads == [prefix + text for text in prompt.probes]

    @pytest.mark.parametrize("error", [PromptTooLong(9, 8), CallTimeout("t"), ModelMissing("m")])
    def test_errors_pass_as_they_are(self, scripted, error):
        with pytest.raises(type(error)):
            ask(scripted(lambda _: error), HELLO)
        with pytest.raises(type(error)):
            ask(scripted(next_token=lambda _: error), Prompt((Message("user", "U"),), 1, probes=("a:", "b:")))


class TestExtractAdapter:
    def adapter(self, feature_set, name="lines", language="en"):
        return ExtractAdapter(answer_format(name), feature_set, language=language, definitions=False, max_tokens=99)

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_format_gives_dspy_the_prompts_own_messages(self, palliative, name):
        adapter = self.adapter(palliative, name)
        signature = extract_signature(palliative, "en", "Decide.")
        demos = [{"transcript": "d", **dict.fromkeys(palliative.ids, True)}]
        messages = adapter.format(signature, demos, {"transcript": "t"})
        prompt = adapter.prompt(signature, demos, {"transcript": "t"})
        assert messages == [{"role": m.role, "content": m.content} for m in prompt.messages]
        assert messages[0]["content"].startswith("Decide.")
        assert len(messages) == 4

    def test_parse_gives_every_field(self, palliative):
        signature = extract_signature(palliative, "en")
        found = self.adapter(palliative).parse(signature, "Pain: True\nFever: False")
        assert tuple(found) == palliative.ids
        assert (found["pain"], found["fever"], found["seizures"]) == (True, False, None)

    def test_only_a_language_model_of_balins_is_taken(self, palliative):
        signature = extract_signature(palliative, "en")
        with pytest.raises(InputError, match="language_model"):
            self.adapter(palliative)(None, {}, signature, [], {"transcript": "t"})
        with pytest.raises(InputError, match="language_model"):
            engine_of(dspy.utils.DummyLM([{"pain": "True"}]))

    def test_sampling_comes_from_the_language_model_and_the_call_wins(self, palliative, scripted):
        engine = scripted()
        adapter, signature = self.adapter(palliative), extract_signature(palliative, "en")
        lm = engine.lm(temperature=0.75, seed=3)
        adapter(lm, {}, signature, [], {"transcript": "t"})
        adapter(lm, {"temperature": 0.25}, signature, [], {"transcript": "t"})
        adapter(engine.lm(), {}, signature, [], {"transcript": "t"})
        assert [(r.temperature, r.seed) for r in engine.requests] == [(0.75, 3), (0.25, 3), (0.0, 0)]
        assert {r.max_tokens for r in engine.requests} == {99}

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_a_demo_with_a_blank_label_is_never_shown_as_absent(self, palliative, name):
        signature = extract_signature(palliative, "en")
        demo = {"transcript": "d", **dict.fromkeys(palliative.ids, True), "fever": None}
        with pytest.raises(InputError, match="fever"):
            self.adapter(palliative, name).prompt(signature, [demo], {"transcript": "t"})
        del demo["fever"]
        with pytest.raises(InputError, match="fever"):
            self.adapter(palliative, name).prompt(signature, [demo], {"transcript": "t"})


class TestTranslateAdapter:
    def test_instructions_demos_as_turns_and_the_bare_text(self, palliative):
        signature = translate_signature(palliative, instructions="Translate.")
        demos = [{INPUT: "درد دارد.", OUTPUT: "She has pain."}]
        assert TranslateAdapter(50, 1.2).format(signature, demos, {INPUT: "تب دارد."}) == [
            {"role": "system", "content": "Translate."},
            {"role": "user", "content": "درد دارد."},
            {"role": "assistant", "content": "She has pain."},
            {"role": "user", "content": "تب دارد."},
        ]

    def test_one_free_text_request(self, palliative, scripted):
        engine = scripted(lambda _: "  She has fever.\n")
        (found,) = TranslateAdapter(50, 1.2)(engine.lm(), {}, translate_signature(palliative), [], {INPUT: "تب دارد."})
        assert found[OUTPUT] == "She has fever."
        assert found["telemetry"].requests == 1
        (request,) = engine.requests
        assert (request.max_tokens, request.schema, request.partial, request.temperature) == (50, None, False, 0.0)
        assert request.repeat_penalty == 1.2


def hello(request):
    top = (("hello", -0.1), ("hi", -2.0))[: request.top_logprobs]
    return Completion("hello", "stop", (TokenChoice("hello", -0.1, top),) if request.top_logprobs else ())


class TestTheLanguageModel:
    def test_a_text_goes_in_and_comes_out(self, scripted):
        engine = scripted(lambda _: "hello")
        assert engine.lm()("hi") == ["hello"]
        (request,) = engine.requests
        assert request.messages == (Message("user", "hi"),)
        assert (request.temperature, request.schema, request.top_logprobs, request.partial) == (0.0, None, 0, False)

    def test_a_conversation_keeps_its_roles(self, scripted):
        engine = scripted(lambda _: "hello")
        talk = [("system", "S"), ("user", "u1"), ("assistant", "a1"), ("user", "u2")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            engine.lm()(messages=[{"role": r, "content": c} for r, c in talk])
        assert engine.requests[0].messages == tuple(Message(r, c) for r, c in talk)

    def test_settings_reach_the_engine(self, scripted):
        engine = scripted(lambda _: "hello")
        engine.lm(max_tokens=9)("hi", temperature=0.7, seed=4)
        (request,) = engine.requests
        assert (request.max_tokens, request.temperature, request.seed) == (9, 0.7, 4)

    def test_a_schema_reaches_the_engine_with_its_order(self, scripted):
        engine = scripted(lambda _: "{}")
        schema = {"type": "object", "properties": {"b": {"type": "boolean"}, "a": {"type": "boolean"}}}
        engine.lm()("hi", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
        assert engine.requests[0].schema == schema
        assert list(engine.requests[0].schema["properties"]) == ["b", "a"]

    def test_logprobs_come_back(self, scripted):
        engine = scripted(hello)
        (output,) = engine.lm()("hi", logprobs=True, top_logprobs=2)
        assert engine.requests[0].top_logprobs == 2
        (token,) = output["logprobs"]["content"]
        assert (token["token"], token["logprob"]) == ("hello", -0.1)
        assert [(t["token"], t["logprob"]) for t in token["top_logprobs"]] == [("hello", -0.1), ("hi", -2.0)]

    def test_logprobs_without_alternatives_are_those_of_what_was_written(self, scripted):
        (output,) = scripted(hello).lm()("hi", logprobs=True)
        assert [t["token"] for t in output["logprobs"]["content"]] == ["hello"]

    @pytest.mark.parametrize("option", [{"stop": ["\n"]}, {"top_p": 0.3}, {"frequency_penalty": 1.0}], ids=str)
    def test_what_the_engines_do_not_do_is_refused_and_not_dropped(self, scripted, option):
        engine = scripted(lambda _: "hello")
        with pytest.raises(dspy.utils.exceptions.LMError):
            engine.lm()("hi", **option)
        assert engine.requests == []

    def test_dspys_own_modules_and_adapters_work(self, scripted):
        engine = scripted(
            lambda r: '{"answer": true}' if r.schema else "[[ ## answer ## ]]\nTrue\n\n[[ ## completed ## ]]"
        )
        for adapter in (dspy.JSONAdapter(), dspy.ChatAdapter()):
            with dspy.context(lm=engine.lm(), adapter=adapter):
                assert dspy.Predict("question: str -> answer: bool")(question="Pain?").answer is True
        assert [bool(r.schema) for r in engine.requests] == [True, False]
        assert list(engine.requests[0].schema["properties"]) == ["answer"]

    @pytest.mark.parametrize(
        ("error", "name"),
        [
            (CallTimeout("waited 300 s"), "LMTimeoutError"),
            (PromptTooLong(900, 512), "ContextWindowExceededError"),
            (EmptyAnswer("nothing"), "LMProviderError"),
            (IncompleteAnswer("cut"), "LMProviderError"),
            (CallError("refused"), "LMInvalidRequestError"),
            (EngineUnavailable("no server"), "LMProviderError"),
            (ModelMissing("no model"), "LMProviderError"),
        ],
        ids=lambda v: v if isinstance(v, str) else type(v).__name__,
    )
    def test_errors_are_dspys_and_only_a_timeout_is_worth_another_try(self, scripted, error, name):
        engine = scripted(lambda _: error)
        with pytest.raises(dspy.utils.exceptions.LMError, match=str(error).split(";")[0]) as caught:
            engine.lm(num_retries=0)("SECRET")
        assert type(caught.value).__name__ == name
        assert "SECRET" not in str(caught.value)
        if not isinstance(error, CallTimeout):
            with pytest.raises(dspy.utils.exceptions.LMError):
                engine.lm(num_retries=3)("SECRET")
            assert len(engine.requests) == 2

    def test_its_name_tells_models_digests_and_contexts_apart(self, scripted):
        models = [
            scripted(),
            scripted(name="other"),
            scripted(digest="sha256:" + "1" * 64),
            scripted(num_ctx=8192),
        ]
        assert len({language_model(m).model for m in models}) == 4

    def test_nothing_is_cached_and_nothing_is_remembered(self, scripted):
        engine = scripted(lambda _: "hello")
        lm = engine.lm()
        assert lm("hi") == lm("hi")
        assert len(engine.requests) == 2
        assert lm.history == []
        assert dspy.clients.base_lm.GLOBAL_HISTORY == []

    def test_the_engine_is_not_saved_with_it(self, scripted):
        assert scripted().lm().engine.dump_state() == {}
        with pytest.raises(InputError, match="holds no engine"):
            type(scripted().lm().engine).load_state({})
