"""Programs that need no language model: what a model must beat to earn its cost.

`majority` gives every transcript the commoner label of the training calls. `tfidf` weighs runs of 2 to 5 characters within
words (TF-IDF) and fits a logistic regression for each feature, both classes weighing the same. Characters, not words: they
need no tokeniser and bear the endings and spellings of any language. `embeddings` fits the same regression on what a
multilingual sentence embedder makes of each text: it knows words that no training call has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..data.persian import normalise
from ..data.transcripts import Transcript
from ..engines.embedding import Embedder
from ..errors import InputError
from ..signatures.answers import MISSING, Answer

# Of the corpus's data card, so that its figures can be compared.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "majority": {},
    "tfidf": {"characters": (2, 5), "min_df": 2, "c": 10.0, "threshold": 0.5},
    "embeddings": {"c": 10.0, "threshold": 0.5},
}
KINDS = tuple(SETTINGS)


class Baseline(Protocol):
    """A trained baseline."""

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """An answer for every feature, with P(true), of each text."""


def train(
    kind: str, calls: Sequence[Transcript], features: Sequence[str], embedder: Embedder | None = None
) -> Baseline:
    """Train a baseline.

    Args:
        kind: One of `KINDS`.
        calls: Those to learn from; of a feature, those that have a label for it. One without any label cannot be learnt,
            and its answer is missing.
        features: The features' ids.
        embedder: For `embeddings`.

    Raises:
        InputError: There is no such baseline, or no call.
    """
    if kind not in SETTINGS:
        raise InputError(f"there is no baseline {kind!r}; there are: {', '.join(KINDS)}")
    if not calls:
        raise InputError(f"the baseline {kind} has no transcripts to learn from")
    if kind == "embeddings":
        if embedder is None:
            raise InputError("the baseline embeddings needs an embedder")
        return Embedded(calls, features, embedder)
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
        self._regressions = _Regressions("tfidf", calls, features, matrix)

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """By the probability of each feature's regression."""
        return self._regressions.answer(self._vectoriser.transform(texts))


class Embedded:
    """Sentence embeddings and a logistic regression for each feature; constant where all labels learnt from are one.

    What the texts learnt from have in common, most of any call's direction, is taken away first.
    """

    def __init__(self, calls: Sequence[Transcript], features: Sequence[str], embedder: Embedder) -> None:
        self._embedder = embedder
        vectors = embedder.embed([t.text for t in calls])
        self._common = vectors.mean(axis=0)
        self._regressions = _Regressions("embeddings", calls, features, self._own(vectors))

    def answer(self, texts: Sequence[str]) -> list[dict[str, Answer]]:
        """By the probability of each feature's regression."""
        return self._regressions.answer(self._own(self._embedder.embed(texts)))

    def _own(self, vectors: Any) -> Any:
        rest = vectors - self._common
        lengths = np.linalg.norm(rest, axis=1, keepdims=True)
        return np.divide(rest, lengths, out=np.zeros_like(rest), where=lengths > 1e-6)


class _Regressions:
    """A logistic regression for each feature over rows of numbers, both classes weighing the same."""

    def __init__(self, kind: str, calls: Sequence[Transcript], features: Sequence[str], matrix: Any) -> None:
        from sklearn.linear_model import LogisticRegression

        self._threshold = SETTINGS[kind]["threshold"]
        self._models: dict[str, Any] = {}
        for feature in features:
            rows = [i for i, t in enumerate(calls) if t.labels.get(feature) is not None]
            labels = np.array([calls[i].labels[feature] is True for i in rows])
            if labels.all() or not labels.any():
                self._models[feature] = _constant(calls, feature)
                continue
            model = LogisticRegression(C=SETTINGS[kind]["c"], class_weight="balanced", max_iter=2000)
            self._models[feature] = model.fit(matrix[rows], labels)

    def answer(self, matrix: Any) -> list[dict[str, Answer]]:
        """An answer for every feature of each row."""
        found: list[dict[str, Answer]] = [{} for _ in range(matrix.shape[0])]
        for feature, model in self._models.items():
            if isinstance(model, Answer):
                given = [model] * len(found)
            else:
                p_true = model.predict_proba(matrix)[:, 1]
                given = [Answer.of(bool(p >= self._threshold), float(p)) for p in p_true]
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
