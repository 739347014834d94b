"""The model that rewrites instructions: every proposal is kept in the store, so that a resumed search searches among the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.store import Store, key_of
from ..engines.lm import language_model
from ..engines.protocol import ChatRequest, Completion, Engine, Message, ModelIdentity
from ..errors import EngineUnavailable

KIND = "proposals"


class Proposer:
    """An engine that asks another only for what the store does not have.

    Args:
        engine: The open engine.
        store: Where what it wrote is kept.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self.engine = engine
        self.store = store
        self.outage: EngineUnavailable | None = None

    @property
    def identity(self) -> ModelIdentity:
        """The model."""
        return self.engine.identity

    @property
    def slots(self) -> int:
        """Requests at once."""
        return self.engine.slots

    def chat(self, request: ChatRequest) -> Completion:
        """What the model writes, stored or asked for now; an outage is remembered, since DSPy makes another error of it."""
        key = key_of(
            model=self.identity.to_dict(),
            messages=[[m.role, m.content] for m in request.messages],
            schema=request.schema,
            sampling=[request.max_tokens, request.temperature, request.seed],
        )
        kept = self.store.get(KIND, key)
        if kept is not None:
            return Completion(kept["text"], "stop")
        try:
            made = self.engine.chat(request)
        except EngineUnavailable as error:
            self.outage = error
            raise
        self.store.put(KIND, key, {"text": made.text})
        return made

    def render(self, messages: Sequence[Message]) -> str:
        """As the engine does."""
        return self.engine.render(messages)

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        """As the engine does."""
        return self.engine.read(prompt, top_logprobs=top_logprobs)

    def close(self) -> None:
        """The engine belongs to its maker, who closes it."""

    def lm(self, seed: int) -> Any:
        """As DSPy's language model, which samples; the engine has made its own retries."""
        return language_model(self, temperature=1.0, seed=seed, num_retries=0)
