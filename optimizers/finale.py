"""The end of a search: the best few and the baselines on all of dev, and the best of them as a program and a run.

It is outside the search's limits, which say when the search ends: its answers are announced before and counted apart, and they
are stored like all others, so a finale that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ..data.files import write_private
from ..data.store import canonical
from ..data.transcripts import Dataset, Transcript
from ..errors import CheckFailed
from ..eval.arm import Advance
from ..eval.choice import record_choice
from ..eval.job import Outcome, run_evaluation
from ..programs.saving import save_program
from .examination import Asking, Unscored, check_failures, decided
from .goals import broken, front, keeps
from .importance import importances
from .search import check_same
from .search_plan import SearchPlan
from .search_report import Ranked, report, sentences
from .space import Choices, describe, key
from .study import SCORED, Keeper, outcome, paid_for, result
from .thresholds import fitted_here
from .trial import Trial

FINALISTS = 3
# Of a Pareto front so many at most are scored on all of dev, those of the best quality.
FRONT = 8


@dataclass
class Finale:
    """The end of a search.

    Attributes:
        plan: What was wanted.
        dataset: The data with their parts.
        folder: The search's.
        keeper: Of the study.
        asking: Asks models.
        say: Told in a sentence what a user should know.
        advance: Told (phase, done, of).
    """

    plan: SearchPlan
    dataset: Dataset
    folder: Path
    keeper: Keeper
    asking: Asking
    say: Callable[[str], None]
    advance: Advance

    def result(self, reason: str) -> tuple[dict[str, Any], Outcome]:
        """What `search.json` holds, and the run of the best.

        Raises:
            CheckFailed: Nothing could be scored, or nothing keeps the limits.
            EngineUnavailable: All that was finished is kept, and the same command goes on; `ModelChanged` where a model is not the
                one that the study began with.
        """
        trials = self.keeper.trials()
        finalists = self._ranked(trials)
        document = self._document(trials, finalists, reason)
        kept = [r for r in finalists if keeps(r.excess)]
        if not kept:
            self._write(document)
            raise CheckFailed(self._why_none(document, finalists))
        best = max(kept, key=lambda r: r.value)
        program = self._saved(best, self.folder / "program.json")
        arm = self.asking.places.arm(best.chosen, str(program))
        self.asking.places.close()
        notes = () if best.fit is None else (fitted_here(best.value),)
        outcome_ = run_evaluation(self.plan.base.job(arm, notes), say=self.say, advance=self.advance)
        choice = best.choice(self.folder.name, document["tried"], self.plan.goals.objective)
        record_choice(outcome_.folder, outcome_.scores, choice)
        document |= {
            "best": best.to_dict(),
            "says": sentences(best, finalists, self.plan, document),
            "program": str(program),
            "run": str(outcome_.folder),
        }
        self._write(document)
        return document, outcome_

    def _document(self, trials: list[FrozenTrial], finalists: list[Ranked], reason: str) -> dict[str, Any]:
        document = self.plan.document(self.dataset, self.folder, self.keeper.study.study_name, trials, reason)
        meter = self.asking.places.meter
        document["spent"]["finale"] = {"calls": meter.calls, "generated_tokens": meter.tokens}
        document["finalists"] = [r.to_dict() for r in finalists]
        document["importances"] = importances(document["trials"], self.plan.space, self.plan.base.seed)
        if self.plan.goals.pareto:
            document["front"] = self._front(finalists)
        return document

    def _front(self, finalists: list[Ranked]) -> list[dict[str, Any]]:
        """The Pareto front on all of dev, each with its program's file."""
        own = {key(r.chosen): r for r in finalists if keeps(r.excess)}
        rows = front([{"configuration": r.chosen, "score": r.value, "latency": r.latency} for r in own.values()])
        for number, row in enumerate(rows):
            ranked = own[key(row["configuration"])]
            row["program"] = str(self._saved(ranked, self.folder / f"front-{number + 1}.json"))
        return rows

    def _ranked(self, trials: list[FrozenTrial]) -> list[Ranked]:
        """The finalists with their scores on all of dev, without those of which too many calls failed there."""
        chosen = self._finalists(trials)
        dev = list(self.dataset.part("dev"))
        missing = max(0, len(dev) - len(self.asking.places.order))
        if chosen and missing:
            self.say(
                f"the finale, outside the limits: {len(chosen)} configurations on {missing} further transcripts of dev"
            )
        self.asking.places.meter.begin(paid_for(trials))
        return [r for t in chosen if (r := self._on_all(t, dev)) is not None]

    def _finalists(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Baselines first, so that a tie is theirs, then the best others, those that keep the limits before those that do not."""
        scored = [t for t in trials if outcome(t) == SCORED]
        own = [key(c) for c in self.plan.space.baselines()]
        baselines = [t for k in own for t in scored if key(t.user_attrs["asked"]) == k]
        if self.plan.goals.pareto:
            kept = [{**result(t), "trial": t} for t in scored if keeps(result(t)["excess"])]
            others = [row["trial"] for row in front(kept)[:FRONT]]
            return [*baselines, *(t for t in others if t not in baselines)]
        others = [t for t in scored if t not in baselines]
        others.sort(key=lambda t: (not keeps(result(t)["excess"]), -result(t)["score"], t.number))
        return [*baselines, *others[:FINALISTS]]

    def _on_all(self, trial: FrozenTrial, dev: list[Transcript]) -> Ranked | None:
        """A finalist with its score on all of dev; None where too many calls failed there."""
        goals = self.plan.goals
        chosen: Choices = trial.user_attrs["asked"]
        scored = self.asking.score(chosen, dev, "all of dev")
        check_same(self.keeper.trials(), chosen, self.asking.facts(chosen))
        try:
            check_failures(scored, scored.n)
        except Unscored as reason:
            self.say(f"a finalist has no score on all of dev: {reason}")
            return None
        value, table, fit = decided(scored, chosen, goals.objective, self.plan.base.seed)
        if value is None:
            return None
        if chosen.get("thresholds") and fit is None:
            self.say("no thresholds for a finalist: none could be fitted, so it decides as without them")
        baseline = key(chosen) in [key(c) for c in self.plan.space.baselines()]
        made = Trial(self.asking.candidate(chosen), replace(scored, value=value, table=table))
        excess = goals.excess(table, scored.cost)
        return Ranked(dict(chosen), made, value, float(result(trial)["score"]), fit, baseline, excess)

    def _saved(self, ranked: Ranked, path: Path) -> Path:
        """A program's file, with thresholds fitted on all of dev."""
        program = ranked.trial.candidate.program
        if ranked.fit is not None:
            program.thresholds = ranked.fit.thresholds
            for feature, why in ranked.fit.refused.items():
                self.say(f"no threshold for {feature}: {why}")
        save_program(program, path)
        return path

    def _why_none(self, document: dict[str, Any], finalists: list[Ranked]) -> str:
        if not finalists:
            why = next((row["detail"] for row in document["trials"] if row["detail"]), "no trial was finished")
            return f"no configuration could be scored: {why}"
        nearest = min(finalists, key=lambda r: sum(x for x in r.excess.values() if x > 0))
        return (
            f"no configuration keeps the limits; the nearest is {describe(nearest.chosen)}: {broken(nearest.excess)}. All that "
            f"was tried is in {self.folder / 'report.md'}; loosen a limit, or search more"
        )

    def _write(self, document: dict[str, Any]) -> None:
        write_private(self.folder / "search.json", canonical(document) + b"\n")
        write_private(self.folder / "report.md", report(document, self.plan.base.command).encode())
