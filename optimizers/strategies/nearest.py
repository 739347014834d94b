"""Nearest neighbours: each transcript gets the demos that are most like it, by embedding, balanced to show what is rare.

DSPy's KNNFewShot compiles anew at every call and saves a program without demos. Here the pool is embedded once; the program
holds its texts, labels and embeddings (`programs/retrieval.py`) and asks a transcript in one call. It costs the prefill of its
demos at every call, since no two prompts begin alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...programs.formats import Demo
from ...programs.retrieval import DemoIndex, Neighbours, marks_of
from .coverage import covered
from .setting import Candidate, Setting

NAME = "nearest"
# Nearness and what is rare alike, nearness alone, and between the two; then the same with half as many demos.
BALANCES = (1.0, 0.0, 0.5)


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One for each balance, with as many demos as are wanted; then with half as many. No draw: seeds change nothing."""
    embedder = setting.embedder()
    texts = [setting.texts[t.id] for t in setting.pool]
    vectors = embedder.embed(texts)
    shows = covered(setting.pool, setting.texts, setting.feature_ids)
    program = setting.build()
    room, rate, costs = setting.room.allowance(program, zip(setting.pool, texts, strict=True))
    demos = tuple(
        Demo(text, {i: bool(t.labels[i]) for i in setting.feature_ids})
        for t, text in zip(setting.pool, texts, strict=True)
    )
    for number in range(setting.candidates):
        count = min(setting.demos, len(demos)) >> (number // len(BALANCES))
        if count < 1:
            return
        balance = BALANCES[number % len(BALANCES)]
        neighbours = Neighbours(
            vectors=vectors.astype(np.float32),
            costs=costs,
            shows=tuple(frozenset(("+" if has else "-") + i for i, has in shows[t.id]) for t in setting.pool),
            marks=tuple(
                marks_of([text, t.text, t.english], t.id, t.group) for t, text in zip(setting.pool, texts, strict=True)
            ),
            count=count,
            balance=balance,
            room=room,
            rate=rate,
        )
        program = setting.build()
        program.name = NAME
        program.set_index(DemoIndex(demos, neighbours, embedder.identity))
        program.use_embedder(embedder)
        yield Candidate(NAME, f"the {count} nearest of {len(demos)}, balance {balance:g}", program, setting.pool)
