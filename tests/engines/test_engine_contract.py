"""What every engine must do alike, with a real small model: embedded, and behind Ollama's API."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from balin.engines.embedded import EmbeddedEngine
from balin.engines.ollama import OllamaEngine
from balin.engines.protocol import ChatRequest, Engine, Message, Telemetry
from balin.engines.slots import each
from balin.errors import IncompleteAnswer, PromptTooLong

sys.path.append(str(Path(__file__).parent))
from ollama_server import serve  # type: ignore[import-not-found]

pytestmark = pytest.mark.live

TALK = (
    Message("system", "You answer questions about a phone call."),
    Message(
        "user", "The caller says that the pain is worse since yesterday and that there is no fever. Say what is wrong."
    ),
)
SCHEMA = {
    "type": "object",
    "properties": {"pain": {"type": "boolean"}, "fever": {"type": "boolean"}},
    "required": ["pain", "fever"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def behind_ollama(small_engine: EmbeddedEngine) -> Iterator[OllamaEngine]:
    with serve(small_engine) as server:
        engine = OllamaEngine("smollm2:135m", host=server.url, num_ctx=small_engine.identity.num_ctx)
        yield engine
        engine.close()


@pytest.fixture(params=["embedded", "ollama"])
def engine(request: pytest.FixtureRequest) -> Engine:
    name = {"embedded": "small_engine", "ollama": "behind_ollama"}[request.param]
    found = request.getfixturevalue(name)
    assert isinstance(found, Engine)
    return found


def test_identity_has_everything_that_a_key_needs(engine: Engine) -> None:
    identity = engine.identity
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", identity.digest)
    assert identity.engine in ("embedded", "ollama")
    assert identity.name
    assert identity.engine_version
    assert identity.num_ctx > 0
    assert engine.slots >= 1
    assert engine.identity == identity


def test_free_text(engine: Engine) -> None:
    completion = engine.chat(ChatRequest(TALK, max_tokens=12, partial=True))
    assert completion.text.strip()
    assert "<|" not in completion.text
    assert completion.tokens == ()


def test_a_schema_is_followed(engine: Engine) -> None:
    completion = engine.chat(ChatRequest(TALK, max_tokens=60, schema=SCHEMA, top_logprobs=5))
    value = json.loads(completion.text)
    assert completion.finish == "stop"
    assert list(value) == ["pain", "fever"]
    assert all(isinstance(answer, bool) for answer in value.values())
    # llama.cpp lets a model put a fence around the object and takes it off the text, not off the tokens.
    assert completion.text.strip() in "".join(token.token for token in completion.tokens)


def test_probabilities_of_alternatives(engine: Engine) -> None:
    completion = engine.chat(ChatRequest(TALK, max_tokens=6, top_logprobs=5, partial=True))
    assert len(completion.tokens) == 6
    for token in completion.tokens:
        logprobs = [logprob for _, logprob in token.top]
        assert len(logprobs) == 5
        assert logprobs == sorted(logprobs, reverse=True)
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-4
        assert (token.token, token.logprob) == token.top[0], "greedy takes the likeliest"


def test_an_answer_that_reaches_its_length(engine: Engine) -> None:
    request = ChatRequest((Message("user", "Count from one to fifty in words."),), max_tokens=4)
    with pytest.raises(IncompleteAnswer, match="4 tokens"):
        engine.chat(request)
    completion = engine.chat(ChatRequest(request.messages, max_tokens=4, partial=True))
    assert (completion.finish, completion.telemetry.generated_tokens) == ("length", 4)


@pytest.mark.parametrize("way", ["chat", "read"])
def test_a_prompt_that_does_not_fit_says_by_how_much(engine: Engine, way: str) -> None:
    limit = engine.identity.num_ctx
    text = "rose " * (limit + 100)
    request = ChatRequest((Message("user", text),), max_tokens=30)
    with pytest.raises(PromptTooLong) as caught:
        _ = engine.read(text) if way == "read" else engine.chat(request)
    assert caught.value.limit == limit
    assert limit + 100 <= caught.value.needed <= limit + 250
    assert "rose" not in str(caught.value)


def test_rendering_keeps_the_order_and_opens_the_answer(engine: Engine) -> None:
    prompt = engine.render(TALK)
    places = [prompt.index(message.content) for message in TALK]
    assert places == sorted(places)
    assert prompt.index("system") < places[0]
    assert prompt.rindex("assistant") > places[-1]
    assert TALK[1].content not in prompt[places[-1] + len(TALK[1].content) :]


def test_reading_gives_the_next_token_with_its_alternatives(engine: Engine) -> None:
    completion = engine.read(engine.render(TALK) + "Pain:", top_logprobs=20)
    (token,) = completion.tokens
    assert completion.text == token.token
    assert len(token.top) == 20
    assert (token.token, token.logprob) == token.top[0]
    assert sum(math.exp(logprob) for _, logprob in token.top) <= 1 + 1e-4
    assert completion.telemetry.generated_tokens == 1


def test_reading_what_was_rendered_is_the_start_of_the_chat(engine: Engine) -> None:
    said = engine.chat(ChatRequest(TALK, max_tokens=1, top_logprobs=5, partial=True))
    read = engine.read(engine.render(TALK), top_logprobs=5)
    assert read.text == said.text
    assert [name for name, _ in read.tokens[0].top] == [name for name, _ in said.tokens[0].top]
    assert read.telemetry.prompt_tokens == said.telemetry.prompt_tokens


def test_the_same_question_has_the_same_answer(engine: Engine) -> None:
    request = ChatRequest(TALK, max_tokens=16, partial=True)
    assert engine.chat(request).text == engine.chat(request).text


def test_a_repeat_penalty_keeps_a_model_from_repeating_itself(engine: Engine) -> None:
    talk = (Message("user", "Write the word rose again and again: rose rose rose rose rose rose rose"),)
    free, bound = (
        engine.chat(ChatRequest(talk, max_tokens=40, partial=True, repeat_penalty=penalty)).text.split()
        for penalty in (1.0, 1.8)
    )
    assert len(set(bound)) / len(bound) > len(set(free)) / len(free)


def test_costs_are_counted_and_add_up(engine: Engine) -> None:
    first = engine.chat(ChatRequest(TALK, max_tokens=5, partial=True)).telemetry
    second = engine.read(engine.render(TALK)).telemetry
    for cost in (first, second):
        assert (cost.requests, cost.retries) == (1, 0)
        assert cost.prompt_tokens > 20
        assert cost.cached_tokens is None or 0 <= cost.cached_tokens <= cost.prompt_tokens
        assert min(cost.prefill_seconds, cost.decode_seconds, cost.load_seconds) >= 0
        assert cost.wall_seconds > 0
        assert cost.engine_seconds <= cost.wall_seconds + 0.01
    total = first + second
    assert total.requests == 2
    assert total.generated_tokens == first.generated_tokens + second.generated_tokens == 6
    assert Telemetry.from_dict(total.to_dict()) == total


def test_both_engines_give_the_same_answer(small_engine: EmbeddedEngine, behind_ollama: OllamaEngine) -> None:
    request = ChatRequest(TALK, max_tokens=16, partial=True)
    assert behind_ollama.chat(request).text == small_engine.chat(request).text
    assert behind_ollama.render(TALK) == small_engine.render(TALK)


def test_several_slots_answer_at_once_as_one_does(small_engine: EmbeddedEngine) -> None:
    # Prompts that leave little doubt, each of another word: what a batch rounds otherwise changes little then.
    words = ["rose", "fever", "pain", "two"]
    prompts = [", ".join([word] * 30) + "," for word in words]
    alone = [small_engine.read(prompt) for prompt in prompts]
    several = EmbeddedEngine(
        small_engine._weights, name="smollm2:135m", digest=small_engine.identity.digest, num_ctx=512, slots=3
    )
    try:
        together = each(several, prompts, several.read, lambda *_: None)
        long = ChatRequest((Message("user", "rose " * 600),), max_tokens=30)
        with pytest.raises(PromptTooLong) as caught:
            several.chat(long)
    finally:
        several.close()
    for word, one, other in zip(words, alone, together, strict=True):
        best = one.tokens[0]
        assert (best.token, other.tokens[0].token) == (f" {word}", f" {word}"), "each prompt has its own answer"
        assert math.exp(other.tokens[0].logprob) == pytest.approx(math.exp(best.logprob), abs=0.05)
    assert caught.value.limit == 512, "each slot has the whole context"
