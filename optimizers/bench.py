"""Where programs are asked: one model, one route, one store; answers that are there already are not asked for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.store import Store
from ..data.transcripts import Transcript
from ..engines.protocol import Engine
from ..engines.slots import each
from ..eval.arm import Advance
from ..programs.extractor import Extractor
from ..programs.pipeline import English, Extraction, Pipeline, Route
from ..programs.translation import Translation
from ..programs.translator import Translator
from .metric import MetricName
from .trial import Scored


@dataclass
class Bench:
    """Asks programs about transcripts.

    Attributes:
        engine: The open engine.
        lm: It, as DSPy's language model.
        store: Keeps every answer the moment it exists.
        route: What the programs read.
        english: Where the translated route's text comes from.
        translator: The translating program, or None where nothing is translated.
        translations: Its translations, by id.
        objective: What programs are scored by.
        advance: Told (phase, done, of).
        answered: Every answer that `answers` gave, oldest first.
    """

    engine: Engine
    lm: Any
    store: Store
    route: Route
    english: English
    translator: Translator | None
    translations: Mapping[str, Translation]
    objective: MetricName
    advance: Advance
    answered: list[Extraction] = field(default_factory=list)

    def answers(self, program: Extractor, transcripts: Sequence[Transcript], phase: str | None) -> list[Extraction]:
        """A program's answers, one for each transcript, in order; without a phase nobody is told of the progress.

        Raises:
            EngineUnavailable: What was answered is in the store.
        """
        program.set_lm(self.lm)
        pipeline = Pipeline(
            program, store=self.store, translator=self.translator, route=self.route, english=self.english
        )
        found = each(
            self.engine,
            transcripts,
            lambda t: pipeline.extract(t, self.translations.get(t.id)),
            lambda done, total: self.advance(phase, done, total) if phase else None,
        )
        self.answered += found
        return found

    def score(self, program: Extractor, transcripts: Sequence[Transcript], phase: str) -> Scored:
        """A program's score on transcripts."""
        return Scored.of(transcripts, self.answers(program, transcripts, phase), self.objective)

    def text(self, transcript: Transcript) -> str | None:
        """What the route reads of a transcript; None where there is no English text."""
        if self.route == "direct":
            return transcript.text
        if self.english == "given":
            return transcript.english
        made = self.translations.get(transcript.id)
        return made.text if made else None
