"""One search from options to a run: data, study, finale, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from ..data.transcripts import Dataset
from ..errors import RunError
from ..eval.arm import Advance
from ..eval.job import Outcome
from .budget import Halt, Meter, estimate
from .examination import Asking
from .finale import Finale
from .places import Places
from .pruning import LOOKS, ordered
from .search import Search, Searching, gold_of
from .search_plan import SearchPlan
from .study import Keeper, open_study, shared_folder
from .workers import Worker, alone

STOP_FILE = "STOP"


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
        InputError: Something the user gave cannot be used, or the study cannot be written.
        CheckFailed: No configuration could be scored, or none keeps the limits.
        EngineUnavailable: No model to ask; all that was finished is kept.
    """
    plan.check()
    dataset = plan.base.divided()
    name = plan.name(dataset)
    folder = plan.base.folder(name)
    shared = shared_folder(folder, plan.storage)
    with _storage_told(plan, folder), Worker(shared / "workers") as worker:
        # Tables that two workers make at once are an error to some databases.
        with alone(shared):
            study = open_study(name, folder, plan.storage, plan.base.seed, plan.goals.directions)
        keeper = Keeper(study, worker, shared=plan.storage is None or shared != folder)
        return _Work(plan, dataset, folder, shared, keeper, say, advance).done()


@contextmanager
def _storage_told(plan: SearchPlan, folder: Path) -> Iterator[None]:
    """A study that can no longer be written is an error that says what to do."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError, json.JSONDecodeError) as error:
        where = "--storage" if plan.storage else str(folder)
        raise RunError(
            f"{where}: the study cannot be read or written any more ({type(error).__name__}); see that the disk is not full and "
            "the database is there, and give the same command again: what was finished is kept"
        ) from None


@dataclass
class _Work:
    """One worker's part of a search."""

    plan: SearchPlan
    dataset: Dataset
    folder: Path
    shared: Path
    keeper: Keeper
    say: Callable[[str], None]
    advance: Advance

    def done(self) -> Searched:
        """Search until something ends it; the last worker adds the finale."""
        base = self.plan.base
        looks = LOOKS if self.plan.prunes else ()
        order, ends = ordered(self.dataset, base.feature_set, base.limit, looks, base.seed)
        halt = Halt(self.plan.budget.seconds, self.folder / STOP_FILE)
        self._announce(len(order))

        def watched(phase: str, done: int, total: int) -> None:
            self.advance(phase, done, total)
            halt.check()

        meter = Meter()
        places = Places(base, self.plan.space, self.dataset, order, self.folder, meter, self.say, watched)
        asking = Asking(places, base.objective)
        task = Searching(self.plan.space, self.plan.budget, self.plan.goals, base.seed, self.plan.prunes)
        gold = gold_of(order, base.feature_set.ids)
        work = Search(self.keeper, task, asking, ends, gold, halt, meter, self.say)
        try:
            with alone(self.shared):
                work.begin()
            reason = work.run()
            self.say(reason)
            places.advance = self.advance
            places.close()
            if self.keeper.others_running():
                self.say("other workers are still at it; the last of them writes the result")
                return Searched(self.folder, self._so_far(reason), None)
            finale = Finale(self.plan, self.dataset, self.folder, self.keeper, asking, self.say, self.advance)
            return Searched(self.folder, *finale.result(reason))
        finally:
            places.close()

    def _announce(self, transcripts: int) -> None:
        """What is about to happen; models are opened once where nothing has happened yet."""
        plan, dev = self.plan, len(self.dataset.part("dev"))
        begun = bool(self.keeper.trials())
        if not begun:
            self._check_models()
        self.say(estimate(plan.budget, transcripts, dev, len(plan.base.feature_set), plan.space))
        if plan.goals.pareto:
            self.say("two objectives, quality and seconds: nothing is pruned")
        for feature in self._undefined():
            self.say(f"warning: {feature} has one kind of label only in dev: no score counts it")
        stop = self.folder / STOP_FILE
        self.say(
            f"{'going on with' if begun else 'study'}: {self.folder}; `touch {stop}` or Ctrl-C ends it, and the same command goes on"
        )

    def _check_models(self) -> None:
        space = self.plan.space
        self.plan.base.check_models((*space.models, *space.translators), space.strategies, self.say)

    def _undefined(self) -> list[str]:
        dev = self.dataset.part("dev")
        return [i for i in self.plan.base.feature_set.ids if len({t.labels.get(i) for t in dev} - {None}) < 2]

    def _so_far(self, reason: str) -> dict[str, Any]:
        keeper = self.keeper
        return self.plan.document(self.dataset, self.folder, keeper.study.study_name, keeper.trials(), reason)
