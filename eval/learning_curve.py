"""What a baseline gains from more labelled transcripts: trained on parts of the pool, scored on the same transcripts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.transcripts import Transcript
from ..engines.embedding import Embedder
from .baselines import Baseline, train
from .evaluation import evaluate_answers
from .grids import UNDEFINED, Grid, figure
from .metrics import AnswerRow, AnswerTable

SMALLEST = 10
METRICS = ("macro_f1", "mcc")


@dataclass(frozen=True)
class CurvePoint:
    """One number of labelled transcripts.

    Attributes:
        transcripts: How many were learnt from.
        draws: How often so many were drawn; 1 where it is all of them.
        scores: Metric to the mean over features, of each draw; None where no feature is defined.
    """

    transcripts: int
    draws: int
    scores: dict[str, tuple[float | None, ...]]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "transcripts": self.transcripts,
            "draws": self.draws,
            **{name: list(values) for name, values in self.scores.items()},
        }


def curve_sizes(available: int) -> list[int]:
    """10, 20, 40, … below the number there is, and that number."""
    sizes = []
    size = SMALLEST
    while size < available:
        sizes.append(size)
        size *= 2
    return [*sizes, available]


def learning_curve(
    kind: str,
    pool: Sequence[Transcript],
    scored: Sequence[Transcript],
    features: Sequence[str],
    *,
    draws: int,
    seed: int,
    embedder: Embedder | None = None,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> list[CurvePoint]:
    """The curve of one baseline.

    Whole groups are drawn, in a seeded order, and a larger number of one draw contains the smaller ones.

    Args:
        kind: The baseline.
        pool: Transcripts to learn from; none of them leaks into `scored`.
        scored: Those that are scored.
        features: The features' ids.
        draws: How many orders, at least 1.
        seed: Of the orders.
        embedder: For the baseline `embeddings`.
        advance: Told (done, of).
    """
    orders = [_shuffled(pool, random.Random(f"{seed}:{draw}")) for draw in range(draws)]
    points = []
    sizes = curve_sizes(len(pool))
    for done, size in enumerate(sizes):
        advance(done, len(sizes))
        # All of the pool is one draw, whatever its order.
        drawn = orders[:1] if size == len(pool) else [order[:size] for order in orders]
        found = [_score(train(kind, calls, features, embedder), scored, features) for calls in drawn]
        points.append(CurvePoint(size, len(drawn), {m: tuple(f[m] for f in found) for m in METRICS}))
    advance(len(sizes), len(sizes))
    return points


def curve_grid(kind: str, points: Sequence[CurvePoint]) -> Grid:
    """The curve as a table: the mean over the draws, and from which to which they go."""
    rows = tuple(
        (str(p.transcripts), str(p.draws), *(cell for m in METRICS for cell in _cells(p.scores[m]))) for p in points
    )
    return Grid(
        title=f"Learning curve of {kind}: means over features",
        columns=("Labelled\ntranscripts", "Draws", "Macro-F1", "from–to", "MCC", "from–to"),
        rows=rows,
        texts=0,
    )


def answer_table(baseline: Baseline, scored: Sequence[Transcript], features: Sequence[str]) -> AnswerTable:
    """A baseline's answers beside the labels."""
    answers = baseline.answer([t.text for t in scored])
    rows = (AnswerRow(t.id, t.group, t.labels, a) for t, a in zip(scored, answers, strict=True))
    return AnswerTable.from_rows(features, rows)


def _score(baseline: Baseline, scored: Sequence[Transcript], features: Sequence[str]) -> dict[str, float | None]:
    scores = evaluate_answers(answer_table(baseline, scored, features), resamples=0)
    means = {m: scores.summary()[m]["mean"] for m in METRICS}
    return {m: None if mean is None else float(mean) for m, mean in means.items()}


def _shuffled(pool: Sequence[Transcript], rng: random.Random) -> list[Transcript]:
    """The calls group after group, in a random order that does not depend on the file's."""
    groups: dict[str, list[Transcript]] = {}
    for transcript in sorted(pool, key=lambda t: t.id):
        key = f"transcript {transcript.id}" if transcript.group is None else f"group {transcript.group}"
        groups.setdefault(key, []).append(transcript)
    order = sorted(groups)
    rng.shuffle(order)
    return [t for key in order for t in groups[key]]


def _cells(values: Sequence[float | None]) -> tuple[str, str]:
    known = [v for v in values if v is not None]
    if not known:
        return UNDEFINED, UNDEFINED
    return figure(float(np.mean(known)), 3), f"{figure(min(known), 3)}–{figure(max(known), 3)}"
