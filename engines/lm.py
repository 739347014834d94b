"""A `dspy.LM` over an engine: how DSPy's own modules and teleprompters reach the model.

DSPy's extension point is `dspy.LM(model, engine=…)` with `complete(Request) -> Response`. Balin's adapters go one step
further down, to `engine_of(lm)`: one answer may take many requests (probes), and every request carries telemetry, which
DSPy's call path has no place for.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import (
    BalinError,
    CallTimeout,
    EmptyAnswer,
    EngineUnavailable,
    IncompleteAnswer,
    InputError,
    PromptTooLong,
)
from ..signatures.private_dspy import dspy
from .protocol import ChatRequest, Completion, Engine, Message

DEFAULT_MAX_TOKENS = 1024


class EngineBridge:
    """Balin's `Engine` in the shape of a DSPy engine; raises DSPy's errors, so that its retries classify them."""

    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
    supported_params = frozenset({"temperature", "max_tokens", "seed", "logprobs", "top_logprobs", "response_format"})

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def complete(self, request: Any) -> Any:
        """One DSPy request to the engine."""
        try:
            completion = self.engine.chat(_chat_request(request))
        except BalinError as error:
            _raise_as_dspy(error)
        return _response(request, completion)

    def stream(self, request: Any) -> NoReturn:
        """Not offered: nothing in Balin shows half an answer."""
        raise dspy.lm15.UnsupportedFeatureError("Balin's engines do not stream")

    def close(self) -> None:
        """The engine belongs to its maker, who closes it."""

    def dump_state(self) -> dict[str, Any]:
        """Nothing of an engine is saved with a program."""
        return {}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> NoReturn:
        """Programs are saved without an engine, so there is none to load."""
        raise InputError("a program holds no engine; open one and make a language model of it")


def language_model(engine: Engine, **options: Any) -> dspy.LM:
    """A `dspy.LM` whose name holds model, digest and context, so that no cache of DSPy's can mix two of them up."""
    identity = engine.identity
    name = f"balin/{identity.name}@{identity.digest.removeprefix('sha256:')[:12]}?num_ctx={identity.num_ctx}"
    settings: dict[str, Any] = {"temperature": 0.0, "max_tokens": DEFAULT_MAX_TOKENS, "cache": False, **options}
    return dspy.LM(name, engine=EngineBridge(engine), **settings)


def engine_of(lm: Any) -> Engine:
    """The engine beneath a language model made by `language_model`.

    Raises:
        InputError: It was made by something else.
    """
    bridge = getattr(lm, "engine", None)
    if not isinstance(bridge, EngineBridge):
        raise InputError("Balin's programs need a language model made by balin.engines.lm.language_model")
    return bridge.engine


def _chat_request(request: Any) -> ChatRequest:
    config = request.config
    unsupported = [n for n in ("top_p", "top_k", "stop", "frequency_penalty", "presence_penalty") if getattr(config, n)]
    if unsupported:
        raise dspy.lm15.UnsupportedFeatureError(f"Balin's engines do not take {', '.join(unsupported)}")
    messages = [Message("system", _text(request.system))] if request.system else []
    for message in request.messages:
        role = "assistant" if message.role == "assistant" else "system" if message.role == "developer" else "user"
        messages.append(Message(role, _text(message.parts)))  # type: ignore[arg-type]  # one of Role by construction
    schema = (config.response_format or {}).get("schema")
    return ChatRequest(
        messages=tuple(messages),
        max_tokens=config.max_tokens or DEFAULT_MAX_TOKENS,
        schema=schema,
        top_logprobs=0 if config.logprobs is None else max(1, config.logprobs),
        temperature=config.temperature or 0.0,
        seed=config.seed or 0,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [getattr(part, "text", None) for part in content]
    if any(part is None for part in parts):
        raise dspy.lm15.UnsupportedFeatureError("Balin's engines read text only")
    return "".join(str(part) for part in parts)


def _response(request: Any, completion: Completion) -> Any:
    lm15, cost = dspy.lm15, completion.telemetry
    tokens = tuple(
        lm15.TokenLogprob(t.token, t.logprob, top=tuple(lm15.TopLogprob(a, p) for a, p in t.top))
        for t in completion.tokens
    )
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant(completion.text),
        finish_reason=completion.finish,
        usage=lm15.Usage(
            input_tokens=cost.prompt_tokens, output_tokens=cost.generated_tokens, cache_read_tokens=cost.cached_tokens
        ),
        logprobs=tokens or None,
    )


def _raise_as_dspy(error: BalinError) -> NoReturn:
    """The engine has made its own retries, so nothing is handed to DSPy as worth another try but a timeout."""
    lm15 = dspy.lm15
    if isinstance(error, CallTimeout):
        raise lm15.TimeoutError(str(error)) from None
    if isinstance(error, PromptTooLong):
        raise lm15.ContextLengthError(str(error)) from None
    if isinstance(error, EngineUnavailable | EmptyAnswer | IncompleteAnswer):
        raise lm15.ProviderError(str(error)) from None
    raise lm15.InvalidRequestError(str(error)) from None
