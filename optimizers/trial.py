"""A trial: a candidate that was asked about a part, what it scored and what that cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..data.transcripts import Transcript
from ..eval.metrics import ERROR, AnswerRow, AnswerTable
from ..eval.scores import ERROR_LIMIT
from ..programs.pipeline import Extraction
from ..programs.translation import Translation
from .metric import MetricName, Objective
from .strategies import Candidate
from .thresholds import ThresholdFit


@dataclass(frozen=True, slots=True)
class Cost:
    """What answers cost, whether they were asked for now or came from the store.

    Attributes:
        answers: Transcripts answered.
        calls: Requests to the engine.
        prompt_tokens: Tokens of the prompts, cached ones included.
        generated_tokens: Tokens the model wrote.
        seconds: Wall time, loading of the model left out.
        translation_seconds: Wall time of the translations that were read.
    """

    answers: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    translation_seconds: float = 0.0

    @classmethod
    def of(cls, extractions: Iterable[Extraction | Translation]) -> Cost:
        """The sum over the answers that did not fail."""
        done = [e for e in extractions if e.failure is None]
        return cls(
            answers=len(done),
            calls=sum(e.telemetry.requests for e in done),
            prompt_tokens=sum(e.telemetry.prompt_tokens for e in done),
            generated_tokens=sum(e.telemetry.generated_tokens for e in done),
            seconds=round(sum(e.seconds for e in done), 3),
            translation_seconds=round(
                sum(e.translation.seconds for e in done if isinstance(e, Extraction) and e.translation is not None), 3
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Scored:
    """A program's score on some transcripts.

    Attributes:
        value: The objective, or None: no feature has both classes, or too many calls failed for the answers to be compared.
        failures: Kind of failure to number of transcripts.
        detail: What the first failed call said, or None.
        table: Gold labels and answers.
        cost: Of these answers.
    """

    value: float | None
    failures: dict[str, int]
    detail: str | None
    table: AnswerTable
    cost: Cost

    @property
    def n(self) -> int:
        """Transcripts that were asked about."""
        return len(self.table.ids)

    @classmethod
    def of(cls, transcripts: Sequence[Transcript], extractions: Sequence[Extraction], objective: MetricName) -> Scored:
        """Score answers. Where more than 2 % failed there is no value: an outage never becomes a low score."""
        rows = [AnswerRow(t.id, t.group, t.labels, e.answers) for t, e in zip(transcripts, extractions, strict=True)]
        table = AnswerTable.from_rows(extractions[0].answers if extractions else (), rows)
        failed = [e for e in extractions if e.failure is not None]
        kinds = [str(e.failure) for e in failed]
        usable = len(failed) <= ERROR_LIMIT * len(extractions)
        return cls(
            value=objective_of(table, objective) if usable else None,
            failures={kind: kinds.count(kind) for kind in sorted(set(kinds))},
            detail=failed[0].detail if failed else None,
            table=table,
            cost=Cost.of(extractions),
        )


@dataclass
class Trial:
    """A candidate with its scores.

    Attributes:
        candidate: The program.
        first: On the transcripts that all candidates are compared on.
        whole: On all of dev, for finalists; with thresholds as they decide out of fold.
        fit: The thresholds of a finalist that has them, fitted on all of dev.
    """

    candidate: Candidate
    first: Scored
    whole: Scored | None = None
    fit: ThresholdFit | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without any text of a transcript."""
        return {
            "strategy": self.candidate.strategy,
            "description": self.candidate.description,
            "program": self.candidate.program.hash(),
            "format": self.candidate.program.format,
            "demos": [t.id for t in self.candidate.demos],
            "positives": self.candidate.positives(),
            "score": self.first.value,
            "n": self.first.n,
            "failures": self.first.failures,
            "cost": self.first.cost.to_dict(),
            "whole": self.whole
            and {"score": self.whole.value, "n": self.whole.n, "failures": self.whole.failures}
            | {"cost": self.whole.cost.to_dict()},
            "thresholds": self.fit and self.fit.thresholds,
            "without_threshold": self.fit and self.fit.refused,
        }


def objective_of(table: AnswerTable, objective: MetricName) -> float | None:
    """The mean over features, missing as False; None where no feature has both classes."""
    mean = Objective(objective).mean(table)
    return None if math.isnan(mean) else mean


def without_errors(*tables: AnswerTable) -> list[AnswerTable]:
    """The tables with those transcripts only for which no call failed in any of them."""
    kept = ~sum((table.state == ERROR).any(axis=1) for table in tables).astype(bool)
    return [
        AnswerTable(
            tuple(i for i, keep in zip(table.ids, kept, strict=True) if keep),
            tuple(g for g, keep in zip(table.groups, kept, strict=True) if keep),
            table.features,
            table.gold[kept],
            table.state[kept],
            table.p_true[kept],
        )
        for table in tables
    ]
