"""What a search tells: the table of its trials with what they cost, and how the best stands against the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from ..eval.choice import Choice
from ..eval.grids import Grid, figure
from ..eval.tables import METRIC_NAMES
from .metric import MetricName
from .space import Value, describe
from .study import PRUNED, SCORED, place_of, result, tried
from .thresholds import ThresholdFit
from .trial import Trial
from .verdict import difference


@dataclass(frozen=True)
class Ranked:
    """A finalist.

    Attributes:
        chosen: The configuration.
        trial: Its program, with its answers for all of dev; with thresholds those decided out of fold.
        value: The objective on all of dev.
        searched: The objective in the search.
        fit: Its thresholds, or None.
        baseline: Whether it is zero-shot or the study's protocol that was tried first.
    """

    chosen: dict[str, Value]
    trial: Trial
    value: float
    searched: float
    fit: ThresholdFit | None
    baseline: bool

    def choice(self, by: str, tried: int, objective: MetricName) -> Choice:
        """That it was chosen by the search of that name, among so many."""
        return Choice(
            by=by,
            tried=tried,
            objective=objective,
            score=self.value,
            n=self.trial.first.n,
            out_of_fold=self.fit is not None,
            demos=tuple(t.id for t in self.trial.candidate.demos),
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without any text of a transcript."""
        candidate = self.trial.candidate
        return {
            "configuration": self.chosen,
            "program": candidate.program.hash(),
            "description": candidate.description,
            "demos": [t.id for t in candidate.demos],
            "score": self.value,
            "n": self.trial.first.n,
            "score_in_search": self.searched,
            "cost": self.trial.first.cost.to_dict(),
            "thresholds": None if self.fit is None else self.fit.thresholds,
            "refused": {} if self.fit is None else self.fit.refused,
        }


def trial_rows(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """All that was tried, in order, JSON-ready."""
    rows = []
    for trial in tried(trials):
        found = result(trial)
        rows.append(
            {
                "place": place_of(trial, trials),
                "configuration": trial.user_attrs["asked"],
                "outcome": found["outcome"],
                "score": found.get("score"),
                "n": found.get("n"),
                "failures": found.get("failures", {}),
                "detail": found.get("detail"),
                "calls": found["calls"],
                "generated_tokens": found["tokens"],
                "cost": found.get("cost"),
                **found["facts"],
            }
        )
    return rows


def sentences(best: Ranked, baselines: Sequence[Ranked], objective: MetricName, count: int) -> list[str]:
    """What a user should know of the result."""
    name = METRIC_NAMES[objective]
    found = [
        f"The best of {count} configurations: {describe(best.chosen)}. Mean {name} {figure(best.value)} on "
        f"{best.trial.first.n} transcripts of dev" + (", decided out of fold." if best.fit is not None else ".")
    ]
    if best.baseline:
        found.append("No configuration beats zero-shot and study.")
    for other in baselines:
        if other is not best:
            how = difference(best.trial, other.trial, objective)
            proof = "" if how.proven else "; that is not more than chance could give"
            found.append(f"Against {other.chosen['strategy']}: {how}{proof}.")
    if best.fit is not None:
        found.append("Its thresholds were then fitted on all of dev, so its run's scores on dev flatter it.")
    if count > 2:
        found.append("It was chosen on these transcripts, so expect less elsewhere; the test part was not touched.")
    return found


def search_table(document: dict[str, Any]) -> Grid:
    """All that was tried, best first, with its cost."""
    order = {SCORED: 0, PRUNED: 1}
    whole = {str(f["configuration"]): f for f in document.get("finalists", ())}

    def rank(row: dict[str, Any]) -> tuple[int, float, int]:
        return order.get(row["outcome"], 2), -(row["score"] or 0.0), row["place"]

    rows = []
    for row in sorted(document["trials"], key=rank):
        cost, final = row["cost"], whole.get(str(row["configuration"]))
        answers = cost["answers"] if cost else 0
        how = f"pruned at {row['n']}" if row["outcome"] == PRUNED else row["outcome"]

        def mean(name: str, decimals: int, cost: Any = cost, answers: int = answers) -> str:
            return figure(cost[name] / answers if answers else None, decimals)

        rows.append(
            (
                str(row["place"]),
                describe(row["configuration"]),
                how,
                figure(row["score"], 3),
                figure(final["score"] if final else None, 3),
                str(sum(row["failures"].values())),
                str(row["calls"]),
                mean("seconds", 2),
                mean("prompt_tokens", 0),
                mean("generated_tokens", 0),
            )
        )
    name = METRIC_NAMES[document["objective"]]
    columns = (
        "No.",
        "Configuration",
        "Ended",
        name,
        f"{name}\nall dev",
        "Err.",
        "Calls",
        "s/tr.",
        "Tokens\nin",
        "Tokens\nout",
    )
    notes = (
        "Calls are those that no earlier trial had needed; seconds and tokens are means of a transcript.",
        f"In all {document['spent']['calls']} calls and {document['spent']['generated_tokens']} generated tokens.",
    )
    return Grid("What was tried", columns, tuple(rows), notes, texts=3)
