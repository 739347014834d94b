"""An Ollama server beside the engine: listing, pulling, probing; and every body in the fixtures, by hand or recorded."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from balin.engines.ollama import OllamaEngine, list_models, probe_server, pull_model, running
from balin.engines.ollama_api import PullProgress, largest_model
from balin.engines.protocol import Completion
from balin.errors import (
    BalinError,
    EngineUnavailable,
    InputError,
    RemoteRefused,
)

sys.path.append(str(Path(__file__).parent))
from ollama_server import FIXTURES, Fault, OllamaServer, Reply, fixture, fixture_reply, serve  # type: ignore[import-not-found]
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


# The server itself


def test_listing_marks_what_is_remote(server: OllamaServer) -> None:
    server.fail("tags", "tags_remote")
    local, remote = list_models(server.url)
    assert (local.name, local.digest, local.size, local.remote) == ("smollm2:135m", f"sha256:{DIGEST}", 98362432, False)
    assert (remote.name, remote.remote) == ("gpt-oss:120b-cloud", True)
    server.fail("tags", "tags_remote")
    assert largest_model(server.url) == "smollm2:135m"


def test_running_models_tell_their_context(server: OllamaServer) -> None:
    assert running(server.url) == []
    open_engine(server, num_ctx=512).warm_up()
    (model,) = running(server.url)
    assert (model.name, model.num_ctx, model.size, model.size_vram) == ("smollm2:135m", 512, 240123904, 0)


def test_probing_is_quick_and_quiet(server: OllamaServer) -> None:
    assert probe_server(server.url) == "0.33.0"
    server.fail("version", "hang", times=3)
    started = time.perf_counter()
    assert probe_server(server.url) is None
    assert time.perf_counter() - started < 2.5
    assert server.count("version") == 2


def test_a_pull_tells_its_progress(server: OllamaServer) -> None:
    lines: list[PullProgress] = []
    pull_model("smollm2:135m", lines.append, server.url)
    assert lines[0] == PullProgress("pulling manifest", "", 0, 0)
    assert (lines[2].completed, lines[2].total) == (40241970, 98362432)
    assert lines[-1].status == "success"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("pull_missing", "pull model manifest: file does not exist"),
        (Reply(200, [{"status": "pulling manifest"}]), "its last word was 'pulling manifest'"),
        (Reply(500, {"error": "no space left on device"}), "no space left on device"),
        ("reset", "did not pull"),
        ("garbage", "did not pull"),
    ],
    ids=str,
)
def test_a_pull_that_does_not_succeed_is_an_error(fault: Fault, says: str, server: OllamaServer) -> None:
    server.fail("pull", fault)
    with pytest.raises(EngineUnavailable, match=says):
        pull_model("smollm2:135m", host=server.url)


# Bodies, by hand or recorded


def recorded(prefix: str, suffix: str = ".json") -> list[Any]:
    paths = sorted(FIXTURES.glob(f"*/{prefix}*{suffix}"))
    return [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in paths]


@pytest.mark.parametrize("path", recorded("chat") + recorded("read") + recorded("render") + recorded("error_"))
def test_recorded_answers_are_read(path: Path, engine: OllamaEngine, server: OllamaServer) -> None:
    operation = "chat" if path.stem.startswith("error_") else path.stem.partition("_")[0]
    reply = fixture_reply(path.stem, path.parent)
    server.fail(operation, reply, times=4)
    calls = {
        "chat": lambda: engine.chat(ask(partial=True)),
        "read": lambda: engine.read("x"),
        "render": lambda: engine.render([]),
    }
    whole = reply.status == 200 and reply.body.get("done") and _text(reply.body) and not reply.body.get("remote_host")
    nothing_wrong = whole or reply.body.get("_debug_info") or path.stem == "read_end_of_text"
    if not nothing_wrong or path.stem == "read_no_logprobs":
        with pytest.raises(BalinError):
            calls[operation]()
        return
    result = calls[operation]()
    if isinstance(result, Completion):
        assert result.text == _text(reply.body)
        assert len(result.tokens) == len(reply.body.get("logprobs", []))
        assert result.telemetry.prompt_tokens == reply.body["prompt_eval_count"] > 0
    else:
        assert result == reply.body["_debug_info"]["rendered_template"]


@pytest.mark.parametrize("path", recorded("version") + recorded("tags") + recorded("ps") + recorded("show"))
def test_recorded_descriptions_are_read(path: Path, server: OllamaServer) -> None:
    operation = path.stem.partition("_")[0]
    body = json.loads(path.read_text())
    server.fail(operation, Reply(200, body))
    if operation == "version":
        assert probe_server(server.url) == body["version"]
    elif operation == "tags":
        assert [m.name for m in list_models(server.url)] == [m["name"] for m in body["models"]]
    elif operation == "ps":
        assert [m.num_ctx for m in running(server.url)] == [m.get("context_length") for m in body["models"]]
    else:
        engine = open_engine(server, num_ctx=10_000_000)
        with pytest.raises(RemoteRefused if body.get("remote_host") else InputError):
            _ = engine.identity


def _text(body: dict[str, Any]) -> str:
    return str(body.get("response") or body.get("message", {}).get("content") or "")
