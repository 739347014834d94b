"""Every feature with a positive and a hard negative: a greedy set cover over the pool's labels. Asks no model.

A hard negative speaks of the feature without having it: denied, over, somebody else's. Which transcripts speak of it is read
from the words: those that are commoner where the feature is present than where it is not (Rocchio's classifier over
scikit-learn's TF-IDF of words and word pairs). That works in any language that separates words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...data.persian import normalise
from ...data.transcripts import Transcript
from ...eval.metrics import Floats
from .setting import Candidate, Setting

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME = "coverage"
# Candidates after the first weigh each gain by chance within this share, to find other covers.
SHAKEN = 0.3

Unit = tuple[str, bool]


def candidates(setting: Setting) -> Iterator[Candidate]:
    """The plain greedy cover first, then randomised ones."""
    shows = covered(setting.pool, setting.texts, setting.feature_ids)
    units = len(set().union(*shows.values())) if shows else 0
    for seed in setting.seeds:
        shaken = 0.0 if seed == setting.seed else SHAKEN
        demos = cover(setting.pool, shows, setting.demos, random.Random(seed), shaken)
        got = len(set().union(*(shows[t.id] for t in demos))) if demos else 0
        yield setting.candidate(NAME, f"{len(demos)} cover {got} of {units} cases, seed {seed}", demos)


def cover(
    pool: Sequence[Transcript],
    shows: Mapping[str, set[Unit]],
    count: int,
    rng: random.Random,
    shaken: float = 0.0,
) -> list[Transcript]:
    """Greedily, `count` transcripts that show as many units as they can; once all are shown, they are shown again.

    Args:
        pool: Transcripts to choose from.
        shows: For each id, the units that it shows.
        count: How many are wanted.
        rng: Breaks ties, and shakes.
        shaken: Each gain is multiplied by a random factor in [1 − shaken, 1].
    """
    left = rng.sample(pool, len(pool))
    every = set().union(*shows.values()) if shows else set()
    missing = set(every)
    taken: list[Transcript] = []
    while left and len(taken) < count:
        if not missing:
            missing = set(every)
        gains = [len(shows[t.id] & missing) * (1 - shaken * rng.random()) for t in left]
        best = left.pop(gains.index(max(gains)))
        missing -= shows[best.id]
        taken.append(best)
    return taken


def covered(pool: Sequence[Transcript], texts: Mapping[str, str], feature_ids: Sequence[str]) -> dict[str, set[Unit]]:
    """For each id the units it shows: (feature, True) where it has the feature, (feature, False) where it is a hard negative.

    A negative is hard if it speaks of the feature as much as the median positive does; of a feature without any such negative it
    is the one that comes closest. A feature of one class only has none.
    """
    import numpy as np

    about = _words([normalise(texts[t.id]) for t in pool])
    shows: dict[str, set[Unit]] = {t.id: {(i, True) for i in feature_ids if t.labels[i]} for t in pool}
    for feature in feature_ids:
        present = np.array([t.labels[feature] is True for t in pool])
        if present.all() or not present.any():
            continue
        score = _likeness(about, present) - _likeness(about, ~present)
        negatives = np.sort(score[~present])[::-1]
        # As much as the median positive does, but not more of them than there are positives.
        many = negatives[min(present.sum(), len(negatives)) - 1]
        bar = min(max(np.median(score[present]), many), negatives[0])
        for transcript, has, reached in zip(pool, present, score >= bar, strict=True):
            if reached and not has:
                shows[transcript.id].add((feature, False))
    return shows


def _likeness(about: Floats, members: npt.NDArray[np.bool_]) -> Floats:
    """The mean cosine of each text to the members but itself, [n]: a text is like itself, which says nothing; 0 without others."""
    import numpy as np

    others = members.sum() - members
    summed = about @ about[members].sum(axis=0) - members * (about * about).sum(axis=1)
    found: Floats = np.divide(summed, others, out=np.zeros(len(about)), where=others > 0)
    return found


def _words(texts: Sequence[str]) -> Floats:
    """TF-IDF of words and word pairs, one row of length 1 a text."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Words of one letter and marks count too, so that no text is without any.
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    rows: Floats = vectorizer.fit_transform(texts).toarray()
    return rows
