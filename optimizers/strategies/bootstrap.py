"""Demos that the model itself gets right, with gold labels and a quota of positives for each feature."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .passing import passing, with_quotas
from .setting import Candidate, Setting

NAME = "bootstrap"


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One candidate a seed; none where no transcript passes."""
    passed = passing(setting)
    if not passed:
        return
    for seed in setting.seeds:
        demos = with_quotas(passed, setting.demos, setting.feature_ids, random.Random(seed))
        yield setting.candidate(NAME, f"{len(demos)} of {len(passed)} that the model gets right, seed {seed}", demos)
