"""Demos chosen for each text: its neighbours by embedding, balanced so that they also show what is rare. No DSPy.

Greedily, one demo at a time: the gain of a demo is its nearness to the text (cosine, scaled so that the nearest of the index has
1 and the farthest 0) plus `balance` times what it adds to what the chosen ones show, of what the best could add. A demo shows
the features that it has and those that it is a hard negative of; what few demos of the index show counts more. The nearest
stands last in the prompt, beside the text.

What is chosen depends on the index, the text and who is withheld, and on nothing else: a transcript never sees itself, its
patient or its own text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ..data.persian import fingerprint
from ..data.store import key_of
from ..engines.embedding import EmbedderIdentity
from .formats import Demo

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

# Named in the hash of every program with an index: another way to choose is another program.
METHOD: Final = "balanced-1"


def marks_of(texts: Iterable[str | None], id: str | None = None, group: str | None = None) -> frozenset[str]:
    """What a transcript is recognised by, as hashes: its texts, id and group."""
    named = [(kind, value) for kind, value in (("id", id), ("group", group)) if value is not None]
    hashed = {f"{kind}:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}" for kind, value in named}
    return frozenset(hashed | {f"text:{fingerprint(text)}" for text in texts if text is not None})


def texts_only(marks: Iterable[str]) -> frozenset[str]:
    """Of the marks of a transcript those of its texts."""
    return frozenset(mark for mark in marks if mark.startswith("text:"))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What is needed to choose among n demos; their texts are not.

    Attributes:
        vectors: float32 [n, d], rows of length 1.
        costs: Tokens that each demo takes in a prompt, at most.
        shows: What each demo shows: "+pain" where it has pain, "-pain" where it is a hard negative of it.
        marks: What each is recognised by; see `marks_of`.
        count: How many are wanted.
        balance: Weight of what is shown against nearness, at least 0.
        room: Tokens for the text and its demos together.
        rate: Tokens of a character of a text.
    """

    vectors: Vectors
    costs: tuple[int, ...]
    shows: tuple[frozenset[str], ...]
    marks: tuple[frozenset[str], ...]
    count: int
    balance: float
    room: int
    rate: float

    def withheld(self, marks: Collection[str]) -> tuple[int, ...]:
        """The demos, in order, that share a mark with a transcript."""
        return tuple(i for i, own in enumerate(self.marks) if not own.isdisjoint(marks))

    def choose(self, text: str, direction: Vectors, withheld: Collection[int]) -> tuple[int, ...]:
        """The demos for a text, the nearest last: at most `count`, and no more than there is room for.

        Args:
            text: For its length.
            direction: Its embedding, [d].
            withheld: Demos that must not be chosen.
        """
        import numpy as np

        # In double precision, so that the order of summing hardly matters; equal nearness is decided by position.
        cosine = self.vectors.astype(np.float64) @ direction.astype(np.float64)
        low, high = float(cosine.min()), float(cosine.max())
        near = (cosine - low) / (high - low) if high > low else np.zeros(len(cosine))
        left = {i for i in range(len(self.costs)) if i not in withheld}
        room = self.room - self.rate * len(text)
        chosen: list[int] = []
        shown: set[str] = set()
        while len(chosen) < self.count:
            fitting = sorted(i for i in left if self.costs[i] <= room)
            if not fitting:
                break
            new = {i: sum(self._worth[u] for u in sorted(self.shows[i] - shown)) for i in fitting}
            most = max(new.values()) or 1.0
            best = max(fitting, key=lambda i: float(near[i]) + self.balance * new[i] / most)
            chosen.append(best)
            left.discard(best)
            room -= self.costs[best]
            shown |= self.shows[best]
        return tuple(sorted(chosen, key=lambda i: (float(near[i]), -i)))

    @cached_property
    def _worth(self) -> dict[str, float]:
        """For each thing shown the share of demos that do not show it."""
        every = [unit for units in self.shows for unit in units]
        return {unit: 1 - every.count(unit) / len(self.shows) for unit in set(every)}


@dataclass(frozen=True, eq=False)
class DemoIndex:
    """The demos that a program may choose from.

    Attributes:
        demos: Texts and labels.
        neighbours: How they are chosen; one entry for each demo.
        embedder: What made the vectors, and must embed the texts.
    """

    demos: tuple[Demo, ...]
    neighbours: Neighbours
    embedder: EmbedderIdentity

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of all that decides what is chosen and shown."""
        found = self.neighbours
        return key_of(
            method=METHOD,
            embedder=self.embedder.to_dict(),
            demos=[[d.text, dict(d.labels)] for d in self.demos],
            vectors=hashlib.sha256(found.vectors.astype("<f4").tobytes()).hexdigest(),
            costs=found.costs,
            shows=[sorted(s) for s in found.shows],
            marks=[sorted(m) for m in found.marks],
            numbers=[found.count, found.balance, found.room, found.rate],
        )
