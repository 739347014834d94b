"""One search from options to a run: data, study, finalists on all of dev, the best as a program, a run and a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ..data.files import plain_name, write_private
from ..data.store import canonical, key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.opening import open_engine
from ..errors import CheckFailed
from ..eval.arm import Advance
from ..eval.choice import record_choice
from ..eval.job import Outcome, run_evaluation
from ..programs.saving import save_program
from .budget import Budget, Halt, Meter, estimate
from .examination import Asking, Unscored, check_failures, decided
from .places import Places
from .plan import Plan
from .pruning import LOOKS, ordered
from .search import Search, gold_of
from .search_report import Ranked, search_table, sentences, trial_rows
from .space import Choices, Space, key
from .study import SCORED, Keeper, open_study, outcome, spent
from .thresholds import fitted_here
from .trial import Trial
from .workers import Worker, alone

SCHEMA_VERSION = 1
FINALISTS = 3
STOP_FILE = "STOP"


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, on what, for how long, and where the result goes.

    Attributes:
        base: Data, engines, objective, seed, limit and folder, as `balin optimize` has them.
        space: What may be chosen.
        budget: How much may be spent.
        prune: Whether trials may end early.
        storage: A database's URL for the study; by default a file in the search's folder.
    """

    base: Plan
    space: Space
    budget: Budget
    prune: bool = True
    storage: str | None = None


@dataclass(frozen=True)
class Searched:
    """What a search left.

    Attributes:
        folder: Holds the study, `search.json`, `report.md` and the best program.
        document: What `search.json` holds; where other workers are still at it, what there is so far.
        outcome: The run of the best program, or None where other workers are still at it.
    """

    folder: Path
    document: dict[str, Any]
    outcome: Outcome | None


def search(
    plan: SearchPlan, *, say: Callable[[str], None] = lambda _: None, advance: Advance = lambda *_: None
) -> Searched:
    """Search, or go on with a search that was stopped.

    Args:
        plan: What to do.
        say: Told in a sentence what a user should know on the way.
        advance: Told (phase, done, of).

    Raises:
        InputError: Something the user gave cannot be used.
        CheckFailed: No configuration could be scored.
        EngineUnavailable: No model to ask; all that was finished is kept.
    """
    base = plan.base
    plan.space.check(base.feature_set)
    plan.budget.check()
    dataset = base.divided()
    name = _name(plan, dataset)
    folder = base.folder(name)
    order, ends = ordered(dataset, base.feature_set, base.limit, LOOKS if plan.prune else (), base.seed)
    with Worker(folder / "workers") as worker:
        # Tables that two workers make at once are an error to some databases.
        with alone(folder):
            keeper = Keeper(open_study(name, folder, plan.storage, base.seed), worker, plan.storage is None)
        halt = Halt(plan.budget.seconds, folder / STOP_FILE)
        begun = keeper.trials()
        if not begun:
            _check_models(plan, say)
        counted = sum(1 for _ in plan.space.configurations())
        formats = plan.space.formats
        say(estimate(plan.budget, len(order), len(base.feature_set), counted, formats))
        say(
            f"{'going on with' if begun else 'study'}: {folder}; `touch {folder / STOP_FILE}` or Ctrl-C ends it, and the same command goes on"
        )

        def watched(phase: str, done: int, total: int) -> None:
            advance(phase, done, total)
            halt.check()

        meter = Meter()
        places = Places(base, dataset, order, folder, meter, say, watched)
        asking = Asking(places, base.objective)
        gold = gold_of(order, base.feature_set.ids)
        work = Search(
            keeper, plan.space, asking, ends, gold, plan.budget, halt, meter, base.objective, base.seed, plan.prune, say
        )
        try:
            with alone(folder):
                work.begin()
            reason = work.run()
            say(reason)
            places.advance = advance
            places.close()
            if keeper.others_running():
                say("other workers are still at it; the last of them writes the result")
                return Searched(folder, _document(plan, dataset, folder, keeper, reason), None)
            return _Finale(plan, dataset, folder, keeper, asking, say, advance).result(reason)
        finally:
            places.close()


def _check_models(plan: SearchPlan, say: Callable[[str], None]) -> None:
    """Open every model once, so that one that is not there is told now and not after hours.

    Raises:
        EngineUnavailable: One is not there.
    """
    for model in dict.fromkeys((*plan.space.models, *plan.space.translators)):
        open_engine(model, plan.base.engines, say=say).close()


def _name(plan: SearchPlan, dataset: Dataset) -> str:
    """Equal for equal settings, so that the same command goes on with the same study; budgets may be raised."""
    base, space = plan.base, plan.space
    told = key_of(
        space=[list(v) if isinstance(v, tuple) else v for v in (getattr(space, f) for f in space.__dataclass_fields__)],
        limit=base.limit,
        prune=plan.prune,
        objective=base.objective,
        seed=base.seed,
        num_ctx=base.engines.num_ctx,
        feature_set=base.feature_set.hash,
        data=dataset.sha256,
        parts={t.id: t.part for t in dataset},
    )
    return f"search-{plain_name(Path(dataset.name).stem)}-{told[:8]}"


def _document(plan: SearchPlan, dataset: Dataset, folder: Path, keeper: Keeper, reason: str) -> dict[str, Any]:
    trials = keeper.trials()
    used = spent(trials)
    return {
        "schema": SCHEMA_VERSION,
        "folder": str(folder),
        "study": keeper.study.study_name,
        "ended": reason,
        "objective": plan.base.objective,
        "seed": plan.base.seed,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "dev": len(dataset.part("dev"))},
        "feature_set": {"id": plan.base.feature_set.id, "hash": plan.base.feature_set.hash},
        "tried": used.trials,
        "spent": {"calls": used.calls, "generated_tokens": used.tokens},
        "trials": trial_rows(trials),
    }


@dataclass
class _Finale:
    """The end of a search: the best few and the baselines on all of dev, and the best of them as a run."""

    plan: SearchPlan
    dataset: Dataset
    folder: Path
    keeper: Keeper
    asking: Asking
    say: Callable[[str], None]
    advance: Advance

    def result(self, reason: str) -> Searched:
        """The search's result.

        Raises:
            CheckFailed: Nothing could be scored.
            EngineUnavailable: All that was finished is kept.
        """
        base = self.plan.base
        dev = list(self.dataset.part("dev"))
        finalists = [r for t in self._finalists() if (r := self._ranked(t, dev)) is not None]
        if not finalists:
            rows = trial_rows(self.keeper.trials())
            why = next((row["detail"] for row in rows if row["detail"]), "no trial was finished")
            raise CheckFailed(f"no configuration could be scored: {why}")
        best = max(finalists, key=lambda r: r.value)
        program = self._saved(best)
        arm = self.asking.places.arm(best.chosen, str(program))
        self.asking.places.close()
        notes = () if best.fit is None else (fitted_here(best.value),)
        outcome_ = run_evaluation(base.job(arm, notes), say=self.say, advance=self.advance)
        says = sentences(
            best, [r for r in finalists if r.baseline], base.objective, len(trial_rows(self.keeper.trials()))
        )
        document = _document(self.plan, self.dataset, self.folder, self.keeper, reason) | {
            "finalists": [r.to_dict() for r in finalists],
            "best": best.to_dict(),
            "says": says,
            "program": str(program),
            "run": str(outcome_.folder),
        }
        record_choice(
            outcome_.folder, outcome_.scores, best.choice(self.folder.name, document["tried"], base.objective)
        )
        table = search_table(document)
        command = " ".join(base.command)
        report = "\n".join(
            ["# What was searched", "", f"`{command}`", "", *(f"- {s}" for s in says), "", table.markdown()]
        )
        write_private(self.folder / "search.json", canonical(document) + b"\n")
        write_private(self.folder / "report.md", (report + f"\n\nProgram: `{program}`\n").encode())
        return Searched(self.folder, document, outcome_)

    def _finalists(self) -> list[FrozenTrial]:
        """Baselines first, so that a tie is theirs, then the best others."""
        trials = [t for t in self.keeper.trials() if outcome(t) == SCORED]
        own = [key(c) for c in self.plan.space.baselines()]
        baselines = [t for k in own for t in trials if key(t.user_attrs["asked"]) == k]
        others = [t for t in trials if t not in baselines]
        others.sort(key=lambda t: (-float(t.value or 0.0), t.number))
        return [*baselines, *others[:FINALISTS]]

    def _ranked(self, trial: FrozenTrial, dev: list[Transcript]) -> Ranked | None:
        """A finalist with its score on all of dev; None where too many calls failed there."""
        base = self.plan.base
        chosen: Choices = trial.user_attrs["asked"]
        scored = self.asking.score(chosen, dev, "all of dev")
        try:
            check_failures(scored, scored.n)
        except Unscored as reason:
            self.say(f"a finalist has no score on all of dev: {reason}")
            return None
        value, table, fit = decided(scored, chosen, base.objective, base.seed)
        if value is None:
            return None
        baseline = key(chosen) in [key(c) for c in self.plan.space.baselines()]
        candidate = self.asking.candidate(chosen)
        made = Trial(candidate, replace(scored, value=value, table=table))
        return Ranked(dict(chosen), made, value, float(trial.value or 0.0), fit, baseline)

    def _saved(self, best: Ranked) -> Path:
        """The best program's file, with thresholds fitted on all of dev."""
        program = best.trial.candidate.program
        if best.fit is not None:
            program.thresholds = best.fit.thresholds
            for feature, why in best.fit.refused.items():
                self.say(f"no threshold for {feature}: {why}")
        path = self.folder / "program.json"
        save_program(program, path)
        return path
