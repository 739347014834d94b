"""Which worked examples go into a prompt, and the guard that none of them is scored.

A demo that shares id, group or normalised text with a scored transcript would let the model copy the answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..data.persian import fingerprint
from ..data.transcripts import Transcript
from ..errors import InputError
from ..signatures.features import FeatureSet


@dataclass(frozen=True)
class Leaks:
    """What a set of transcripts is recognised by: ids, groups and normalised texts."""

    ids: frozenset[str]
    groups: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, transcripts: Iterable[Transcript]) -> Leaks:
        """The marks of these transcripts."""
        listed = list(transcripts)
        return cls(
            frozenset(t.id for t in listed),
            frozenset(t.group for t in listed if t.group is not None),
            frozenset(fingerprint(t.text) for t in listed),
        )

    def has(self, transcript: Transcript) -> bool:
        """Whether a transcript shares id, group or text with the set."""
        return (
            transcript.id in self.ids or transcript.group in self.groups or fingerprint(transcript.text) in self.texts
        )


def random_demos(candidates: Sequence[Transcript], feature_set: FeatureSet, count: int, seed: int) -> list[Transcript]:
    """The study's way to choose: `count` transcripts at random, here with a seed and only from fully labelled ones.

    Raises:
        InputError: There are fewer than `count`.
    """
    if count and not candidates:
        raise InputError(
            f"{count} demos were asked for and the data have no pool to take them from: make a split (--split-seed, or "
            "`balin data split`), name a labelled file (--demos-from), or ask without demos (--program zero-shot)"
        )
    labelled = [t for t in candidates if all(t.labels.get(i) is not None for i in feature_set.ids)]
    if len(labelled) < count:
        raise InputError(
            f"{count} demos were asked for and {len(labelled)} of the {len(candidates)} transcripts they may come from "
            "have a label for every feature; label more, ask for fewer (--demos), or name a file with --demos-from"
        )
    return random.Random(seed).sample(sorted(labelled, key=lambda t: t.id), count)


def refuse_scored_demos(program: str, shown: Iterable[str], scored: Iterable[tuple[str, str]]) -> None:
    """Refuse a program file whose demos hold a text that is to be scored.

    Args:
        program: The file, for the message.
        shown: The texts of its demos.
        scored: Id and text of what is to be scored; an id may have several texts.

    Raises:
        InputError: They share one; the message names ids.
    """
    own = {fingerprint(text) for text in shown}
    shared = list(dict.fromkeys(i for i, text in scored if own and fingerprint(text) in own))
    if shared:
        raise InputError(
            f"{program}: its demos hold the text of {len(shared)} transcripts to be scored "
            f"({', '.join(shared[:5])}{', …' if len(shared) > 5 else ''}); score a part they are not in (--part)"
        )


def source_and_english(transcripts: Iterable[Transcript]) -> list[tuple[str, str]]:
    """Id and text of transcripts, and id and English text where they have one: for `refuse_scored_demos`."""
    return [(t.id, text) for t in transcripts for text in (t.text, t.english) if text]


def choose_demos(
    candidates: Sequence[Transcript], scored: Sequence[Transcript], feature_set: FeatureSet, count: int, seed: int
) -> tuple[list[Transcript], list[Transcript]]:
    """Draw demos, and take out of the scored transcripts whatever they would leak into.

    Demos are drawn from candidates that share nothing with the scored ones. Only where those are too few (the part scored is
    the pool itself) are they drawn from all, and the transcripts they share something with are then not scored.

    Returns:
        The demos, and the scored transcripts that remain.

    Raises:
        InputError: Too few labelled candidates.
    """
    if count == 0:
        return [], list(scored)
    held = Leaks.of(scored)
    apart = [c for c in candidates if not held.has(c)]
    try:
        demos = random_demos(apart, feature_set, count, seed)
    except InputError:
        demos = random_demos(candidates, feature_set, count, seed)
    used = Leaks.of(demos)
    return demos, [t for t in scored if not used.has(t)]
