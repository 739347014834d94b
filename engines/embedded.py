"""The embedded engine: llama.cpp inside this process, for machines without Ollama, for tests and for the demo.

`xllamacpp` carries llama.cpp's own server core in a wheel. Requests are passed to it by function call. Its HTTP side
cannot be switched off, so it listens on a loopback port behind a random key that never leaves this object; `render`
is the one call that goes through it. The model is loaded at the first request.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from ..errors import CallError, EmptyAnswer, EngineUnavailable, IncompleteAnswer, PromptTooLong
from .protocol import ChatRequest, Completion, Message, ModelIdentity, Telemetry, TokenChoice
from .slots import seconds


class EmbeddedEngine:
    """An `Engine` over one GGUF file.

    Args:
        weights: The GGUF file, already verified.
        name: The model's catalogue name.
        digest: "sha256:…" of the file.
        num_ctx: Context in tokens.
        threads: CPU threads; by default all cores of this process.
        slots: Requests to work on at once, at least 1. Written answers come faster together; each slot keeps a context and a cached prefix of its own.

    Raises:
        EngineUnavailable: There is no such file. At the first request: no wheel of `xllamacpp` for this machine, or the file
            cannot be loaded.
    """

    def __init__(
        self, weights: Path, *, name: str, digest: str, num_ctx: int = 4096, threads: int | None = None, slots: int = 1
    ) -> None:
        if not weights.is_file():
            raise EngineUnavailable(f"no weights at {weights}; run `balin models pull {name}`")
        self.identity = ModelIdentity(name, digest, "embedded", _version(), num_ctx)
        self.slots = slots
        self._weights = weights
        self._threads = threads or len(os.sched_getaffinity(0))
        self._key = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._server: Any = None
        self._http: httpx.Client | None = None
        self._closed = False

    def chat(self, request: ChatRequest) -> Completion:
        """See `Engine.chat`."""
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": request.max_tokens,
            **_sampling(request.temperature, request.seed, request.repeat_penalty),
        }
        if request.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"schema": dict(request.schema)}}
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        reply, wall = self._ask("handle_chat_completions", body)
        choice = reply["choices"][0]
        completion = self._completion(choice["message"].get("content") or "", choice, reply, wall)
        used = completion.telemetry.prompt_tokens + request.max_tokens
        if used > self.identity.num_ctx:
            raise PromptTooLong(used, self.identity.num_ctx)
        if completion.finish == "length" and not request.partial:
            raise IncompleteAnswer(f"the answer was cut at {request.max_tokens} tokens")
        if not completion.text.strip():
            raise EmptyAnswer("the model wrote nothing")
        return completion

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        """See `Engine.read`."""
        body = {"prompt": prompt, "max_tokens": 1, "logprobs": top_logprobs, "cache_prompt": True, **_sampling(0.0, 0)}
        reply, wall = self._ask("handle_completions", body)
        choice = reply["choices"][0]
        return self._completion(choice.get("text") or "", choice, reply, wall)

    def render(self, messages: Sequence[Message]) -> str:
        """See `Engine.render`."""
        body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        return str(self._post("/apply-template", body)["prompt"])

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` in this model's vocabulary, without the template's."""
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def close(self) -> None:
        """Free the model; further requests raise `EngineUnavailable`."""
        with self._lock:
            if self._http is not None:
                self._http.close()
            self._server, self._http, self._closed = None, None, True

    def _open(self) -> tuple[Any, httpx.Client]:
        """The server, loaded at the first request: where every answer is in the store, no model is loaded."""
        if self._closed:
            raise EngineUnavailable("the embedded engine is closed")
        if self._server is None or self._http is None:
            self._server = _load(self._weights, self.identity.num_ctx, self._threads, self.slots, self._key)
            self._http = httpx.Client(
                base_url=self._server.listening_address,
                headers={"Authorization": f"Bearer {self._key}"},
                trust_env=False,
                timeout=60,
            )
        return self._server, self._http

    def _ask(self, handler: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        waiting = seconds()
        with self._lock:
            server, _ = self._open()
        self._thread.load = getattr(self._thread, "load", 0.0) + seconds() - waiting
        started = time.perf_counter()
        reply = dict(getattr(server, handler)(dict(body)))
        wall = time.perf_counter() - started
        if "error" in reply:
            error = reply["error"]
            if error.get("type") == "exceed_context_size_error":
                raise PromptTooLong(error["n_prompt_tokens"] + int(body["max_tokens"]), error["n_ctx"])
            # llama.cpp's own messages can quote the request, so only its kind and code are passed on.
            raise CallError(f"llama.cpp refused the request: {error.get('type')} ({error.get('code')})")
        return reply, wall

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        waiting = seconds()
        with self._lock:
            _, http = self._open()
            self._thread.load = getattr(self._thread, "load", 0.0) + seconds() - waiting
            try:
                reply = http.post(path, json=body)
                reply.raise_for_status()
            except httpx.HTTPError as error:
                raise EngineUnavailable(f"the embedded engine did not answer {path} ({type(error).__name__})") from None
        return dict(reply.json())

    def _completion(self, text: str, choice: dict[str, Any], reply: dict[str, Any], wall: float) -> Completion:
        timings, usage = reply["timings"], reply["usage"]
        # Waiting for another thread to load the model is loading too.
        load, self._thread.load = self._thread.load, 0.0
        return Completion(
            text=text,
            finish="length" if choice["finish_reason"] == "length" else "stop",
            tokens=tuple(_token(t) for t in ((choice.get("logprobs") or {}).get("content") or ())),
            telemetry=Telemetry(
                requests=1,
                prompt_tokens=usage["prompt_tokens"],
                cached_tokens=timings["cache_n"],
                generated_tokens=usage["completion_tokens"],
                prefill_seconds=timings["prompt_ms"] / 1000,
                decode_seconds=timings["predicted_ms"] / 1000,
                load_seconds=load,
                wall_seconds=wall,
            ),
        )


def _load(weights: Path, num_ctx: int, threads: int, slots: int, key: str) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise EngineUnavailable(
            "the embedded engine needs the package xllamacpp, which has no wheel for this machine; use --engine ollama"
        ) from None
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = num_ctx * slots
    params.n_parallel = slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.ctx_shift = False
    params.hostnames = ["127.0.0.1"]
    params.api_keys = [key]
    params.endpoint_slots = False
    params.verbosity = -1
    try:
        return xllamacpp.Server(params)
    except Exception as error:  # the binding raises bare RuntimeError and more
        raise EngineUnavailable(f"llama.cpp could not load {weights.name}: {error}") from None


def _version() -> str:
    try:
        return f"xllamacpp {metadata.version('xllamacpp')}"
    except metadata.PackageNotFoundError:
        return "xllamacpp absent"


def _sampling(temperature: float, seed: int, repeat_penalty: float = 1.0) -> dict[str, Any]:
    # The same explicit values as the Ollama engine's: both have defaults of their own that changed over time.
    greedy = {"top_k": 1} if temperature == 0 else {}
    return {
        "temperature": temperature,
        "top_p": 1.0,
        "min_p": 0.0,
        "repeat_penalty": repeat_penalty,
        "repeat_last_n": 64,
        "seed": seed,
        **greedy,
    }


def _token(item: Mapping[str, Any]) -> TokenChoice:
    top = tuple((t["token"], t["logprob"]) for t in item.get("top_logprobs", ()))
    return TokenChoice(item["token"], item["logprob"], top)
