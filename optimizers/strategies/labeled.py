"""DSPy's LabeledFewShot: labelled examples as they are.

It always draws with `Random(0)` and takes no seed, so the train set is shuffled with ours before it sees it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from ...signatures.private_dspy import dspy
from .setting import Candidate, Setting

NAME = "labeled"


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One candidate a seed."""
    for seed in setting.seeds:
        shuffled = random.Random(seed).sample(setting.pool, len(setting.pool))
        student = dspy.Predict(setting.build().predict.signature)
        compiled = dspy.LabeledFewShot(k=setting.demos).compile(student, trainset=setting.examples(shuffled))
        demos = setting.transcripts_of(compiled.demos)
        yield setting.candidate(NAME, f"{len(demos)} labelled, seed {seed}", demos)
