"""The Translator: a DSPy module that turns one transcript into the target language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ..signatures.features import FeatureSet
from ..signatures.private_dspy import dspy
from ..signatures.translate import INPUT, OUTPUT, translate_signature
from .adapter import TranslateAdapter
from .translation import ROOM

DEFAULT_NAME = "default"
MAX_TOKENS = 768
# Without it, one translation in four of a 1.5B model repeats itself until it is cut: docs/log.md.
REPEAT_PENALTY = 1.1


class Translator(dspy.Module):
    """One `dspy.Predict` over the Translate signature.

    Args:
        feature_set: Says what language the transcripts are in and what they are about.
        name: What people call this program; it decides nothing.
        target: Language code to translate into.
        instructions: In place of the default ones.
        max_tokens: Most tokens of one translation, and of a short text fewer (`translation.token_limit`); a longer one is an error,
            never a cut text.
        repeat_penalty: Above 1, words that were just written become less likely, which ends most runaway repetitions.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        *,
        name: str = DEFAULT_NAME,
        target: str = "en",
        instructions: str | None = None,
        max_tokens: int = MAX_TOKENS,
        repeat_penalty: float = REPEAT_PENALTY,
    ) -> None:
        super().__init__()
        self.name = name
        self.source_language = feature_set.source_language
        self.target = target
        self.predict = dspy.Predict(translate_signature(feature_set, target, instructions))
        self.adapter = TranslateAdapter(max_tokens, float(repeat_penalty))

    def set_demos(self, demos: Sequence[tuple[str, str]]) -> None:
        """Use these worked examples, as (source, translation)."""
        self.predict.demos = [dspy.Example({INPUT: s, OUTPUT: t}).with_inputs(INPUT) for s, t in demos]

    def pairs(self) -> list[tuple[str, str]]:
        """The worked examples, as (source, translation)."""
        return [(str(demo[INPUT]), str(demo[OUTPUT])) for demo in self.predict.demos]

    def texts(self) -> list[str]:
        """The texts of the worked examples, sources and translations."""
        return [text for pair in self.pairs() for text in pair]

    def forward(self, source: str) -> dspy.Prediction:
        """The translation of one text, with `telemetry` beside it."""
        with dspy.context(adapter=self.adapter):
            return self.predict(source=source)

    def state(self) -> dict[str, Any]:
        """Everything that decides what is asked, as JSON-ready values."""
        return {
            "target": self.target,
            "max_tokens": self.adapter.max_tokens,
            "room": ROOM,
            "repeat_penalty": self.adapter.repeat_penalty,
            "instructions": self.predict.signature.instructions,
            "demos": [{k: demo[k] for k in (INPUT, OUTPUT)} for demo in self.predict.demos],
        }

    def hash(self) -> str:
        """SHA-256 (hex) of the state."""
        return hashlib.sha256(json.dumps(self.state(), ensure_ascii=False, sort_keys=True).encode()).hexdigest()
