"""The engine protocol: what is asked of a model and what comes back.

An engine owns one loaded model. It answers two kinds of requests: `chat` (a conversation, the model's own template,
optionally under a JSON schema) and `read` (one token after a prompt that is already rendered, with the probabilities
of the alternatives). Everything that can go wrong with one request is a `CallError`; everything that makes further
requests pointless is an `EngineUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol, Self, runtime_checkable

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be continued by the model.

    Attributes:
        messages: System, demos and the transcript, in order; the last one is the user's.
        max_tokens: Tokens the model may write; at least 1.
        schema: A JSON schema that the answer must follow, or None for free text.
        top_logprobs: Alternatives wanted per written token, 0 to 20.
        temperature: 0 is greedy.
        seed: For sampling; of no effect at temperature 0.
        partial: Return an answer that ended at `max_tokens` (with `finish` "length") instead of raising
            `IncompleteAnswer`. Only a format that can tell complete values from cut ones may ask for it.
        repeat_penalty: Divides the scores of tokens among the last 64; 1 leaves them as they are. For free text alone: it would
            bend values that repeat.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    top_logprobs: int = 0
    temperature: float = 0.0
    seed: int = 0
    partial: bool = False
    repeat_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One written token with the alternatives at its place.

    Attributes:
        token: The token's text as the model's vocabulary has it, with its leading space if it has one.
        logprob: Natural logarithm of its probability.
        top: (token, logprob) of the likeliest tokens, best first.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What requests cost; adds up with `+`.

    Attributes:
        requests: HTTP or in-process requests that were answered.
        retries: Further attempts that failed before them.
        prompt_tokens: Tokens of the prompts, cached ones included.
        cached_tokens: Those of them that were not computed again; None where the engine does not say.
        generated_tokens: Tokens the model wrote.
        prefill_seconds: Time the engine spent reading prompts.
        decode_seconds: Time the engine spent writing.
        load_seconds: Time the engine spent loading the model.
        wall_seconds: Time from request to answer as the caller saw it, retries included.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int | None = 0
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    load_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __add__(self, other: Telemetry) -> Telemetry:
        values: dict[str, Any] = {}
        for item in fields(self):
            a, b = getattr(self, item.name), getattr(other, item.name)
            values[item.name] = None if a is None or b is None else a + b
        return Telemetry(**values)

    @property
    def engine_seconds(self) -> float:
        """Seconds of the engine's own work: prefill and decode."""
        return self.prefill_seconds + self.decode_seconds

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; unknown keys are ignored."""
        names = {item.name for item in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in names})


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote.

    Attributes:
        text: The text, without the template's own marks.
        finish: "stop" (the model ended) or "length" (it was cut at `max_tokens`).
        tokens: The written tokens, where log-probabilities were asked for; else empty.
        telemetry: What it cost.
    """

    text: str
    finish: Literal["stop", "length"]
    tokens: tuple[TokenChoice, ...] = ()
    telemetry: Telemetry = field(default_factory=Telemetry)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model gave an answer; part of every key in the store.

    Attributes:
        name: The name the user gave (a catalogue name or an Ollama tag).
        digest: "sha256:…" of the GGUF, or of the Ollama manifest.
        engine: "embedded" or "ollama".
        engine_version: The engine's own version.
        num_ctx: The context in tokens.
    """

    name: str
    digest: str
    engine: str
    engine_version: str
    num_ctx: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


@runtime_checkable
class Engine(Protocol):
    """One loaded model that answers requests. Safe to call from `slots` threads at once."""

    @property
    def identity(self) -> ModelIdentity:
        """The model behind this engine. Raises `EngineUnavailable` if that cannot be found out."""

    @property
    def slots(self) -> int:
        """Requests the engine works on at once; at least 1."""

    def chat(self, request: ChatRequest) -> Completion:
        """Continue a conversation.

        Raises:
            CallError: This request failed; the next may not.
            EngineUnavailable: Nothing further can be asked.
        """

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt that the model's template makes of `messages`, with the assistant's turn opened.

        Raises:
            EngineUnavailable: The engine cannot render.
        """

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        """The next token after a rendered prompt, greedy, with its alternatives.

        The prompt's longest common prefix with the request before it on the same slot is not computed again.

        Raises:
            CallError: This request failed; the next may not.
            EngineUnavailable: Nothing further can be asked.
        """

    def close(self) -> None:
        """Free the model or the connections. Further requests are undefined."""
