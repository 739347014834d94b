"""Programs that need no language model: what a model must beat to earn its cost.

`majority` gives every transcript the commoner label of the training calls. `tfidf` weighs runs of 2 to 5 characters within
words (TF-IDF) and fits a logistic regression for each feature, both classes weighing the same. Characters, not words: they
need no tokeniser and bear the endings and spellings of any language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data.persian import normalise
from ..data.transcripts import Transcript
from ..errors import InputError
from ..signatures.answers import MISSING, Answer

# Of the corpus's data card, so that its figures can be compared.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "majority": {},
    "tfidf": {"characters": (2, 5), "min_df": 2, "c": 10.0, "threshold": 0.5},
}
KINDS = tuple(SETTINGS)


class Baseline(Protocol):
    """A trained baseline."""

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """An answer for every feature, with P(true), of each text."""


def train(kind: str, calls: Sequence[Transcript], features: Sequence[str]) -> Baseline:
    """Train a baseline.

    Args:
        kind: One of `KINDS`.
        calls: Those to learn from; of a feature, those that have a label for it. One without any label cannot be learnt,
            and its answer is missing.
        features: The features' ids.

    Raises:
        InputError: There is no such baseline, or no call.
    """
    if kind not in SETTINGS:
        raise InputError(f"there is no baseline {kind!r}; there are: {', '.join(KINDS)}")
    if not calls:
        raise InputError(f"the baseline {kind} has no transcripts to learn from")
    return Majority(calls, features) if kind == "majority" else CharacterTfidf(calls, features)


class Majority:
    """The commoner label of each feature, False where they are as many; P(true) is the share of true."""

    def __init__(self, calls: Sequence[Transcript], features: Sequence[str]) -> None:
        self._answers = {f: _constant(calls, f) for f in features}

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """The same for every text."""
        return [dict(self._answers) for _ in texts]


class CharacterTfidf:
    """TF-IDF of characters and a logistic regression for each feature; constant where all labels learnt from are one."""

    def __init__(self, calls: Sequence[Transcript], features: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        told = SETTINGS["tfidf"]
        # A run of characters that only one call has teaches nothing about others, unless there is only one call.
        self._vectoriser = TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=told["characters"],
            sublinear_tf=True,
            min_df=min(told["min_df"], len(calls)),
            preprocessor=_plain,
        )
        matrix = self._vectoriser.fit_transform([t.text for t in calls])
        self._models: dict[str, Any] = {}
        for feature in features:
            rows = [i for i, t in enumerate(calls) if t.labels.get(feature) is not None]
            labels = np.array([calls[i].labels[feature] is True for i in rows])
            if labels.all() or not labels.any():
                self._models[feature] = _constant(calls, feature)
                continue
            model = LogisticRegression(C=told["c"], class_weight="balanced", max_iter=2000)
            self._models[feature] = model.fit(matrix[rows], labels)

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """By the probability of each feature's regression."""
        matrix = self._vectoriser.transform(texts)
        found: list[dict[str, Answer]] = [{} for _ in texts]
        for feature, model in self._models.items():
            if isinstance(model, Answer):
                given = [model] * len(found)
            else:
                p_true = model.predict_proba(matrix)[:, 1]
                given = [Answer.of(bool(p >= SETTINGS["tfidf"]["threshold"]), float(p)) for p in p_true]
            for answers, answer in zip(found, given, strict=True):
                answers[feature] = answer
        return found


def _constant(calls: Sequence[Transcript], feature: str) -> Answer:
    labels = [t.labels[feature] for t in calls if t.labels.get(feature) is not None]
    if not labels:
        return MISSING
    share = sum(label is True for label in labels) / len(labels)
    return Answer.of(share > 0.5, share)


def _plain(text: str) -> str:
    """One spelling for one word: normalised, half-spaces as spaces, lower case."""
    return normalise(text).replace("\u200c", " ").casefold()
