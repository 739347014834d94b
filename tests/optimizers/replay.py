"""A search whose answers are known beforehand: for each configuration a table, and nothing is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from balin.eval.metrics import AnswerTable
from balin.optimizers.budget import Budget, Halt, Meter
from balin.optimizers.goals import Goals
from balin.optimizers.pruning import first_rows
from balin.optimizers.search import Search, Searching
from balin.optimizers.space import Choices, Space
from balin.optimizers.study import Keeper, PlaceSampler, quietly
from balin.optimizers.trial import Cost, Scored, objective_of
from balin.optimizers.workers import Worker

FEATURES = ("pain", "fever")


def gold(n: int) -> AnswerTable:
    """Every other transcript has the first feature, every third the second."""
    labels = np.array([[i % 2 == 0, i % 3 == 0] for i in range(n)], dtype=np.int8)
    blank = np.full(labels.shape, np.nan)
    return AnswerTable(tuple(f"t{i}" for i in range(n)), (None,) * n, FEATURES, labels, np.zeros_like(labels), blank)


@dataclass
class Known:
    """An examiner that replays.

    Attributes:
        gold: Of all transcripts.
        wrong: For a configuration the transcripts that it gets wrong.
        looks: The configurations and counts that were looked at.
        seconds: Of one answer, for a configuration.
    """

    gold: AnswerTable
    wrong: Callable[[Choices], set[int]]
    looks: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    seconds: Callable[[Choices], float] = lambda _: 1.0

    def look(self, chosen: Choices, count: int) -> Scored:
        self.looks.append((dict(chosen), count))
        state = self.gold.gold.copy()
        for i in self.wrong(chosen):
            state[i] = 1 - state[i]
        table = AnswerTable(
            self.gold.ids, self.gold.groups, FEATURES, self.gold.gold, state, np.where(state == 1, 0.9, 0.1)
        )
        table = first_rows(table, count)
        cost = Cost(count, count, 10 * count, count, self.seconds(chosen) * count)
        return Scored(objective_of(table, "mcc"), {}, None, table, cost)

    def facts(self, chosen: Choices) -> dict[str, Any]:
        return {}


def search(
    folder: Path, space: Space, examiner: Known, *, ends: tuple[int, ...] = (24, 40, 60), goals: Goals = Goals(),  # noqa: B008
    run: bool = True,
    **fields: Any,
) -> Search:  # fmt: skip
    """A search in memory, that has begun, and run unless told otherwise."""
    task = Searching(space, fields.pop("budget", Budget(trials=None)), goals, **fields)
    with quietly(), Worker(folder / "workers") as worker:
        study = optuna.create_study(sampler=PlaceSampler(task.seed), directions=goals.directions)
        found = Search(
            Keeper(study, worker, shared=True),
            task,
            examiner,
            ends,
            examiner.gold,
            Halt(None, folder / "STOP"),
            Meter(),
        )
        found.begin()
        if run:
            found.run()
    return found
