"""Random examples, as the study drew them, but for the program under optimization and with several seeds."""

from __future__ import annotations

from collections.abc import Iterator

from ...programs.demos import random_demos
from .setting import Candidate, Setting

NAME = "random"


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One candidate a seed."""
    count = min(setting.demos, len(setting.pool))
    feature_set = setting.build().feature_set
    for seed in setting.seeds:
        demos = random_demos(setting.pool, feature_set, count, seed)
        yield setting.candidate(NAME, f"{count} random, seed {seed}", demos)
