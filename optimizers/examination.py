"""A configuration under examination: its answers look by look, and the score they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..data.transcripts import Transcript
from ..errors import NO_ENGLISH, OWN_FAULTS, CallError
from ..eval.metrics import AnswerTable
from ..eval.scores import ERROR_LIMIT
from .metric import MetricName, Objective
from .places import Places
from .pruning import first_rows
from .space import Choices
from .strategies import Candidate, why_none
from .thresholds import ThresholdFit, fit_thresholds
from .trial import Scored, objective_of


class Unscored(Exception):
    """A configuration that cannot have a score; the message says why. No outage: those are `EngineUnavailable`."""


class FailingCalls(Unscored):
    """Too many calls failed for reasons that may pass, such as a timeout: it has no score now, and will be asked again."""


class Examiner(Protocol):
    """Answers for configurations; a search asks nothing else."""

    def look(self, chosen: Choices, count: int) -> Scored:
        """The answers of a configuration for the first `count` transcripts.

        Raises:
            Unscored: The configuration makes no program.
            EngineUnavailable: Nothing can be asked now.
        """

    def facts(self, chosen: Choices) -> dict[str, Any]:
        """What is to be kept of a configuration that was looked at: program, demos, what it is.

        `answered_by` says whose weights on which engine answered, where that is known.
        """


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
            try:
                found = place.candidate(chosen)
            except CallError as error:
                kind = Unscored if error.kind in OWN_FAULTS else FailingCalls
                raise kind(f"the strategy makes no program: {error}") from None
            if found is None:
                raise Unscored(f"the strategy makes no program: {why_none(str(chosen['strategy']))}")
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
        candidate, model = self.candidate(chosen), self.places.at(chosen).bench.engine.identity
        return {
            "answered_by": {"engine": model.engine, "digest": model.digest},
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
        Unscored: Over 2 % of all have failed already, for reasons that are the program's own.
        FailingCalls: Over 2 % have failed, and without those that may pass there are fewer.
    """
    failed = sum(scored.failures.values())
    own = sum(count for kind, count in scored.failures.items() if kind in (*OWN_FAULTS, NO_ENGLISH))
    if failed > ERROR_LIMIT * of:
        kind = Unscored if own > ERROR_LIMIT * of else FailingCalls
        raise kind(f"{failed} of {scored.n} calls failed: {scored.detail}")


def decided(
    scored: Scored, chosen: Choices, objective: MetricName, seed: int
) -> tuple[float | None, AnswerTable, ThresholdFit | None]:
    """Score and answers of a configuration, with its thresholds if any can be fitted: each transcript decided out of fold."""
    if not chosen.get("thresholds"):
        return objective_of(scored.table, objective), scored.table, None
    fit = fit_thresholds(scored.table, Objective(objective), seed=seed)
    # Where no feature has one, its answers are those without thresholds.
    return objective_of(fit.out_of_fold, objective), fit.out_of_fold, fit if fit.thresholds else None


def pack(table: AnswerTable) -> list[str]:
    """The answers without anything else: for each transcript a digit a feature."""
    return ["".join(map(str, row)) for row in table.state.tolist()]


def unpack(states: list[str], like: AnswerTable) -> AnswerTable:
    """The table of packed answers for the first transcripts of `like`, as many as both have."""
    n = min(len(states), len(like.ids))
    rows = np.array([[int(c) for c in states[i]] for i in range(n)], dtype=np.int8)
    table = first_rows(like, n)
    return replace(table, state=rows, p_true=np.full(rows.shape, np.nan))
