"""The Extractor: a DSPy module that answers every feature of a set for one transcript."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..engines.embedding import Embedder, check_embedder
from ..errors import InputError
from ..signatures.extract import extract_signature
from ..signatures.features import FeatureSet
from ..signatures.private_dspy import dspy
from ..signatures.wording import INPUT
from .adapter import ExtractAdapter
from .decisions import check_thresholds, decide
from .formats import Prompt, answer_format
from .retrieval import DemoIndex, marks_of
from .votes import Votes

MAX_TOKENS = 512
NOTHING_WRITTEN = (
    "votes need a format whose answers are written (lines, json, present): probe reads P(true) directly, and would read the same "
    "each time"
)


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
        self._thresholds: dict[str, float] = {}
        self._index: DemoIndex | None = None
        self._embedder: Embedder | None = None
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
            InputError: There is no such format, it cannot be voted on, or the program has thresholds or an index, which hold for
                the format they were made for.
        """
        wanted = answer_format(name)
        if self.votes is not None and wanted.name == "probe":
            raise InputError(NOTHING_WRITTEN)
        if self._index is not None and wanted.name != self.format:
            raise InputError(
                f"the program's index of demos was measured in the format {self.format}, in which a demo takes other tokens than "
                f"in {name}; ask in its own format"
            )
        if self._thresholds and wanted.name != self.format:
            raise InputError(
                f"the program's thresholds were fitted on the format {self.format} and mean nothing for {name}; "
                "ask in its own format, or take a program without thresholds"
            )
        self.adapter.answer_format = wanted

    @property
    def thresholds(self) -> dict[str, float]:
        """Feature id to the least P(true) that makes an answer true, above 0 and below 1, in the set's order.

        A copy: assign to change. A feature that is not in it keeps the format's own decision, which is 0.5 for `probe` and
        what was written for `json`.
        """
        return dict(self._thresholds)

    @thresholds.setter
    def thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Decide by these thresholds from now on.

        Raises:
            InputError: An unknown feature, a value that is not between 0 and 1, or a format that gives no P(true).
        """
        checked = check_thresholds(thresholds, self.feature_set.ids)
        if checked and self.votes is None and not self._blank_prompt().top_logprobs:
            raise InputError(
                f"thresholds need P(true), which the format {self.format} does not give; use one that does (probe, json), or votes"
            )
        self._thresholds = checked

    def deciding(self, thresholds: Mapping[str, float]) -> Extractor:
        """The same program with other thresholds; both ask the same and share all else.

        Raises:
            InputError: As for `thresholds`.
        """
        other = copy.copy(self)
        other.thresholds = dict(thresholds)
        return other

    @property
    def votes(self) -> Votes | None:
        """How several sampled answers vote, or None for one greedy answer; assign to change."""
        return self.adapter.votes

    @votes.setter
    def votes(self, votes: Votes | None) -> None:
        """Ask so from now on.

        Raises:
            InputError: The format writes nothing that could be sampled, or the program has thresholds, which hold for the votes
                they were fitted on.
        """
        if votes is not None and self.format == "probe":
            raise InputError(NOTHING_WRITTEN)
        if self._thresholds and votes != self.votes:
            raise InputError(
                "the program's thresholds were fitted on other votes; take a program without thresholds and fit them again"
            )
        self.adapter.votes = votes

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
        self._index = self._embedder = None
        self.predict.demos = [
            dspy.Example({INPUT: text, **{i: labels[i] for i in ids}}).with_inputs(INPUT) for text, labels in demos
        ]

    @property
    def index(self) -> DemoIndex | None:
        """The demos that are chosen from for each text, or None where all texts have the same."""
        return self._index

    @property
    def shown(self) -> int:
        """Most demos in a prompt."""
        return len(self.predict.demos) if self._index is None else self._index.neighbours.count

    def set_index(self, index: DemoIndex) -> None:
        """Choose the demos of each text from an index, in place of the same ones for all; `use_embedder` must follow."""
        self.predict.demos = []
        self._index = index
        self._embedder = None

    def use_embedder(self, embedder: Embedder) -> None:
        """Embed texts with this.

        Raises:
            InputError: The program has no index.
            ModelChanged: The index was made with another embedder.
        """
        if self._index is None:
            raise InputError("the program shows the same demos to every text and needs no embedder")
        check_embedder(embedder, self._index.embedder)
        self._embedder = embedder

    def withheld(self, texts: Sequence[str | None], id: str | None = None, group: str | None = None) -> tuple[int, ...]:
        """The demos of the index that must not be shown to a transcript: they share id, group or a normalised text with it.

        Args:
            texts: All that the transcript says, in any language.
            id: Its id.
            group: Its group.
        """
        return () if self._index is None else self._index.neighbours.withheld(marks_of(texts, id, group))

    def direction(self, transcript: str) -> Any:
        """The embedding of a text, [d]; None where the program needs none.

        Raises:
            InputError: No embedder was given.
            CallError: The text cannot be embedded.
        """
        if self._index is None:
            return None
        if self._embedder is None:
            raise InputError("the program chooses its demos by embeddings and was given no embedder (use_embedder)")
        return self._embedder.embed([transcript])[0]

    def demos_for(self, transcript: str, withheld: Sequence[int] | None = None) -> list[Any]:
        """The demos in the prompt of a text.

        Args:
            transcript: The text.
            withheld: As `withheld` tells; by default what it tells of the text alone.

        Raises:
            InputError: No embedder was given.
            CallError: The text cannot be embedded.
        """
        if self._index is None:
            return list(self.predict.demos)
        kept = self.withheld([transcript]) if withheld is None else withheld
        chosen = self._index.neighbours.choose(transcript, self.direction(transcript), kept)
        return [{INPUT: demo.text, **demo.labels} for demo in map(self._index.demos.__getitem__, chosen)]

    def forward(self, transcript: str) -> dspy.Prediction:
        """The program's answers for one transcript: `ask`, and then the thresholds."""
        prediction = self.ask(transcript)
        if not self._thresholds:
            return prediction
        answers = decide(prediction.answers, self._thresholds)
        return prediction.copy(**{i: a.value for i, a in answers.items()}, answers=answers)

    def ask(self, transcript: str, withheld: Sequence[int] | None = None) -> dspy.Prediction:
        """The model's own answers for one transcript, whatever the thresholds; see `ExtractAdapter` for what it holds.

        Args:
            transcript: The text.
            withheld: See `demos_for`.
        """
        demos = self.demos_for(transcript, withheld)
        with dspy.context(adapter=self.adapter):
            return self.predict(transcript=transcript, demos=demos)

    def state(self) -> dict[str, Any]:
        """Everything that decides what is asked, as JSON-ready values; of demos only the signature's fields, of an index the hash."""
        signature = self.predict.signature
        index = {} if self._index is None else {"index": self._index.hash}
        return {
            "feature_set": {"id": self.feature_set.id, "hash": self.feature_set.hash},
            "format": self.format,
            "language": self.adapter.language,
            "definitions": self.adapter.definitions,
            "max_tokens": self.adapter.max_tokens,
            "instructions": signature.instructions,
            "demos": [{k: demo[k] for k in (INPUT, *self.feature_set.ids)} for demo in self.predict.demos],
            **index,
            **({} if self.votes is None else {"votes": asdict(self.votes)}),
        }

    def asking_hash(self) -> str:
        """SHA-256 (hex) of what is asked: the state and the prompt it makes, so that a new wording in the code is a new question.

        The store's name for this program. Thresholds are not in it: they change no question.
        """
        demos = self.predict.demos
        if self._index is not None:
            # The first ones stand for all: it is the wording around them that matters, their texts are in the index's hash.
            demos = [{INPUT: d.text, **d.labels} for d in self._index.demos[: self.shown]]
        prompt = self.adapter.prompt(self.predict.signature, demos, {INPUT: ""})
        rendered = [[m.role, m.content] for m in prompt.messages]
        return _sha256([self.state(), rendered, prompt.schema, prompt.probes, prompt.top_logprobs, prompt.partial])

    def hash(self) -> str:
        """SHA-256 (hex) of the whole program: what is asked, and the thresholds; without thresholds the asking hash."""
        asking = self.asking_hash()
        return _sha256([asking, self._thresholds]) if self._thresholds else asking

    def _blank_prompt(self) -> Prompt:
        return self.adapter.prompt(self.predict.signature, [], {INPUT: ""})


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
