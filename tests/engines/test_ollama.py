"""The Ollama engine: what it sends, what it reads, and what makes it useless."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.ollama import OllamaEngine, list_models, probe_server, pull_model, running
from balin.engines.ollama_api import full_name, version_tuple
from balin.engines.protocol import Completion, Engine, ModelIdentity, Telemetry, TokenChoice
from balin.errors import (
    CallTimeout,
    EngineUnavailable,
    InputError,
    ModelMissing,
    RemoteRefused,
)

sys.path.append(str(Path(__file__).parent))
from ollama_server import Fault, OllamaServer, Reply, fixture, serve  # type: ignore[import-not-found]
from scripted import ScriptedEngine, ask, open_engine  # type: ignore[import-not-found]

DIGEST = fixture("tags")["models"][0]["digest"]


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with serve(ScriptedEngine()) as running_server:
        yield running_server


@pytest.fixture
def engine(server: OllamaServer) -> Iterator[OllamaEngine]:
    opened = open_engine(server)
    yield opened
    opened.close()


# What is sent


def test_a_greedy_request_says_everything(engine: OllamaEngine, server: OllamaServer) -> None:
    schema = {"type": "object", "properties": {"pain": {"type": "boolean"}, "fever": {"type": "boolean"}}}
    engine.chat(ask(schema=schema, top_logprobs=5))
    (body,) = server.bodies("chat")
    assert body == {
        "model": "smollm2:135m",
        "messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Has she pain?"}],
        "stream": False,
        "think": False,
        "truncate": False,
        "shift": False,
        "keep_alive": "30m",
        "format": schema,
        "logprobs": True,
        "top_logprobs": 5,
        "options": {
            "num_ctx": 512,
            "num_predict": 8,
            "temperature": 0.0,
            "seed": 0,
            "top_k": 1,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "repeat_last_n": 64,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        },
    }
    assert list(body["format"]["properties"]) == ["pain", "fever"]


def test_a_sampled_request_has_its_seed_and_no_logprobs_unasked(engine: OllamaEngine, server: OllamaServer) -> None:
    engine.chat(ask(temperature=0.7, seed=11))
    (body,) = server.bodies("chat")
    assert (body["options"]["temperature"], body["options"]["seed"], body["options"]["top_k"]) == (0.7, 11, 40)
    assert not {"format", "logprobs", "top_logprobs"} & set(body)


def test_no_more_alternatives_are_asked_for_than_ollama_gives(engine: OllamaEngine, server: OllamaServer) -> None:
    engine.chat(ask(top_logprobs=50))
    engine.read("Pain:", top_logprobs=50)
    assert [body["top_logprobs"] for body in server.bodies("chat") + server.bodies("read")] == [20, 20]


def test_a_read_is_one_raw_token(engine: OllamaEngine, server: OllamaServer) -> None:
    completion = engine.read("Pain:", top_logprobs=3)
    (body,) = server.bodies("read")
    assert (body["prompt"], body["raw"], body["logprobs"], body["top_logprobs"]) == ("Pain:", True, True, 3)
    assert body["options"]["num_predict"] == 1
    assert not {"messages", "system", "template", "context", "format"} & set(body)
    assert completion.tokens == (TokenChoice(" True", -0.5, ((" True", -0.5), (" False", -1.5))),)


def test_the_model_is_loaded_once_for_all_kinds_of_requests(engine: OllamaEngine, server: OllamaServer) -> None:
    for _ in range(3):
        engine.chat(ask())
        engine.render(ask().messages)
        engine.read("Pain:")
    assert server.loads == 1
    assert [server.count(name) for name in ("version", "tags", "show", "load")] == [1, 1, 1, 1]


def test_nothing_is_sent_before_it_is_needed(engine: OllamaEngine, server: OllamaServer) -> None:
    assert (engine.slots, engine.host, server.requests) == (1, server.url, [])


# What is read


def test_tokens_and_costs_are_those_of_the_reply(engine: OllamaEngine, server: OllamaServer) -> None:
    engine.warm_up()
    engine.chat(ask())
    server.fail("chat", "chat_logprobs")
    completion = engine.chat(ask(top_logprobs=2))
    assert (completion.text, completion.finish) == ("Pain: True", "stop")
    assert completion.tokens[2] == TokenChoice(" True", -0.35, ((" True", -0.35), (" False", -1.25)))
    cost = completion.telemetry
    assert (cost.requests, cost.retries, cost.prompt_tokens, cost.cached_tokens, cost.generated_tokens) == (
        1,
        0,
        17,
        None,
        4,
    )
    assert (cost.prefill_seconds, cost.decode_seconds, cost.load_seconds) == (0.201222, 0.153997, 0.006683708)
    assert cost.wall_seconds > 0


def test_alternatives_are_put_best_first(engine: OllamaEngine, server: OllamaServer) -> None:
    body = fixture("chat_logprobs")
    for token in body["logprobs"]:
        token["top_logprobs"].reverse()
    server.fail("chat", Reply(200, body))
    for token in engine.chat(ask(top_logprobs=2)).tokens:
        assert [p for _, p in token.top] == sorted((p for _, p in token.top), reverse=True)


def test_the_time_of_loading_is_told_once_with_the_next_answer(server: OllamaServer) -> None:
    engine = open_engine(server)
    engine.warm_up()
    first, second = engine.chat(ask()), engine.read("Pain:")
    assert first.telemetry.load_seconds > 0
    assert second.telemetry.load_seconds == 0


def test_identity(engine: OllamaEngine) -> None:
    assert engine.identity == ModelIdentity("smollm2:135m", f"sha256:{DIGEST}", "ollama", "0.33.0", 512)
    assert isinstance(engine, Engine)


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", "library/tiny", "Tiny:Latest"])
def test_a_name_without_a_tag_is_the_latest(name: str) -> None:
    with serve(ScriptedEngine(), "tiny:latest") as server:
        engine = open_engine(server, name)
        assert engine.identity.digest == f"sha256:{DIGEST}"
        assert engine.chat(ask()).text == "Pain: True"


def test_full_names() -> None:
    assert full_name("registry.ollama.ai/library/Qwen2.5") == "qwen2.5:latest"
    assert full_name("hf.co/me/model:Q4_K_M") == "hf.co/me/model:q4_k_m"
    assert full_name("host:5000/me/model") == "host:5000/me/model:latest"


# What makes an engine useless


@pytest.mark.parametrize("version", ["0.12.10", "0.5.1", "v0.1.47", "0.12.10-rc1"])
def test_an_old_server_is_refused_with_what_was_found(version: str, engine: OllamaEngine, server: OllamaServer) -> None:
    server.version = version
    with pytest.raises(
        EngineUnavailable, match=rf"is version {version}, and Balin needs 0\.12\.11 or later.*update Ollama"
    ):
        _ = engine.identity
    assert server.count("tags") == 0


@pytest.mark.parametrize("version", ["0.12.11", "0.13.0", "0.33.0-rc2", "1.0.0", "0.0.0", "main"])
def test_newer_servers_and_builds_from_source_are_taken(
    version: str, engine: OllamaEngine, server: OllamaServer
) -> None:
    server.version = version
    assert engine.identity.engine_version == version


@given(st.tuples(*[st.integers(0, 300)] * 3).filter(any), st.sampled_from(["", "-rc1", "+build"]))
def test_versions_are_compared_as_numbers(numbers: tuple[int, int, int], suffix: str) -> None:
    assert version_tuple(".".join(map(str, numbers)) + suffix) == numbers


def test_a_context_beyond_the_training_is_refused_at_the_start(server: OllamaServer) -> None:
    engine = open_engine(server, num_ctx=8193)
    with pytest.raises(
        InputError, match="--num-ctx 8193 is more than the 8192 tokens that smollm2:135m was trained with"
    ):
        engine.warm_up()
    assert server.loads == 0


def test_a_context_that_the_server_reduced_is_refused(engine: OllamaEngine, server: OllamaServer) -> None:
    server.clamp = 256
    with pytest.raises(EngineUnavailable, match="context of 256 tokens and not 512; set --num-ctx 256"):
        engine.chat(ask())
    assert server.count("chat") == 0


def test_a_missing_model_is_named_with_its_pull_and_its_neighbours(server: OllamaServer) -> None:
    with pytest.raises(ModelMissing) as caught:
        open_engine(server, "smollm2:360m").warm_up()
    assert "`ollama pull smollm2:360m`" in str(caught.value)
    assert "smollm2:135m" in str(caught.value)
    with pytest.raises(ModelMissing) as caught:
        open_engine(server, "gemma3:270m").warm_up()
    assert "smollm2" not in str(caught.value)


@pytest.mark.parametrize("operation", ["show", "load", "chat", "read"])
def test_a_model_that_goes_away_is_missing(operation: str, engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail(operation, "error_404_model")
    with pytest.raises(ModelMissing, match="ollama pull smollm2:135m"):
        engine.read("Pain:") if operation == "read" else engine.chat(ask())


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "glm:cloud"])
def test_cloud_tags_are_never_asked(model: str, server: OllamaServer) -> None:
    with pytest.raises(RemoteRefused):
        open_engine(server, model, allow_remote=["ollama.com"])
    with pytest.raises(RemoteRefused):
        pull_model(model, host=server.url)
    assert server.requests == []


@pytest.mark.parametrize(
    ("operation", "fault"), [("show", "show_remote"), ("chat", "chat_remote"), ("load", "chat_remote")]
)
def test_a_model_behind_which_is_another_host_is_refused(
    operation: str, fault: str, engine: OllamaEngine, server: OllamaServer
) -> None:
    server.fail(operation, fault)
    with pytest.raises(RemoteRefused, match="another host"):
        engine.chat(ask())
    assert server.count("chat") == (1 if operation == "chat" else 0)


def test_a_listing_that_names_another_host_is_refused(engine: OllamaEngine, server: OllamaServer) -> None:
    body = fixture("tags")
    body["models"][0]["remote_host"] = "https://ollama.com:443"
    server.fail("tags", Reply(200, body))
    with pytest.raises(RemoteRefused):
        _ = engine.identity


@pytest.mark.parametrize(("option", "value"), [("num_ctx", 1), ("retries", -1), ("slots", 0)])
def test_numbers_out_of_range_are_refused(option: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{option} must be at least .*, got {value}"):
        OllamaEngine("m", **{option: value})


def test_another_machine_needs_permission() -> None:
    with pytest.raises(RemoteRefused, match="--allow-remote gpu01"):
        OllamaEngine("m", host="gpu01")
    OllamaEngine("m", host="gpu01", allow_remote=["gpu01"]).close()


def test_the_host_of_the_environment_is_taken_and_guarded(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.url.replace("http://127.0.0.1", "0.0.0.0"))
    assert OllamaEngine("smollm2:135m", num_ctx=512).identity.engine_version == "0.33.0"
    monkeypatch.setenv("OLLAMA_HOST", "gpu01:11434")
    for function in (lambda: OllamaEngine("m"), probe_server, list_models, running, lambda: pull_model("m")):
        with pytest.raises(RemoteRefused):
            function()


# Rendering and reading


def test_rendering_asks_for_the_prompt_and_for_no_answer(engine: OllamaEngine, server: OllamaServer) -> None:
    assert engine.render(ask().messages) == "<|system|>Answer.<|user|>Has she pain?<|assistant|>"
    (body,) = server.bodies("render")
    assert body["_debug_render_only"] is True
    assert body["options"]["num_predict"] == 1


@pytest.mark.parametrize(
    "fault", ["chat", "error_400_thinking", Reply(200, {"_debug_info": {}}), Reply(200, {})], ids=str
)
def test_a_server_that_cannot_render_says_what_for(fault: Fault, engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("render", fault)
    with pytest.raises(EngineUnavailable, match=r"_debug_render_only.*`probe` needs that"):
        engine.render(ask().messages)


def test_a_rendering_that_is_slow_is_a_timeout_of_its_own(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("render", "hang", times=2)
    with pytest.raises(CallTimeout):
        engine.render(ask().messages)


def test_the_end_of_the_text_has_no_probabilities(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("read", "read_end_of_text")
    completion = engine.read("Pain:")
    assert (completion.text, completion.tokens, completion.telemetry.generated_tokens) == ("", (), 1)


def test_a_server_without_probabilities_cannot_probe(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("read", "read_no_logprobs")
    with pytest.raises(EngineUnavailable, match=r"no log-probabilities.*`probe` needs them"):
        engine.read("Pain:")


# Threads and ends


def test_many_threads_share_one_engine(server: OllamaServer) -> None:
    engine = open_engine(server, slots=4, timeout=30, load_timeout=30)
    server.fail("chat", "error_503_busy", times=3)  # one thread may meet them all
    gate = threading.Barrier(4)

    def work(index: int) -> Completion:
        if index < 4:
            gate.wait()
        return engine.chat(ask(f"call {index}"))

    with ThreadPoolExecutor(4) as pool:
        completions = list(pool.map(work, range(24)))
    total = sum((c.telemetry for c in completions), Telemetry())
    assert {c.text for c in completions} == {"Pain: True"}
    assert (total.requests, total.retries, server.count("chat")) == (24, 3, 27)
    assert (server.loads, server.count("load"), server.count("show")) == (1, 1, 1)


def test_a_closed_engine_says_so(engine: OllamaEngine) -> None:
    engine.chat(ask())
    engine.close()
    engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        engine.chat(ask())
