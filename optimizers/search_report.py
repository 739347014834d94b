"""What a search tells: the table of its trials with what they cost, and how the best stands against the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from ..eval.choice import Choice
from ..eval.grids import Grid, figure
from ..eval.tables import METRIC_NAMES
from .goals import broken, keeps, latency
from .metric import MetricName
from .space import Value, describe
from .study import PRUNED, SCORED, failing, place_of, result, tried
from .thresholds import ThresholdFit
from .trial import Trial
from .verdict import difference

if TYPE_CHECKING:
    from .search_plan import SearchPlan


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
        excess: Each limit with how far it is beyond it on all of dev.
    """

    chosen: dict[str, Value]
    trial: Trial
    value: float
    searched: float
    fit: ThresholdFit | None
    baseline: bool
    excess: dict[str, float] = field(default_factory=dict)

    @property
    def latency(self) -> float:
        """Mean seconds of a transcript."""
        return latency(self.trial.first.cost)

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
            "latency": self.latency,
            "excess": self.excess,
            "thresholds": None if self.fit is None else self.fit.thresholds,
            "refused": {} if self.fit is None else self.fit.refused,
        }


def trial_rows(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """All that was tried, in order, JSON-ready; with it the trials that will be asked again, as their calls failed."""
    rows = []
    for trial in sorted([*tried(trials), *failing(trials)], key=lambda t: t.number):
        found = result(trial)
        rows.append(
            {
                "place": place_of(trial, trials),
                "configuration": trial.user_attrs["asked"],
                "outcome": found["outcome"],
                "score": found.get("score"),
                "latency": found.get("latency"),
                "excess": found.get("excess", {}),
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


def sentences(best: Ranked, finalists: Sequence[Ranked], plan: SearchPlan, document: dict[str, Any]) -> list[str]:
    """What a user should know of the result."""
    objective, count = plan.goals.objective, document["tried"]
    name = METRIC_NAMES[objective]
    found = [
        f"The best of {count} configurations: {describe(best.chosen)}. Mean {name} {figure(best.value)} on "
        f"{best.trial.first.n} transcripts of dev" + (", decided out of fold." if best.fit is not None else ".")
    ]
    if best.baseline:
        found.append("No configuration beats zero-shot and study.")
    for other in finalists:
        if other.baseline and other is not best:
            how = difference(best.trial, other.trial, objective)
            proof = "" if how.proven else "; that is not more than chance could give"
            found.append(f"Against {other.chosen['strategy']}: {how}{proof}.")
    for other in finalists:
        if not keeps(other.excess) and other.value > best.value:
            found.append(f"Better, but beyond a limit: {describe(other.chosen)} ({broken(other.excess)}).")
    if plan.goals.pareto:
        found.append(
            "With two objectives, quality and seconds, nothing was pruned. The Pareto front: "
            + "; ".join(f"{figure(r['score'])} in {r['latency']:.2f} s, {r['program']}" for r in document["front"])
            + "."
        )
    if best.fit is not None:
        found.append("Its thresholds were then fitted on all of dev, so its run's scores on dev flatter it.")
    if count > 2:
        found.append("It was chosen on these transcripts, so expect less elsewhere; the test part was not touched.")
    return found


def report(document: dict[str, Any], command: Sequence[str]) -> str:
    """The search in Markdown."""
    lines = ["# What was searched", "", f"`{' '.join(command)}`", ""]
    lines += [f"- {s}" for s in document.get("says", ())]
    tables = [search_table(document)]
    tables += [front_table(document)] if "front" in document else []
    tables += [importance_table(document)] if document["importances"] else []
    for table in tables:
        lines += ["", f"## {table.title}", "", table.markdown()]
    if "program" in document:
        lines += ["", f"Program: `{document['program']}`"]
    return "\n".join(lines) + "\n"


def front_table(document: dict[str, Any]) -> Grid:
    """The Pareto front of quality and seconds on all of dev."""
    rows = [
        (describe(r["configuration"]), Path(r["program"]).name, figure(r["score"], 3), figure(r["latency"], 2))
        for r in document["front"]
    ]
    name = METRIC_NAMES[document["objective"]]
    return Grid("The Pareto front", ("Configuration", "Program", name, "s/tr."), tuple(rows), texts=2)


def importance_table(document: dict[str, Any]) -> Grid:
    """Which choices mattered."""
    rows = tuple((name, figure(share, 2)) for name, share in document["importances"].items())
    note = "Shares in the spread of the scores (fANOVA); of choices that were tried unevenly they say little."
    return Grid("Which choices mattered", ("Choice", "Share"), rows, (note,))


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
        if how == SCORED and not keeps(row["excess"]):
            how = "beyond a limit"

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
                figure(row["latency"], 2),
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
    finale = document["spent"].get("finale", {}).get("calls", 0)
    notes = (
        "Calls are those that no earlier trial had needed; seconds and tokens are means of a transcript.",
        f"In all {document['spent']['calls']} calls and {document['spent']['generated_tokens']} generated tokens"
        + (f", and {finale} calls for the best few on all of dev." if finale else "."),
    )
    return Grid("What was tried", columns, tuple(rows), notes, texts=3)
