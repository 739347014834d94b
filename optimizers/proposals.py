"""The model that rewrites instructions: every proposal is kept in the store, so that a resumed search searches among the same ones.

So is that it wrote nothing or found no end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.store import Store, key_of
from ..engines.lm import language_model
from ..engines.protocol import ChatRequest, Completion, Engine, Message, ModelIdentity
from ..errors import EmptyAnswer, EngineUnavailable, IncompleteAnswer

KIND = "proposals"
# A model that samples may write something else when it is asked again, and the search would go another way.
_KEPT = {kind.kind: kind for kind in (IncompleteAnswer, EmptyAnswer)}


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
        """What the model writes, stored or asked for now; an outage is remembered, since DSPy makes another error of it.

        Raises:
            CallError: The model wrote nothing or no end, now or when it was first asked, or the call failed.
            EngineUnavailable: No model to ask.
        """
        key = key_of(
            model=self.identity.to_dict(),
            messages=[[m.role, m.content] for m in request.messages],
            schema=request.schema,
            sampling=[request.max_tokens, request.temperature, request.seed],
        )
        kept = self.store.get(KIND, key)
        if kept is not None:
            if "failure" in kept:
                raise _KEPT[kept["failure"]](kept["detail"])
            return Completion(kept["text"], "stop")
        try:
            made = self.engine.chat(request)
        except EngineUnavailable as error:
            self.outage = error
            raise
        except tuple(_KEPT.values()) as error:
            self.store.put(KIND, key, {"failure": error.kind, "detail": str(error)})
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
