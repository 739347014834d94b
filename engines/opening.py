"""Opening an engine by name: Ollama where it answers and has the model, else the embedded one; and saying which."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import EngineUnavailable, InputError, ModelMissing, RemoteRefused
from .catalogue import ModelEntry, load_catalogue
from .guard import check_tag, client_address
from .protocol import Engine

EngineChoice = Literal["auto", "ollama", "embedded"]
DEFAULT_MODEL = "qwen2.5-coder:1.5b"
DEFAULT_NUM_CTX = 4096


@dataclass(frozen=True)
class EngineSettings:
    """How engines are opened.

    Attributes:
        choice: Which engine.
        host: Ollama's address; by default OLLAMA_HOST, else the loopback port 11434.
        allow_remote: Hosts other than this machine that may receive text.
        num_ctx: Context in tokens; by default the catalogue's.
        timeout: Seconds to wait for one answer.
        threads: CPU threads of the embedded engine; by default one a core.
        slots: Requests to send at once: to Ollama no more than its OLLAMA_NUM_PARALLEL.
        translating: The same while texts are translated, where it is to be more: these are long answers to short prompts, which
            the embedded engine writes faster together.
        models_dir: Where weights of embedded models are.
    """

    choice: EngineChoice = "auto"
    host: str | None = None
    allow_remote: Collection[str] = ()
    num_ctx: int | None = None
    timeout: float = 300.0
    threads: int | None = None
    slots: int = 1
    translating: int | None = None
    models_dir: Path | None = None

    def for_translating(self) -> EngineSettings:
        """These settings as they are while texts are translated."""
        return replace(self, slots=self.translating or self.slots)


def open_engine(model: str, settings: EngineSettings, *, say: Callable[[str], None] = lambda _: None) -> Engine:
    """An engine that holds `model`.

    Args:
        model: A catalogue name or an Ollama tag.
        settings: How.
        say: Told in one sentence which engine was taken and why.

    Raises:
        EngineUnavailable: No engine has the model; the message says what each lacks and what to do.
        InputError: The context is larger than the model's own.
    """
    check_tag(model)
    entry = load_catalogue().find(model)
    num_ctx = settings.num_ctx or (entry.num_ctx if entry else DEFAULT_NUM_CTX)
    if entry is not None and num_ctx > entry.context:
        raise InputError(f"--num-ctx {num_ctx} is more than the {entry.context} tokens that {model} was trained on")
    if settings.choice == "ollama":
        return _ollama(model, entry, num_ctx, settings)
    if settings.choice == "embedded":
        return _embedded(model, entry, num_ctx, settings)
    return _either(model, entry, num_ctx, settings, say)


def _either(
    model: str, entry: ModelEntry | None, num_ctx: int, settings: EngineSettings, say: Callable[[str], None]
) -> Engine:
    from .ollama_api import probe_server

    try:
        version = probe_server(settings.host, allow_remote=settings.allow_remote)
        if version is None:
            raise EngineUnavailable(f"Ollama does not answer at {client_address(settings.host).url}")
        engine = _ollama(model, entry, num_ctx, settings)
    except EngineUnavailable as no_ollama:
        try:
            engine = _embedded(model, entry, num_ctx, settings)
        except EngineUnavailable as no_weights:
            if isinstance(no_ollama, RemoteRefused):
                raise no_ollama from None
            kind = ModelMissing if isinstance(no_weights, ModelMissing) else EngineUnavailable
            raise kind(f"no engine has {model}. {no_ollama}. The embedded engine: {no_weights}") from None
        say(f"engine: embedded llama.cpp ({no_ollama})")
        return engine
    say(f"engine: Ollama {version}")
    return engine


def _ollama(model: str, entry: ModelEntry | None, num_ctx: int, settings: EngineSettings) -> Engine:
    from .ollama import OllamaEngine

    engine = OllamaEngine(
        entry.ollama if entry else model,
        host=settings.host,
        num_ctx=num_ctx,
        allow_remote=settings.allow_remote,
        timeout=settings.timeout,
        slots=settings.slots,
    )
    try:
        _ = engine.identity
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    return engine


def _embedded(model: str, entry: ModelEntry | None, num_ctx: int, settings: EngineSettings) -> Engine:
    from .embedded import EmbeddedEngine
    from .weights import default_models_dir, find_weights

    if entry is None:
        close = load_catalogue().suggest(model)
        hint = f"; did you mean {close}?" if close else ""
        raise ModelMissing(f"{model!r} is not in the catalogue (`balin models list`){hint}")
    if entry.gguf is None:
        raise ModelMissing(
            f"{model} has no pinned weights for the embedded engine; run it with Ollama (`ollama pull {entry.ollama}`)"
        )
    weights = find_weights(entry, models_dir=settings.models_dir or default_models_dir())
    if weights is None:
        raise ModelMissing(f"the weights of {model} are not on this machine; run `balin models pull {model}`")
    return EmbeddedEngine(
        weights,
        name=entry.name,
        digest=f"sha256:{entry.gguf.sha256}",
        num_ctx=num_ctx,
        threads=settings.threads,
        slots=settings.slots,
    )
