"""The Extractor: a DSPy module that answers every feature of a set for one transcript."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..signatures.extract import extract_signature
from ..signatures.features import FeatureSet
from ..signatures.private_dspy import dspy
from ..signatures.wording import INPUT
from .adapter import ExtractAdapter
from .formats import answer_format

MAX_TOKENS = 512


class Extractor(dspy.Module):
    """One `dspy.Predict` over the Extract signature, asked through an answer format.

    Args:
        feature_set: The questions.
        name: What people call this program.
        format: The answer format's name.
        language: The language of the prompt (labels, definitions, wording), not of the transcript.
        instructions: In place of the default ones.
        definitions: Whether each feature's definition is in the prompt.
        max_tokens: Most tokens the model may write in one answer.

    Raises:
        InputError: An unknown format, or a language that the set is not written in.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        *,
        name: str,
        format: str = "probe",
        language: str = "en",
        instructions: str | None = None,
        definitions: bool = True,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        super().__init__()
        self.name = name
        self.predict = dspy.Predict(extract_signature(feature_set, language, instructions))
        self.adapter = ExtractAdapter(
            answer_format(format), feature_set, language=language, definitions=definitions, max_tokens=max_tokens
        )

    @property
    def feature_set(self) -> FeatureSet:
        """The questions."""
        return self.adapter.feature_set

    @property
    def format(self) -> str:
        """The answer format's name."""
        return self.adapter.answer_format.name

    def set_format(self, name: str) -> None:
        """Ask through another format; instructions and demos stay.

        Raises:
            InputError: There is no such format.
        """
        self.adapter.answer_format = answer_format(name)

    def set_demos(self, demos: Sequence[tuple[str, Mapping[str, bool | None]]]) -> None:
        """Use these worked examples, as (text, label per feature id).

        Raises:
            InputError: An example has no label for some feature.
        """
        ids = self.feature_set.ids
        for index, (_, labels) in enumerate(demos):
            blank = [i for i in ids if labels.get(i) is None]
            if blank:
                raise InputError(
                    f"demo {index + 1} has no label for {', '.join(blank)}; a demo needs every feature's label"
                )
        self.predict.demos = [
            dspy.Example({INPUT: text, **{i: labels[i] for i in ids}}).with_inputs(INPUT) for text, labels in demos
        ]

    def forward(self, transcript: str) -> dspy.Prediction:
        """Answers for one transcript; see `ExtractAdapter` for what the prediction holds."""
        with dspy.context(adapter=self.adapter):
            return self.predict(transcript=transcript)

    def state(self) -> dict[str, Any]:
        """Everything that decides what is asked, as JSON-ready values; of demos only the signature's fields."""
        signature = self.predict.signature
        return {
            "feature_set": {"id": self.feature_set.id, "hash": self.feature_set.hash},
            "format": self.format,
            "language": self.adapter.language,
            "definitions": self.adapter.definitions,
            "max_tokens": self.adapter.max_tokens,
            "instructions": signature.instructions,
            "demos": [{k: demo[k] for k in (INPUT, *self.feature_set.ids)} for demo in self.predict.demos],
        }

    def hash(self) -> str:
        """SHA-256 (hex) of the state and of the prompt it makes, so that a new wording in the code is a new program."""
        prompt = self.adapter.prompt(self.predict.signature, self.predict.demos, {INPUT: ""})
        rendered = [[m.role, m.content] for m in prompt.messages]
        content = [self.state(), rendered, prompt.schema, prompt.probes, prompt.top_logprobs, prompt.partial]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
