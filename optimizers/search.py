"""The work behind `balin search`: an Optuna study over configurations, the best re-scored on all of dev and left as a run.

Every answer is stored the moment it exists, and every trial in the study: the same command goes on where it was stopped.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from ..data.transcripts import Transcript
from ..errors import ModelChanged
from ..eval.metrics import AnswerTable
from .budget import Budget, Halt, Halted, Meter
from .examination import Examiner, FailingCalls, Unscored, check_failures, decided, pack, unpack
from .goals import Goals, keeps, latency
from .pruning import first_rows, hopeless
from .space import Choices, Space, Value, describe, key
from .study import (
    DROPPED,
    FAILING,
    PRUNED,
    REPEAT,
    SCORED,
    UNSCORED,
    Keeper,
    failing,
    holds,
    outcome,
    paid_for,
    place_of,
    quietly,
    result,
    spent,
    tried,
)
from .trial import Scored

# After so many draws in a row that were tried before, one that was not is taken at random.
REPEATS = 3


class _Elsewhere(Exception):
    """Another worker has this configuration, or the budget is taken up; the trial is dropped and counts for nothing."""


@dataclass(frozen=True)
class Searching:
    """What is searched, for what, and for how long.

    Attributes:
        space: What may be chosen.
        budget: How much may be spent.
        goals: What is looked for.
        seed: Of all draws.
        prune: Whether trials may end early; not with two objectives.
    """

    space: Space
    budget: Budget
    goals: Goals
    seed: int = 0
    prune: bool = True


@dataclass
class Search:
    """A study at work, in one worker.

    Attributes:
        keeper: Of the study.
        task: What is searched, for what, and for how long.
        examiner: Gives answers.
        ends: How many transcripts there are at each look; the last is all of them.
        gold: Of all these transcripts, in order; its answers are not read.
        halt: The clock and the stop file.
        meter: Counts answers.
        say: Told in a sentence what a user should know.
    """

    keeper: Keeper
    task: Searching
    examiner: Examiner
    ends: tuple[int, ...]
    gold: AnswerTable
    halt: Halt
    meter: Meter
    say: Callable[[str], None] = lambda _: None
    _all: dict[str, dict[str, Value]] = field(default_factory=dict)
    _at: int | None = None
    _first: int = 0
    _raised: Exception | None = None

    def begin(self) -> None:
        """Queue the baselines that are not in the study yet, and what failed in earlier commands; one worker at a time."""
        known = self._known()
        self._first = len(self.keeper.trials())
        with quietly():
            late = (t.user_attrs["asked"] for t in failing(self.keeper.trials()))
            for chosen in (*self.task.space.baselines(), *late):
                if key(chosen) not in known:
                    self.keeper.enqueue(chosen)
                    known.add(key(chosen))

    def run(self) -> str:
        """Try configurations until something ends it.

        Returns:
            Why it ended, as a sentence.

        Raises:
            EngineUnavailable: The trial at work counts for nothing and will be asked again; nothing is lost. `ModelChanged` where
                a model is not the one that the study began with.
            KeyboardInterrupt: Likewise.
        """
        self._all = {key(c): c for c in self.task.space.configurations()}
        with quietly():
            try:
                while True:
                    self.halt.check()
                    self.keeper.tidy()
                    reason = self._ended()
                    if reason is not None:
                        return reason
                    self._at = self._raised = None
                    try:
                        self.keeper.study.optimize(self._trial, n_trials=1, catch=(_Elsewhere, Unscored))
                    except (optuna.exceptions.UpdateFinishedTrialError, ValueError) as error:
                        own = error is self._raised or not self._taken()
                        if isinstance(error, ValueError) and own:
                            raise
                        # Another worker put the queue in order just now, or took this one for dead, and has queued this
                        # configuration again; what was answered is stored.
                        continue
                    self._told()
            except Halted as halted:
                return str(halted)
            finally:
                # What this worker left is queued for the others; its own end is not theirs.
                self.keeper.tidy()

    def _taken(self) -> bool:
        """Whether another worker has ended the trial that this one is at."""
        return self._at is not None and any(
            t.number == self._at and t.state.is_finished() for t in self.keeper.trials()
        )

    def _ended(self) -> str | None:
        """Why no further trial is begun, or None; sees to it that the next one is new."""
        trials = self.keeper.trials()
        used = self.task.budget.used_up(spent(trials))
        if used is not None:
            return used
        running = sum(t.state == TrialState.RUNNING for t in trials)
        late = failing(trials)
        begun = len(tried(trials)) + len(late)
        if self.task.budget.trials is not None and begun + running >= self.task.budget.trials:
            return "other workers are at the last of the budget's configurations" if running else self._late(late)
        known = self._known() | {key(t.user_attrs["asked"]) for t in late}
        left = [c for k, c in self._all.items() if k not in known]
        if any(t.state == TrialState.WAITING for t in trials):
            return None
        if not left:
            return self._late(late) if late else "every configuration has been tried"
        ended = [t for t in trials if outcome(t) not in (None, DROPPED)]
        if len(ended) >= REPEATS and all(outcome(t) == REPEAT for t in ended[-REPEATS:]):
            self.keeper.enqueue(random.Random(f"{self.task.seed} {len(ended)}").choice(left))
        return None

    def _late(self, late: Sequence[FrozenTrial]) -> str:
        return f"the calls of {len(late)} configurations failed for reasons that may pass; the same command asks for them again"

    def _known(self) -> set[str]:
        """The configurations that somebody has tried, is at or has waiting."""
        return {key(t.user_attrs["asked"]) for t in self.keeper.trials() if holds(t)}

    def _trial(self, trial: Trial) -> list[float]:
        """Optuna's objective; what it raises is told apart from what Optuna does."""
        try:
            return self._answered_trial(trial)
        except Exception as error:
            self._raised = error
            raise

    def _answered_trial(self, trial: Trial) -> list[float]:
        self._at = trial.number
        trial.set_user_attr("owner", self.keeper.worker.name)
        chosen: dict[str, Value] = {}
        for name, choices in self.task.space.dimensions(chosen):
            taken = trial.suggest_categorical(name, choices)
            chosen[name] = next(c for c in choices if c == taken)
        trial.set_user_attr("asked", chosen)
        trials = self.keeper.trials()
        # What failed since this command began is for the next one, however often it is drawn.
        late = [t for t in trials if outcome(t) == FAILING and t.number >= self._first]
        earlier = next((t for t in (*tried(trials), *late) if key(t.user_attrs["asked"]) == key(chosen)), None)
        if earlier is not None:
            return self._repeated(trial, earlier)
        self._claim(trial, chosen, trials)
        self.meter.begin(paid_for(trials))
        try:
            return self._examined(trial, chosen)
        except Unscored as reason:
            how = FAILING if isinstance(reason, FailingCalls) else UNSCORED
            self._keep(trial, {"outcome": how, "state": "FAIL", "detail": str(reason), "facts": {}, **self._charged()})
            raise

    def _repeated(self, trial: Trial, earlier: FrozenTrial) -> list[float]:
        """A configuration that was tried before: its score again, at no cost."""
        self._keep(trial, {"outcome": REPEAT, "of": earlier.number, "state": earlier.state.name})
        for name, value in result(earlier).get("excess", {}).items():
            trial.set_constraint(name, value)
        if outcome(earlier) == SCORED:
            return list(earlier.values)
        if outcome(earlier) == PRUNED:
            for step, value in earlier.intermediate_values.items():
                trial.report(value, step)
            raise optuna.TrialPruned
        raise Unscored(str(result(earlier).get("detail")))

    def _claim(self, trial: Trial, chosen: dict[str, Value], trials: list[FrozenTrial]) -> None:
        """Of workers that begin the same configuration, or the last of the budget, those that came first have it."""
        others = [t for t in trials if t.number < trial.number and t.state == TrialState.RUNNING]
        same = any("asked" in t.user_attrs and key(t.user_attrs["asked"]) == key(chosen) for t in others)
        limit = self.task.budget.trials
        if same or (limit is not None and len(tried(trials)) + len(others) >= limit):
            self._keep(trial, {"outcome": DROPPED, "state": "FAIL"})
            raise _Elsewhere

    def _examined(self, trial: Trial, chosen: dict[str, Value]) -> list[float]:
        """Look by look to the score.

        Raises:
            TrialPruned: It is worse than the best.
            Unscored: It cannot have a score.
        """
        last, prunable = self.ends[-1], self._prunable(chosen)
        for count in self.ends:
            scored = self.examiner.look(chosen, count)
            check_same(self.keeper.trials(), chosen, self.examiner.facts(chosen))
            check_failures(scored, last)
            if count == last:
                break
            if prunable and self._hopeless(scored.table):
                if scored.value is not None:
                    trial.report(scored.value, count)
                self._found(trial, PRUNED, chosen, scored)
                raise optuna.TrialPruned
        value, table, _ = decided(scored, chosen, self.task.goals.objective, self.task.seed)
        if value is None:
            raise Unscored("no feature has both a positive and a negative label among the transcripts")
        self._found(trial, SCORED, chosen, replace(scored, value=value, table=table))
        self._queue_twin(chosen)
        return self.task.goals.values(value, scored.cost)

    def _prunable(self, chosen: dict[str, Value]) -> bool:
        """Whether a trial may end early: not a baseline, which the winner is compared with.

        With thresholds there are no decisions before all answers are there, and where all are there nothing is saved.
        """
        baselines = [key(c) for c in self.task.space.baselines()]
        return (
            self.task.prune
            and not chosen.get("thresholds")
            and key(chosen) not in baselines
            and not self._answered(chosen)
        )

    def _answered(self, chosen: dict[str, Value]) -> bool:
        """Whether the same with or without thresholds was scored, so that every answer is there."""
        twin = key(_twin(chosen))
        return any(outcome(t) == SCORED and key(t.user_attrs["asked"]) == twin for t in self.keeper.trials())

    def _queue_twin(self, chosen: dict[str, Value]) -> None:
        """Have the same with or without thresholds tried next, where that is a choice: its answers are there, so it costs no call."""
        twin = _twin(chosen)
        if key(twin) in self._all and key(twin) not in self._known():
            self.keeper.enqueue(twin)

    def _hopeless(self, own: AnswerTable) -> bool:
        best = self.best()
        if best is None:
            return False
        theirs = unpack(result(best)["states"], self.gold)
        return hopeless(
            own, first_rows(theirs, len(own.ids)), self.task.goals.objective, len(self.ends) - 1, self.task.seed
        )

    def best(self) -> FrozenTrial | None:
        """The best scored trial that keeps the limits, else the best; the first of equals."""
        scored = [t for t in self.keeper.trials() if outcome(t) == SCORED]
        return max(scored, key=lambda t: (keeps(result(t)["excess"]), result(t)["score"]), default=None)

    def _found(self, trial: Trial, how: str, chosen: dict[str, Value], scored: Scored) -> None:
        """Keep what came of a trial."""
        excess = self.task.goals.excess(scored.table, scored.cost)
        for name, value in excess.items():
            trial.set_constraint(name, value)
        found = {
            "outcome": how,
            "state": "COMPLETE" if how == SCORED else "PRUNED",
            "score": scored.value,
            "latency": latency(scored.cost),
            "excess": excess,
            "n": scored.n,
            "failures": scored.failures,
            "detail": scored.detail,
            "cost": scored.cost.to_dict(),
            "facts": self.examiner.facts(chosen),
            "states": pack(scored.table),
        }
        self._keep(trial, found | self._charged())

    def _charged(self) -> dict[str, Any]:
        meter = self.meter
        return {"calls": meter.calls, "tokens": meter.tokens, "keys": sorted(meter.charged)}

    def _keep(self, trial: Trial, found: dict[str, Any]) -> None:
        trial.set_user_attr("result", found)

    def _told(self) -> None:
        """Say how the last trial of this worker ended."""
        trials = self.keeper.trials()
        mine = [t for t in trials if t.user_attrs.get("owner") == self.keeper.worker.name and outcome(t)]
        if not mine or outcome(mine[-1]) in (REPEAT, DROPPED):
            return
        trial, found = mine[-1], result(mine[-1])
        score = found.get("score")
        figure = found.get("detail") if score is None else f"{score:.3f} on {found['n']}"
        self.say(
            f"trial {place_of(trial, trials)}: {found['outcome']}, {figure} ({describe(trial.user_attrs['asked'])})"
        )


def check_same(trials: Sequence[FrozenTrial], chosen: Choices, facts: Mapping[str, Any]) -> None:
    """Refuse answers of other weights, or of another engine, than the study's earlier ones of the model.

    Args:
        trials: The study's.
        chosen: What was asked now.
        facts: Of it, as `Examiner.facts` gives them.

    Raises:
        ModelChanged: What was answered now must count for nothing.
    """
    own = facts.get("answered_by")
    same = (t for t in tried(trials) if t.user_attrs["asked"]["model"] == chosen["model"])
    for earlier in (result(t)["facts"].get("answered_by") for t in same):
        if own is not None and earlier is not None and own != earlier:
            there, here = (f"{by['engine']}, {by['digest'][:19]}…" for by in (earlier, own))
            raise ModelChanged(
                f"{chosen['model']}: the study began with other weights or another engine ({there} there, {here} here), and a "
                "table of both would compare the weights and not the configurations; give --engine, pull the model that it "
                "began with, or begin a new study (--out)"
            )


def _twin(chosen: dict[str, Value]) -> dict[str, Value]:
    """The same with thresholds, where it has none, and the reverse."""
    return {**chosen, "thresholds": not chosen.get("thresholds")}


def gold_of(transcripts: list[Transcript], features: tuple[str, ...]) -> AnswerTable:
    """The gold labels of transcripts, in a table without answers."""
    from ..eval.metrics import AnswerRow
    from ..signatures.answers import ERROR

    rows = (AnswerRow(t.id, t.group, t.labels, dict.fromkeys(features, ERROR)) for t in transcripts)
    return AnswerTable.from_rows(features, rows)
