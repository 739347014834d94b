"""What was answered, and by what: all that scoring, `run.json` and the report need to know of whatever asked the model.

`Arm` answers with a program of DSPy; a bundle answers without. Both leave an `Answered`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data.transcripts import Transcript
from ..engines.protocol import ModelIdentity
from ..programs.extractor import Extractor
from ..programs.pipeline import Extraction
from ..programs.saving import save_program
from ..programs.translator_file import save_translator
from ..programs.votes import Votes
from ..signatures.features import FeatureSet
from .arm import ArmResult
from .metrics import AnswerRow, AnswerTable


@dataclass(frozen=True)
class ProgramFacts:
    """What a run says of the program that was asked.

    Attributes:
        name: What it is called.
        hash: SHA-256 (hex) of the program, thresholds included.
        asked: SHA-256 (hex) of what it asks, which thresholds do not change.
        language: The language of the prompt.
        format: The answer format.
        thresholds: Feature to its threshold on P(true).
        shown: Most worked examples in a prompt.
        chosen_from: How many they are chosen from for each text; None where all texts have the same.
        embedder: What chooses them, JSON-ready, or None.
        votes: How several sampled answers vote, or None.
        save: Writes it as a program file; None where the program is not Balin's to write, as with a bundle.
    """

    name: str
    hash: str
    asked: str
    language: str
    format: str
    thresholds: Mapping[str, float]
    shown: int
    chosen_from: int | None = None
    embedder: dict[str, str] | None = None
    votes: Votes | None = None
    save: Callable[[Path], None] | None = None

    @classmethod
    def of(cls, extractor: Extractor) -> ProgramFacts:
        """Those of a program of DSPy."""
        index = extractor.index
        return cls(
            name=extractor.name,
            hash=extractor.hash(),
            asked=extractor.asking_hash(),
            language=extractor.adapter.language,
            format=extractor.format,
            thresholds=extractor.thresholds,
            shown=extractor.shown,
            chosen_from=None if index is None else len(index.demos),
            embedder=None if index is None else index.embedder.to_dict(),
            votes=extractor.votes,
            save=lambda path: save_program(extractor, path),
        )

    def to_dict(self) -> dict[str, Any]:
        """As `run.json` holds them."""
        return {
            "name": self.name,
            "hash": self.hash,
            "asked": self.asked,
            "language": self.language,
            "thresholds": dict(self.thresholds),
            "votes": None if self.votes is None else asdict(self.votes),
        }


@dataclass(frozen=True)
class Answered:
    """The answers for some transcripts.

    Attributes:
        transcripts: Those scored, in order.
        extractions: One for each.
        program: What was asked.
        identity: The extractor's model.
        translator: The translator's model, and under `program` its name, hash and number of demos; None where nothing was translated.
        engine_note: Which engine was taken and why.
        demos: The ids of the worked examples, as far as they are known.
        dropped: How many further demos were left out because their translation failed.
        held_out: How many transcripts of the part were not scored because a demo would leak into them.
        bundle: Path and SHA-256 of the bundle that answered, and the run that it was made of; None for a program.
        notes: What a reader of the scores should know.
        save_translator: Writes the translating program as a file; None where there is none, or it is not Balin's to write.
    """

    transcripts: tuple[Transcript, ...]
    extractions: tuple[Extraction, ...]
    program: ProgramFacts
    identity: ModelIdentity
    translator: dict[str, Any] | None
    engine_note: str
    demos: tuple[str, ...] = ()
    dropped: int = 0
    held_out: int = 0
    bundle: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    save_translator: Callable[[Path], None] | None = None

    @classmethod
    def of(cls, result: ArmResult) -> Answered:
        """What an arm gave."""
        translator, save = None, None
        if result.translator is not None:
            asked, identity = result.translator
            program = {"name": asked.name, "hash": asked.hash(), "demos": len(asked.predict.demos)}
            translator, save = {**identity.to_dict(), "program": program}, partial(save_translator, asked)
        return cls(
            transcripts=result.transcripts,
            extractions=result.extractions,
            program=ProgramFacts.of(result.extractor),
            identity=result.identity,
            translator=translator,
            engine_note=result.engine_note,
            demos=tuple(d.id for d in result.demos),
            dropped=result.dropped,
            held_out=result.held_out,
            save_translator=save,
        )

    def table(self, feature_set: FeatureSet) -> AnswerTable:
        """Gold labels and answers side by side, for the metrics."""
        rows = (
            AnswerRow(t.id, t.group, t.labels, e.answers)
            for t, e in zip(self.transcripts, self.extractions, strict=True)
        )
        return AnswerTable.from_rows(feature_set.ids, rows)
