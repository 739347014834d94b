"""As DSPy's BootstrapFewShotWithRandomSearch: each seed draws how many demos are bootstrapped, which, and what fills up.

DSPy's own scores its candidates by a mean over examples, on the train set where it is given no other, and takes no seed.
Here whoever runs the strategy scores them by the corpus objective on dev.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from .passing import passing, with_quotas
from .setting import Candidate, Setting

NAME = "random-search"
# A seed sees this share of the passing transcripts, so that seeds differ also where quotas leave little choice.
SEEN = 2 / 3


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One candidate a seed."""
    passed = passing(setting)
    for seed in setting.seeds:
        rng = random.Random(seed)
        size = min(rng.randint(1, max(1, setting.demos)), setting.demos)
        seen = rng.sample(passed, math.ceil(SEEN * len(passed)))
        bootstrapped = with_quotas(seen, size, setting.feature_ids, rng)
        others = [t for t in setting.pool if t not in bootstrapped]
        labelled = rng.sample(others, min(len(others), setting.demos - len(bootstrapped)))
        told = f"{len(bootstrapped)} bootstrapped and {len(labelled)} labelled, seed {seed}"
        yield setting.candidate(NAME, told, [*bootstrapped, *labelled])
