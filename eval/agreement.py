"""How far two readings of the same yes/no labels agree: raw agreement, Cohen's kappa and Gwet's AC1.

Kappa falls where nearly all labels are of one class, however well two readers agree; AC1 does not, so both are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Agreement:
    """Two readings of n transcripts for one feature.

    Attributes:
        both: Both say present.
        first_only: Only the first reading says present.
        second_only: Only the second reading says present.
        neither: Both say absent.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """How many were read twice."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def raw(self) -> float:
        """Share of equal labels, in [0, 1]."""
        return (self.both + self.neither) / self.n

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, in [-1, 1]; None where both readings are of one and the same class.

        Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).
        """
        first, second = (self.both + self.first_only) / self.n, (self.both + self.second_only) / self.n
        return _beyond(self.raw, first * second + (1 - first) * (1 - second))

    @property
    def ac1(self) -> float | None:
        """Gwet's AC1, in [-1, 1].

        Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement", British Journal of
        Mathematical and Statistical Psychology 61 (2008): chance agreement is 2 q (1 - q), with q the mean share of positives.
        """
        q = (2 * self.both + self.first_only + self.second_only) / (2 * self.n)
        return _beyond(self.raw, 2 * q * (1 - q))


def agreement(first: Sequence[bool], second: Sequence[bool]) -> Agreement:
    """Count how two readings of the same transcripts, in the same order, meet.

    Raises:
        InputError: They are of different length, or empty.
    """
    if len(first) != len(second) or not first:
        raise InputError(f"two readings of the same transcripts are wanted, not of {len(first)} and {len(second)}")
    pairs = list(zip(first, second, strict=True))
    return Agreement(
        both=sum(a and b for a, b in pairs),
        first_only=sum(a and not b for a, b in pairs),
        second_only=sum(b and not a for a, b in pairs),
        neither=sum(not a and not b for a, b in pairs),
    )


def _beyond(observed: float, expected: float) -> float | None:
    """Agreement beyond that expected by chance."""
    return None if expected == 1 else (observed - expected) / (1 - expected)
