"""Ways to choose the demos of a prompt, each in a file of its own behind one protocol (`setting.py`).

setting.py        what a strategy is given and gives; which transcripts may become demos
passing.py        what the model gets right, for the two strategies that bootstrap
zero_shot.py · study.py · random_draw.py · labeled.py · bootstrap.py · random_search.py · coverage.py · nearest.py · mipro.py · gepa.py    the strategies
proposed.py       which proposed instructions can be used
"""

from __future__ import annotations

from collections.abc import Mapping

from . import bootstrap, coverage, gepa, labeled, mipro, nearest, random_draw, random_search, study, zero_shot
from .setting import Candidate, Eligible, Setting, Strategy, eligible

__all__ = ["BASELINES", "STRATEGIES", "Candidate", "Eligible", "Setting", "Strategy", "eligible", "why_none"]

# Always tried, and first: zero-shot also measures the tokens of a character.
BASELINES = (zero_shot.NAME, study.NAME)

_NONE_MADE: Mapping[str, str] = {
    gepa.NAME: "no instructions that were proposed do better than those there are",
    nearest.NAME: "from the fourth draw on it takes half as many demos, and these cannot be halved",
}

STRATEGIES: Mapping[str, Strategy] = {
    module.NAME: module.candidates
    for module in (zero_shot, study, random_draw, labeled, bootstrap, random_search, coverage, nearest, mipro, gepa)
}


def why_none(strategy: str) -> str:
    """Why a strategy may make no candidate."""
    return _NONE_MADE.get(strategy, "the model gets none of the transcripts it was asked about right")
