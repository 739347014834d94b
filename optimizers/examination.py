"""A configuration under examination: its answers look by look, and the score they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..data.transcripts import Transcript
from ..eval.metrics import AnswerTable
from ..eval.scores import ERROR_LIMIT
from .metric import MetricName, Objective
from .places import Places
from .pruning import first_rows
from .space import Choices
from .strategies import Candidate
from .thresholds import ThresholdFit, fit_thresholds
from .trial import Scored, objective_of


class Unscored(Exception):
    """A configuration that cannot have a score; the message says why. No outage: those are `EngineUnavailable`."""


class Examiner(Protocol):
    """Answers for configurations; a search asks nothing else."""

    def look(self, chosen: Choices, count: int) -> Scored:
        """The answers of a configuration for the first `count` transcripts.

        Raises:
            Unscored: The configuration makes no program.
            EngineUnavailable: Nothing can be asked now.
        """

    def facts(self, chosen: Choices) -> dict[str, Any]:
        """What is to be kept of a configuration that was looked at: program, demos, what it is."""


@dataclass
class Asking:
    """The examiner that asks models.

    Attributes:
        places: Where.
        objective: What is maximised.
    """

    places: Places
    objective: MetricName
    _made: tuple[Choices, Candidate] | None = None

    def candidate(self, chosen: Choices) -> Candidate:
        """The program of a configuration.

        Raises:
            Unscored: Its strategy makes none.
        """
        place = self.places.at(chosen)
        if self._made is None or self._made[0] != chosen:
            found = place.candidate(chosen)
            if found is None:
                raise Unscored(
                    "the strategy makes no program: the model gets none of the transcripts it was asked about right"
                )
            self._made = (dict(chosen), found)
        return self._made[1]

    def look(self, chosen: Choices, count: int) -> Scored:
        """As the protocol says."""
        return self.score(chosen, self.places.order[:count], "answering")

    def score(self, chosen: Choices, transcripts: Sequence[Transcript], phase: str) -> Scored:
        """The answers of a configuration for any transcripts of dev."""
        candidate, place = self.candidate(chosen), self.places.at(chosen)
        return Scored.of(transcripts, place.answers(candidate.program, transcripts, phase), self.objective)

    def facts(self, chosen: Choices) -> dict[str, Any]:
        """As the protocol says."""
        candidate = self.candidate(chosen)
        return {
            "program": candidate.program.hash(),
            "description": candidate.description,
            "demos": [t.id for t in candidate.demos],
            "positives": candidate.positives(),
        }


def check_failures(scored: Scored, of: int) -> None:
    """Refuse a score where too many calls failed, at the first look that makes it certain.

    Args:
        scored: The answers so far.
        of: How many there will be in the end.

    Raises:
        Unscored: Over 2 % of all have failed already.
    """
    failed = sum(scored.failures.values())
    if failed > ERROR_LIMIT * of:
        raise Unscored(f"{failed} of {scored.n} calls failed: {scored.detail}")


def decided(
    scored: Scored, chosen: Choices, objective: MetricName, seed: int
) -> tuple[float | None, AnswerTable, ThresholdFit | None]:
    """Score and answers of a configuration, with its thresholds if it has them: each transcript decided out of fold."""
    if not chosen.get("thresholds"):
        return objective_of(scored.table, objective), scored.table, None
    fit = fit_thresholds(scored.table, Objective(objective), seed=seed)
    return objective_of(fit.out_of_fold, objective), fit.out_of_fold, fit


def pack(table: AnswerTable) -> list[str]:
    """The answers without anything else: for each transcript a digit a feature."""
    return ["".join(map(str, row)) for row in table.state.tolist()]


def unpack(states: list[str], like: AnswerTable) -> AnswerTable:
    """The table of packed answers for the first transcripts of `like`, as many as both have."""
    n = min(len(states), len(like.ids))
    rows = np.array([[int(c) for c in states[i]] for i in range(n)], dtype=np.int8)
    table = first_rows(like, n)
    return replace(table, state=rows, p_true=np.full(rows.shape, np.nan))
