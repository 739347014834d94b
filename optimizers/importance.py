"""Which choices mattered: Optuna's fANOVA over all configurations that were scored.

A dimension that a configuration does not have (a number of demos, where there are none) is a choice of its own, so that the
conditional space becomes a plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from .space import Space
from .study import SCORED, quietly

# With fewer, a forest of trees finds importance in anything.
FEWEST = 10
_ABSENT = "–"


def importances(rows: Sequence[dict[str, Any]], space: Space, seed: int) -> dict[str, float]:
    """For each dimension with a choice, its share in the spread of the scores, from 0 to 1, greatest first.

    Empty where there are too few configurations, or all scored the same. Of a dimension whose choices were tried unevenly it
    says little.

    Args:
        rows: What was tried, as `trial_rows` has it; only what was scored is used.
        space: What might have been chosen.
        seed: Of the forest.
    """
    scored = [row for row in rows if row["outcome"] == SCORED]
    names = list(dict.fromkeys(name for c in space.configurations() for name in c))
    choices = {n: tuple(dict.fromkeys(row["configuration"].get(n, _ABSENT) for row in scored)) for n in names}
    # What has one choice alone is there or not by the others' doing.
    varied = {n: CategoricalDistribution(found) for n, found in choices.items() if len({*found} - {_ABSENT}) > 1}
    if len(scored) < FEWEST or not varied or len({row["score"] for row in scored}) < 2:
        return {}
    with quietly():
        study = optuna.create_study(direction="maximize")
        for row in scored:
            params = {n: row["configuration"].get(n, _ABSENT) for n in varied}
            study.add_trial(create_trial(params=params, distributions=dict(varied), value=row["score"]))
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: round(float(share), 4) for name, share in found.items()}
