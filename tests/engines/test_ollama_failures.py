"""The Ollama engine on a server that misbehaves: what is no answer, what may pass, and what must not leak."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.engines.ollama import OllamaEngine, list_models, probe_server, pull_model, running
from balin.engines.protocol import Completion
from balin.errors import (
    BalinError,
    CallError,
    CallTimeout,
    EmptyAnswer,
    EngineUnavailable,
    IncompleteAnswer,
    PromptTooLong,
    RemoteRefused,
)

sys.path.append(str(Path(__file__).parent))
from ollama_server import Fault, OllamaServer, Reply, serve  # type: ignore[import-not-found]
from scripted import ScriptedEngine, ask, open_engine  # type: ignore[import-not-found]

SECRET = "Mrs-Karimi-of-Shiraz"


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with serve(ScriptedEngine()) as running_server:
        yield running_server


@pytest.fixture
def naps() -> list[float]:
    """The pauses between attempts, which no test sits through."""
    return []


@pytest.fixture
def engine(server: OllamaServer, naps: list[float]) -> Iterator[OllamaEngine]:
    opened = open_engine(server, sleep=naps.append)
    yield opened
    opened.close()


# What is no answer


def test_an_answer_that_stops_in_the_middle(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("chat", "chat_done_false")
    with pytest.raises(IncompleteAnswer, match="done: false"):
        engine.chat(ask(partial=True))


def test_an_answer_cut_at_its_length_counts_only_where_that_was_asked_for(engine: OllamaEngine) -> None:
    with pytest.raises(IncompleteAnswer, match="cut at 1 tokens"):
        engine.chat(ask(max_tokens=1))
    completion = engine.chat(ask(max_tokens=1, partial=True))
    assert (completion.text, completion.finish) == ("Pain:", "length")
    assert engine.read("Pain:").finish == "length"


def test_an_empty_answer_and_one_that_was_only_thought(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("chat", "chat_empty")
    with pytest.raises(EmptyAnswer, match="wrote nothing"):
        engine.chat(ask())
    server.fail("chat", "chat_thinking_only")
    with pytest.raises(EmptyAnswer, match=r"only thought.*does not honour `think: false`") as caught:
        engine.chat(ask())
    assert "caller" not in str(caught.value)


def test_a_prompt_that_does_not_fit_says_by_how_much(engine: OllamaEngine, server: OllamaServer) -> None:
    with pytest.raises(PromptTooLong) as caught:
        engine.chat(ask("word " * 600))
    assert (caught.value.needed, caught.value.limit) == (601 + 8, 512)
    with pytest.raises(PromptTooLong) as caught:
        engine.read("word " * 600)
    assert (caught.value.needed, caught.value.limit) == (601, 512)
    assert (server.count("chat"), server.count("read")) == (1, 1)


def test_a_prompt_that_leaves_no_room_for_the_answer_is_too_long_too(engine: OllamaEngine) -> None:
    with pytest.raises(PromptTooLong) as caught:
        engine.chat(ask("word " * 505))
    assert (caught.value.needed, caught.value.limit) == (506 + 8, 512)


def test_an_old_server_does_not_say_by_how_much(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("chat", "error_400_overflow_before_0.30")
    with pytest.raises(PromptTooLong, match="longer than the context of 512 tokens") as caught:
        engine.chat(ask())
    assert (caught.value.kind, caught.value.limit) == ("prompt_too_long", 512)


def test_an_overflow_told_in_a_stream_error_is_one_too(engine: OllamaEngine, server: OllamaServer) -> None:
    text = "llama-server chat error: map[code:400 n_ctx:512 n_prompt_tokens:900 type:exceed_context_size_error]"
    server.fail("chat", Reply(500, {"error": text}))
    with pytest.raises(PromptTooLong) as caught:
        engine.chat(ask())
    assert (caught.value.needed, caught.value.limit) == (908, 512)


def test_a_refused_request_shows_ollamas_own_sentence(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("chat", "error_400_thinking")
    with pytest.raises(CallError, match=r"refused the request \(HTTP 400: does not support thinking\)"):
        engine.chat(ask())
    assert server.count("chat") == 1


def test_a_server_that_forbids_is_not_asked_again(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("chat", "error_403_cloud_disabled")
    with pytest.raises(EngineUnavailable, match="refuses access"):
        engine.chat(ask())
    assert server.count("chat") == 1


@pytest.mark.parametrize(
    "body",
    [
        {"done": True},
        {"done": True, "message": "text"},
        {"done": True, "message": {"role": "assistant"}},
        {"done": True, "message": {"content": "Pain: True"}, "logprobs": [{"token": "x"}]},
        {"done": True, "message": {"content": "Pain: True"}, "logprobs": [{"token": "x", "logprob": None}]},
        {"done": True, "message": {"content": "Pain: True"}, "logprobs": 3},
    ],
)
def test_a_reply_of_an_unknown_form_fails_that_call(
    body: dict[str, Any], engine: OllamaEngine, server: OllamaServer
) -> None:
    server.fail("chat", Reply(200, body))
    with pytest.raises(CallError):
        engine.chat(ask())
    assert engine.chat(ask()).text == "Pain: True"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "message",
    "response",
    "content",
    "done",
    "done_reason",
    "logprobs",
    "prompt_eval_count",
    "eval_duration",
    "remote_host",
)


def test_whatever_comes_back_is_an_answer_or_an_error_of_ours(server: OllamaServer) -> None:
    engine = open_engine(server, retries=0)

    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(st.sampled_from(KEYS), JSON | st.fixed_dictionaries({"content": JSON, "thinking": JSON})))
    def replies(body: dict[str, Any]) -> None:
        server.fail("chat", Reply(200, body))
        server.fail("read", Reply(200, body))
        for call in (lambda: engine.chat(ask(partial=True)), lambda: engine.read("Pain:")):
            with suppress(BalinError):
                assert isinstance(call(), Completion)

    replies()


# What may pass


@pytest.mark.parametrize("fault", ["error_503_busy", "error_500_runner", "reset", "cut", "garbage"])
@pytest.mark.parametrize("operation", ["chat", "read"])
def test_a_failure_that_passes_costs_a_retry(
    operation: str, fault: str, engine: OllamaEngine, server: OllamaServer, naps: list[float]
) -> None:
    server.fail(operation, fault, times=2)
    completion = engine.chat(ask()) if operation == "chat" else engine.read("Pain:")
    assert completion.text.endswith("True")
    assert (completion.telemetry.requests, completion.telemetry.retries) == (1, 2)
    assert server.count(operation) == 3
    assert len(naps) == 2
    assert 0.5 <= naps[0] <= 1 <= naps[1] <= 2


@pytest.mark.parametrize("operation", ["version", "tags", "show", "load", "ps", "render"])
def test_the_other_requests_are_tried_again_too(operation: str, engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail(operation, "error_503_busy")
    assert engine.render(ask().messages).endswith("<|assistant|>")


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("error_503_busy", EngineUnavailable, "too busy (HTTP 503: server busy, please try again.  maximum pending"),
        ("reset", EngineUnavailable, "cannot be reached (ReadError)"),
        ("cut", EngineUnavailable, "cannot be reached (RemoteProtocolError)"),
        ("error_500_runner", CallError, "failed (HTTP 500: model runner has unexpectedly stopped)"),
        ("error_500_memory", CallError, "model requires more system memory (9.2 GiB) than is available (3.1 GiB)"),
        ("garbage", CallError, "is not a JSON object"),
    ],
)
def test_it_gives_up_with_host_attempts_and_seconds(
    fault: str, error: type[BalinError], says: str, engine: OllamaEngine, server: OllamaServer, naps: list[float]
) -> None:
    engine.warm_up()
    server.fail("chat", fault, times=10)
    with pytest.raises(error) as caught:
        engine.chat(ask())
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert "in 4 attempts over 0 s" in str(caught.value)
    assert error is CallError or server.url in str(caught.value)
    assert (server.count("chat"), len(naps)) == (4, 3)


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = OllamaEngine("m", host=f"127.0.0.1:{port}", retries=1, sleep=lambda _: None)
    with pytest.raises(
        EngineUnavailable, match=rf"127\.0\.0\.1:{port} cannot be reached \(ConnectError\) in 2 attempts"
    ):
        engine.chat(ask())
    assert probe_server(f"127.0.0.1:{port}") is None


def test_a_slow_answer_is_tried_once_more_after_a_look_at_the_load(engine: OllamaEngine, server: OllamaServer) -> None:
    engine.warm_up()
    server.fail("chat", "hang")
    completion = engine.chat(ask())
    assert completion.telemetry.retries == 1
    assert completion.telemetry.wall_seconds >= 0.4
    assert [name for name, _ in server.requests][-4:] == ["chat", "load", "ps", "chat"]


def test_an_answer_that_does_not_come_is_a_timeout_after_two_attempts(
    engine: OllamaEngine, server: OllamaServer
) -> None:
    server.fail("chat", "hang", times=5)
    with pytest.raises(CallTimeout, match=r"no answer within 0\.4 s \(2 attempts"):
        engine.chat(ask())
    assert server.count("chat") == 2


def test_a_load_that_does_not_end_is_told_apart_from_a_slow_answer(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("load", "hang", times=5)
    with pytest.raises(EngineUnavailable, match=r"did not load smollm2:135m within 0\.8 s") as caught:
        engine.chat(ask())
    assert not isinstance(caught.value, CallError)
    assert server.count("chat") == 0


def test_a_load_that_fails_makes_the_engine_unavailable(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("load", "error_500_memory", times=10)
    with pytest.raises(EngineUnavailable, match=r"could not load smollm2:135m: .*requires more system memory"):
        engine.warm_up()


def test_a_server_that_hangs_is_unavailable(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("version", "hang", times=5)
    with pytest.raises(EngineUnavailable, match=r"does not answer within 0\.4 s in 2 attempts"):
        _ = engine.identity


def test_what_is_no_ollama_is_said(engine: OllamaEngine, server: OllamaServer) -> None:
    server.fail("version", Reply(200, {"hello": "world"}))
    with pytest.raises(EngineUnavailable, match="it is not Ollama"):
        _ = engine.identity
    server.fail("version", Reply(404, b"404 page not found"))
    with pytest.raises(EngineUnavailable, match="not Ollama, or too old"):
        _ = engine.identity


# Privacy


def test_a_redirect_is_not_followed(engine: OllamaEngine, server: OllamaServer) -> None:
    with serve(ScriptedEngine()) as elsewhere:
        server.fail("chat", Reply(307, b"", {"Location": f"{elsewhere.url}/api/chat"}))
        with pytest.raises(RemoteRefused, match="points elsewhere"):
            engine.chat(ask())
        server.fail("pull", Reply(307, b"", {"Location": f"{elsewhere.url}/api/pull"}))
        with pytest.raises(EngineUnavailable):
            pull_model("smollm2:135m", host=server.url)
        assert elsewhere.requests == []


def test_proxies_of_the_environment_are_not_used(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(ScriptedEngine()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        # The test can fail: a client that reads the environment does go through the proxy, which knows no such path.
        assert httpx.get(f"{server.url}/api/version").status_code == 404
        engine = open_engine(server)
        engine.chat(ask())
        engine.read("Pain:")
        engine.render(ask().messages)
        pull_model("smollm2:135m", host=server.url)
        assert probe_server(server.url) == "0.33.0"
        assert list_models(server.url)
        assert running(server.url)
        assert proxy.requests == []


FAULTS: list[Fault] = [
    "error_503_busy",
    "error_500_runner",
    "error_400_overflow",
    "error_400_overflow_before_0.30",
    "error_404_model",
    "chat_done_false",
    "chat_length",
    "chat_empty",
    "chat_thinking_only",
    "chat_remote",
    "reset",
    "cut",
    "garbage",
    "hang",
    Reply(400, {"error": f"Failed to parse input at pos 0: {SECRET}"}),
    Reply(500, {"error": f"template error near {SECRET}"}),
    Reply(500, {"error": {"message": SECRET}}),
    Reply(400, SECRET.encode()),
    Reply(418, {"error": SECRET}),
    Reply(403, {"error": SECRET}),
    Reply(302, {"error": SECRET}, {"Location": "http://example.org/"}),
    Reply(200, SECRET.encode()),
    Reply(200, [SECRET]),
    Reply(200, {"done": True, "message": SECRET}),
    Reply(200, {"done": False, "message": {"role": "assistant", "content": SECRET}}),
    Reply(200, {"done": True, "message": {"content": "", "thinking": SECRET}}),
    Reply(200, {"done": True, "message": {"content": SECRET}, "logprobs": [{"token": SECRET}]}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_error_or_log_line_holds_the_prompt(
    fault: Fault, server: OllamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = open_engine(server, retries=1, timeout=0.15)
    server.fail("chat", fault, times=3)
    with pytest.raises(BalinError) as caught:
        engine.chat(ask(SECRET))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in caplog.text
