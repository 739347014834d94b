"""What a translator is chosen by: points of chrF against the references, less what it loses, invents or does not finish.

A translation's points are its chrF (0 to 100, `eval.translation_quality.chrf`), less `LOST` times the share of the numbers
that it lost, less `LOST` times the share of the negations that it lost, less `COPIED` if it holds a run of at least
`COPIED_WORDS` words of one of its own demos that is not in its reference; never below 0. A translation that the model did
not finish is an empty text: 0 points. The score is the mean over the transcripts.

Numbers are those that stand in digits in the source and in the reference. Negations are counted, not aligned: a translation
with as many denying words as its reference has kept them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..data.transcripts import Transcript
from ..errors import OWN_FAULTS
from ..eval.copying import copied_words
from ..eval.intervals import percentile_bounds, resample_weights
from ..eval.metrics import Floats
from ..eval.scores import ERROR_LIMIT
from ..eval.translation_quality import chrf
from ..programs.translation import Translation, negations, numbers
from .trial import Cost
from .verdict import Difference

# Points for all numbers, or all negations, of a transcript.
LOST = 20.0
COPIED = 20.0


class Kept(NamedTuple):
    """How many of some things a translation has, of those that it should have."""

    found: int
    of: int

    @property
    def lost(self) -> float:
        """The share that is not there, 0 to 1; 0 where there is nothing to keep."""
        return 1 - self.found / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One translation beside its reference.

    Attributes:
        chrf: 0 to 100.
        numbers: Of the source and the reference.
        negations: Of the reference.
        copied: Words of the longest run that it took from a demo; 0 where none is long enough to count.
    """

    chrf: float
    numbers: Kept
    negations: Kept
    copied: int

    @property
    def points(self) -> float:
        """See the head of this file."""
        lost = LOST * (self.numbers.lost + self.negations.lost)
        return max(0.0, self.chrf - lost - (COPIED if self.copied else 0.0))


@dataclass(frozen=True)
class TranslatorScore:
    """A translator's score on some transcripts.

    Attributes:
        ids: The transcripts.
        groups: Their groups.
        points: Of each, [n]; NaN where the call failed for a reason that is not the translator's.
        judged: Of each, in order.
        chrf: Over all that count together, unfinished ones as empty texts, 0 to 100; None where none counts.
        failures: Kind of failure to number of transcripts.
        detail: What the first failed call said, or None.
        cost: Of the translations that did not fail.
    """

    ids: tuple[str, ...]
    groups: tuple[str | None, ...]
    points: Floats
    judged: tuple[Judged, ...]
    chrf: float | None
    failures: dict[str, int]
    detail: str | None
    cost: Cost

    @classmethod
    def of(
        cls, transcripts: Sequence[Transcript], made: Sequence[Translation], shown: Sequence[str]
    ) -> TranslatorScore:
        """Score translations of transcripts that have an English text; `shown` are the translations of the demos."""
        counted = [t.failure is None or t.failure in OWN_FAULTS for t in made]
        texts = [t.text or "" for t in made]
        references = [t.english or "" for t in transcripts]
        whole, each = chrf({i: (texts[i], references[i]) for i, counts in enumerate(counted) if counts})
        judged = tuple(
            judge(t.text, text, reference, shown, each.get(i, 0.0))
            for i, (t, text, reference) in enumerate(zip(transcripts, texts, references, strict=True))
        )
        kinds = [t.failure for t in made if t.failure is not None]
        return cls(
            ids=tuple(t.id for t in transcripts),
            groups=tuple(t.group for t in transcripts),
            points=np.array([j.points if counts else math.nan for j, counts in zip(judged, counted, strict=True)]),
            judged=judged,
            chrf=whole,
            failures={kind: kinds.count(kind) for kind in sorted(set(kinds))},
            detail=next((t.detail for t in made if t.failure is not None), None),
            cost=Cost.of(made),
        )

    @property
    def n(self) -> int:
        """Transcripts that were asked about."""
        return len(self.ids)

    @property
    def value(self) -> float | None:
        """The mean of the points; None where over 2 % of the calls failed for reasons that are not the translator's."""
        unscored = int(np.isnan(self.points).sum())
        if unscored == self.n or unscored > ERROR_LIMIT * self.n:
            return None
        return float(np.nanmean(self.points))

    @property
    def numbers(self) -> Kept:
        """Of all transcripts together."""
        return self._sum([j.numbers for j in self.judged])

    @property
    def negations(self) -> Kept:
        """Of all transcripts together."""
        return self._sum([j.negations for j in self.judged])

    @property
    def copied(self) -> int:
        """Translations that took a run of words from a demo."""
        return sum(j.copied > 0 for j in self.judged)

    def _sum(self, kept: Sequence[Kept]) -> Kept:
        counted = [k for k, point in zip(kept, self.points, strict=True) if not math.isnan(point)]
        return Kept(sum(k.found for k in counted), sum(k.of for k in counted))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without any text."""
        return {
            "score": self.value,
            "n": self.n,
            "chrf": self.chrf,
            "numbers": self.numbers._asdict(),
            "negations": self.negations._asdict(),
            "copied": self.copied,
            "longest_copied_words": max((j.copied for j in self.judged), default=0),
            "failures": self.failures,
            "cost": self.cost.to_dict(),
        }


def judge(source: str, text: str, reference: str, shown: Sequence[str], value: float) -> Judged:
    """One translation.

    Args:
        source: What was translated.
        text: The translation; "" where there is none.
        reference: What it should say.
        shown: The translations of the translator's demos.
        value: Its chrF.
    """
    expected, denied = numbers(source) & numbers(reference), negations(reference)
    return Judged(
        chrf=value,
        numbers=Kept(len(expected & numbers(text)), len(expected)),
        negations=Kept(min(denied, negations(text)), denied),
        copied=copied_words(text, reference, shown),
    )


def paired_difference(one: TranslatorScore, other: TranslatorScore) -> Difference:
    """How many points one translator is ahead of another on the transcripts that both have, with a 95 % interval.

    Bootstrap by group, the same resamples for all pairs. Without a second group there is no interval.
    """
    both = ~(np.isnan(one.points) | np.isnan(other.points))
    rows = np.flatnonzero(both)
    ahead = (one.points - other.points)[rows]
    if not len(rows):
        return Difference(0.0, None, None)
    ids, groups = [one.ids[i] for i in rows], [one.groups[i] for i in rows]
    if len({g if g is not None else ("alone", i) for i, g in zip(ids, groups, strict=True)}) < 2:
        return Difference(float(ahead.mean()), None, None)
    weights = resample_weights(ids, groups)
    low, high, _ = (float(x) for x in percentile_bounds(weights @ ahead / weights.sum(axis=1)))
    return Difference(float(ahead.mean()), low, high)
