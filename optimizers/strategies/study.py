"""The study's own protocol: its template, its words, three random examples."""

from __future__ import annotations

from collections.abc import Iterator

from ...programs.builtin import BUILT_IN
from ...programs.demos import random_demos
from .setting import Candidate, Setting

NAME = "study"


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One draw: it is the baseline, and not searched."""
    program = setting.study()
    count = min(BUILT_IN[NAME].demos, len(setting.pool))
    demos = random_demos(setting.pool, program.feature_set, count, setting.seed)
    yield setting.candidate(NAME, f"{count} random, seed {setting.seed}", demos, setting.study)
