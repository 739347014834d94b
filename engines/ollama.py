"""The Ollama engine: one model of a server on this machine, every request explicit and every reply checked.

Left to its defaults, Ollama drops the demos from a prompt that is too long and answers 200, thinks aloud, samples, and
chooses its own context. Every request here says `truncate: false`, `shift: false`, `think: false`, its `num_ctx` and its
sampling, and an answer counts only if it is finished, local, not empty and fits the context.
"""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import (
    CallError,
    CallTimeout,
    EmptyAnswer,
    EngineUnavailable,
    IncompleteAnswer,
    InputError,
    ModelMissing,
    PromptTooLong,
)
from .guard import check_reply, check_tag
from .ollama_api import (
    InstalledModel,
    PullProgress,
    RunningModel,
    Server,
    SlowReply,
    count,
    digest_of,
    entries,
    full_name,
    list_models,
    name_of,
    probe_server,
    pull_model,
    running,
    version_tuple,
)
from .protocol import ChatRequest, Completion, Message, ModelIdentity, Telemetry, TokenChoice
from .retry import Backoff

__all__ = [
    "MIN_VERSION",
    "InstalledModel",
    "OllamaEngine",
    "PullProgress",
    "RunningModel",
    "list_models",
    "probe_server",
    "pull_model",
    "running",
]

MIN_VERSION = (0, 12, 11)
MAX_TOP_LOGPROBS = 20


class OllamaEngine:
    """An `Engine` over one model of an Ollama server, version 0.12.11 or later.

    Nothing is sent before `identity`, `warm_up`, `chat`, `read` or `render` is first used.

    Args:
        model: The model's name; ":latest" where it has no tag.
        host: The server, as in OLLAMA_HOST; by default that variable, else http://127.0.0.1:11434.
        num_ctx: Context in tokens. One value a model: Ollama loads the model again whenever it changes.
        allow_remote: Hosts other than this machine that may be asked.
        timeout: Seconds to wait for an answer of a loaded model.
        connect_timeout: Seconds to wait for a connection.
        load_timeout: Seconds to wait for the model to be loaded.
        retries: Further attempts after a failure that may pass; a timeout is tried again once.
        keep_alive: How long the server keeps the model after a request, as Ollama writes it ("30m"; "-1m" for ever).
        slots: Requests to send at once: the server's OLLAMA_NUM_PARALLEL, which it does not tell; by default 1.
        sleep: Waits between attempts.

    Raises:
        InputError: A number is out of range, or `host` is no address.
        RemoteRefused: The server or the model is not on this machine.
    """

    def __init__(
        self,
        model: str,
        *,
        host: str | None = None,
        num_ctx: int = 4096,
        allow_remote: Collection[str] = (),
        timeout: float = 300.0,
        connect_timeout: float = 5.0,
        load_timeout: float = 600.0,
        retries: int = 3,
        keep_alive: str = "30m",
        slots: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.slots = 1 if slots is None else slots
        for name, value, least in (("num_ctx", num_ctx, 2), ("retries", retries, 0), ("slots", self.slots, 1)):
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        check_tag(model)
        self.model = model
        self._num_ctx = num_ctx
        self._keep_alive = keep_alive
        self._timeout = timeout
        self._load_timeout = load_timeout
        backoff = Backoff(retries, sleep=sleep)
        self._server = Server(
            host, allow_remote, backoff=backoff, timeout=min(timeout, 30.0), connect_timeout=connect_timeout
        )
        self._lock = threading.RLock()
        self._identity: ModelIdentity | None = None
        self._loaded = False
        self._load_seconds = 0.0

    @property
    def host(self) -> str:
        """The URL of the server."""
        return self._server.url

    @property
    def identity(self) -> ModelIdentity:
        """The model's name, its manifest's digest, the server's version and the context; asked once.

        Raises:
            EngineUnavailable: No server, a version that is too old, no such model, or a model on another host.
            InputError: `num_ctx` is more than the model was trained with (Ollama would silently use less).
        """
        with self._lock:
            if self._identity is None:
                self._identity = self._identify()
            return self._identity

    def warm_up(self) -> None:
        """Load the model, so that a cold start is not taken for a hang; the next answer's telemetry tells the seconds.

        Raises:
            EngineUnavailable: As `identity`; or the model was not loaded, not in time, or not with the context asked for.
        """
        with self._lock:
            _ = self.identity
            body = self._body() | {"messages": [], "options": {"num_ctx": self._num_ctx}}
            started = time.perf_counter()
            try:
                reply = self._server.ask(
                    "POST", "/api/chat", body, wait=self._load_timeout, slow=self._not_loaded, missing=self._gone
                )
            except CallError as error:
                raise EngineUnavailable(f"Ollama at {self.host} could not load {self.model}: {error}") from None
            self._load_seconds += time.perf_counter() - started
            check_reply(reply, self.model)
            self._check_context()
            self._loaded = True

    def chat(self, request: ChatRequest) -> Completion:
        """See `Engine.chat`."""
        body = self._body(request.max_tokens, request.temperature, request.seed, request.repeat_penalty)
        body["messages"] = _messages(request.messages)
        if request.schema is not None:
            body["format"] = dict(request.schema)
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": min(request.top_logprobs, MAX_TOP_LOGPROBS)}
        reply, telemetry = self._ask("/api/chat", body)
        message = reply.get("message")
        if not isinstance(message, Mapping):
            raise CallError("Ollama's reply holds no message")
        completion = _completion(message.get("content"), reply, telemetry)
        if completion.finish == "length" and not request.partial:
            raise IncompleteAnswer(f"the answer was cut at {request.max_tokens} tokens")
        if not completion.text.strip():
            if message.get("thinking"):
                raise EmptyAnswer(f"{self.model} only thought and wrote no answer: it does not honour `think: false`")
            raise EmptyAnswer("the model wrote nothing")
        return completion

    def read(self, prompt: str, *, top_logprobs: int = MAX_TOP_LOGPROBS) -> Completion:
        """See `Engine.read`. `tokens` is empty where the next token ends the text or is no whole character."""
        body = self._body(1) | {"prompt": prompt, "raw": True, "logprobs": True}
        body["top_logprobs"] = min(top_logprobs, MAX_TOP_LOGPROBS)
        reply, telemetry = self._ask("/api/generate", body)
        completion = _completion(reply.get("response"), reply, telemetry)
        if completion.text and not completion.tokens:
            raise EngineUnavailable(
                f"Ollama at {self.host} sends no log-probabilities for {self.model}, and the format `probe` needs them; "
                "choose another format"
            )
        return completion

    def render(self, messages: Sequence[Message]) -> str:
        """See `Engine.render`. Includes the system prompt of the model's own Modelfile, as `chat` does."""
        # One token, for a server that does not know the switch and answers instead.
        body = self._body(1) | {"messages": _messages(messages), "_debug_render_only": True}
        reply: Mapping[str, Any] = {}
        try:
            reply = self._send("/api/chat", body)[0]
        except CallTimeout:
            raise
        except CallError:
            pass
        info = reply.get("_debug_info")
        rendered = info.get("rendered_template") if isinstance(info, Mapping) else None
        if not isinstance(rendered, str) or not rendered:
            raise EngineUnavailable(
                f"Ollama at {self.host} does not render prompts for {self.model} (`_debug_render_only`), and the format "
                "`probe` needs that; update Ollama or choose another format"
            )
        return rendered

    def close(self) -> None:
        """Close the connections. The server keeps the model loaded for `keep_alive`."""
        self._server.close()

    def _body(
        self, max_tokens: int = 1, temperature: float = 0.0, seed: int = 0, repeat_penalty: float = 1.0
    ) -> dict[str, Any]:
        # All that a Modelfile or another version could change is said: repeat_penalty was 1.1 by default until 0.30 and
        # later became 1.0, and some models bring a presence_penalty. A change of `shift` would load the model again.
        return {
            "model": self.model,
            "stream": False,
            "think": False,
            "truncate": False,
            "shift": False,
            "keep_alive": self._keep_alive,
            "options": {
                "num_ctx": self._num_ctx,
                "num_predict": max_tokens,
                "temperature": temperature,
                "seed": seed,
                "top_k": 1 if temperature == 0 else 40,
                "top_p": 1.0,
                "min_p": 0.0,
                "repeat_penalty": repeat_penalty,
                "repeat_last_n": 64,
                "presence_penalty": 0.0,
                "frequency_penalty": 0.0,
            },
        }

    def _ask(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], Telemetry]:
        """A finished answer that fits the context, and what it cost."""
        started = time.perf_counter()
        reply, retries = self._send(path, body)
        with self._lock:
            load_seconds, self._load_seconds = self._load_seconds, 0.0
        telemetry = Telemetry(
            requests=1,
            retries=retries,
            prompt_tokens=count(reply, "prompt_eval_count"),
            cached_tokens=None,
            generated_tokens=count(reply, "eval_count"),
            prefill_seconds=count(reply, "prompt_eval_duration") / 1e9,
            decode_seconds=count(reply, "eval_duration") / 1e9,
            load_seconds=count(reply, "load_duration") / 1e9 + load_seconds,
            wall_seconds=time.perf_counter() - started,
        )
        if reply.get("done") is not True:
            raise IncompleteAnswer("Ollama stopped in the middle (done: false), as it does when a model repeats itself")
        needed = telemetry.prompt_tokens + int(body["options"]["num_predict"])
        if needed > self._num_ctx:
            raise PromptTooLong(needed, self._num_ctx)
        return reply, telemetry

    def _send(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The reply, from this machine, and the failures before it."""
        with self._lock:
            if not self._loaded:
                self.warm_up()
        timed_out = False

        def attempt() -> dict[str, Any]:
            nonlocal timed_out
            if timed_out:
                # It may have been a load: another program's model can have pushed this one out.
                timed_out = False
                self.warm_up()
            try:
                return self._server.once(
                    "POST", path, body, wait=self._timeout, slow=self._too_slow, missing=self._gone
                )
            except SlowReply:
                timed_out = True
                raise

        reply, failures = self._server.backoff.run(attempt)
        check_reply(reply, self.model)
        return reply, failures

    def _identify(self) -> ModelIdentity:
        version = self._server.version()
        if version_tuple(version) < MIN_VERSION:
            raise EngineUnavailable(
                f"Ollama at {self.host} is version {version}, and Balin needs {'.'.join(map(str, MIN_VERSION))} or later "
                "(log-probabilities, and an error for a prompt that does not fit): update Ollama"
            )
        installed = entries(self._server.ask("GET", "/api/tags"))
        listed = next((item for item in installed if full_name(name_of(item)) == full_name(self.model)), None)
        if listed is None:
            raise self._missing([name_of(item) for item in installed])
        check_reply(listed, self.model)
        shown = self._server.ask("POST", "/api/show", {"model": self.model}, missing=self._gone)
        check_reply(shown, self.model)
        trained = _trained_context(shown)
        if trained and self._num_ctx > trained:
            raise InputError(
                f"--num-ctx {self._num_ctx} is more than the {trained} tokens that {self.model} was trained with; "
                "Ollama would silently use fewer"
            )
        digest = digest_of(listed)
        if not digest:
            raise EngineUnavailable(f"Ollama at {self.host} lists {self.model} without a digest; pull the model again")
        return ModelIdentity(self.model, digest, "ollama", version, self._num_ctx)

    def _missing(self, names: Sequence[str]) -> ModelMissing:
        family = full_name(self.model).partition(":")[0]
        near = [name for name in names if full_name(name).partition(":")[0] == family]
        near += [name for name in difflib.get_close_matches(self.model, names, 3, 0.5) if name not in near]
        hint = f", or use one that is there: {', '.join(near[:5])}" if near else ""
        return ModelMissing(f"Ollama at {self.host} has no model {self.model}: run `ollama pull {self.model}`{hint}")

    def _gone(self) -> EngineUnavailable:
        """For HTTP 404 on the model: it was there a moment ago, or its listing lies."""
        names: list[str] = []
        with suppress(EngineUnavailable, CallError):
            names = [name_of(item) for item in entries(self._server.ask("GET", "/api/tags"))]
        return self._missing([name for name in names if full_name(name) != full_name(self.model)])

    def _too_slow(self, attempts: int, seconds: float) -> CallTimeout:
        return CallTimeout(
            f"{self.model} gave no answer within {self._timeout:g} s ({attempts} attempts over {seconds:.0f} s)"
        )

    def _not_loaded(self, attempts: int, seconds: float) -> EngineUnavailable:
        return EngineUnavailable(
            f"Ollama at {self.host} did not load {self.model} within {self._load_timeout:g} s; "
            "its log says why, and `ollama ps` what else is loaded"
        )

    def _check_context(self) -> None:
        """The context that the server says the model has now: it reduces one that does not fit the memory."""
        for item in entries(self._server.ask("GET", "/api/ps")):
            loaded = count(item, "context_length")
            if full_name(name_of(item)) == full_name(self.model) and 0 < loaded < self._num_ctx:
                raise EngineUnavailable(
                    f"Ollama loaded {self.model} with a context of {loaded} tokens and not {self._num_ctx}; "
                    f"set --num-ctx {loaded}, or make room in its memory"
                )


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _completion(text: object, reply: Mapping[str, Any], telemetry: Telemetry) -> Completion:
    if not isinstance(text, str):
        raise CallError("Ollama's reply holds no text")
    return Completion(
        text=text,
        finish="length" if reply.get("done_reason") == "length" else "stop",
        tokens=_tokens(reply.get("logprobs")),
        telemetry=telemetry,
    )


def _tokens(items: object) -> tuple[TokenChoice, ...]:
    """The `logprobs` of a reply: [{token, logprob, bytes, top_logprobs: [{token, logprob, bytes}]}], or none."""
    if not items:
        return ()
    try:
        return tuple(_token(item) for item in items)  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise CallError("Ollama's log-probabilities are not of the form that its API describes")


def _token(item: Mapping[str, Any]) -> TokenChoice:
    top = [(str(other["token"]), float(other["logprob"])) for other in item.get("top_logprobs") or ()]
    top.sort(key=lambda choice: -choice[1])
    return TokenChoice(str(item["token"]), float(item["logprob"]), tuple(top))


def _trained_context(shown: Mapping[str, Any]) -> int:
    """The context that a model was trained with, from /api/show, or 0 where it does not say."""
    info = shown.get("model_info")
    if not isinstance(info, Mapping):
        return 0
    return count(info, f"{info.get('general.architecture')}.context_length")
