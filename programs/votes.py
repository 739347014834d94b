"""Votes: several sampled answers to one question, and the majority of them. Plain functions, no DSPy.

For each feature the majority of the answers that gave a value decides; a tie is False, since a feature needs more voices for it
than against it. An answer without a value for a feature does not vote on it, and where none has one the feature is missing.
P(true) is the mean over those that voted: of their own P(true) where the format gives one, else of 1 for true and 0 for false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..signatures.answers import MISSING, Answer

TEMPERATURE = 0.7
MOST = 99


@dataclass(frozen=True, slots=True)
class Votes:
    """How answers are sampled.

    Attributes:
        n: How many, from 2; an odd number has no ties where all vote.
        temperature: Above 0, at most 2.

    Raises:
        InputError: A number that means nothing.
    """

    n: int
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or not 2 <= self.n <= MOST:
            raise InputError(f"votes: must be a whole number from 2 to {MOST}; one greedy answer needs no vote")
        # `not 0 < x` is also true of NaN.
        if isinstance(self.temperature, bool) or not 0 < self.temperature <= 2:
            raise InputError("votes: the temperature must be above 0, at most 2: at 0 all votes are the same")

    @property
    def seeds(self) -> range:
        """A seed for each vote, so that the same program gives the same answers. 0 is some engines' word for "any"."""
        return range(1, self.n + 1)


def count_votes(votes: Sequence[Mapping[str, Answer]]) -> dict[str, Answer]:
    """The answers that several answers give together; see the module.

    Args:
        votes: At least one; all for the same features.
    """
    return {i: _majority([vote[i] for vote in votes]) for i in votes[0]}


def _majority(votes: Sequence[Answer]) -> Answer:
    cast = [v for v in votes if v.value is not None]
    if not cast:
        return MISSING
    said = sum(v.value is True for v in cast)
    chances = [float(v.value is True) if v.p_true is None else v.p_true for v in cast]
    return Answer.of(2 * said > len(cast), sum(chances) / len(chances))
