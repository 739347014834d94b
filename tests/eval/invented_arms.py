"""Arms with invented answers: their tables and what their `run.json` would hold, without a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from balin.eval.comparison import Comparison, compare_runs
from balin.eval.metrics import ERROR, FALSE, MISSING, TRUE, AnswerTable
from balin.eval.shown import Selection, select
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")
MODELS = ("qwen2.5:7b-instruct", "llama3.1:8b", "aya-expanse:8b", "aya-expanse:8b", "gemma3:1b")


def invented_table(
    n: int = 60,
    features: tuple[str, ...] = SET.ids,
    *,
    seed: int = 0,
    skill: float = 1.5,
    missing: float = 0.01,
    errors: int = 0,
    probabilities: bool = False,
    labels: int = 7,
) -> AnswerTable:
    """Answers that are right more often the greater `skill` is; the labels depend on `labels` alone."""
    shape = (n, len(features))
    gold_draw, draw = np.random.default_rng(labels), np.random.default_rng(seed)
    share = np.linspace(0.05, 0.5, len(features))
    gold = (gold_draw.random(shape) < share).astype(np.int8)
    score = skill * (2.0 * gold - 1) + draw.normal(size=shape) - 0.3 * draw.normal(size=len(features))
    state = np.where(score > 0, TRUE, FALSE).astype(np.int8)
    state[draw.random(shape) < missing] = MISSING
    state[:errors] = ERROR
    p = 1 / (1 + np.exp(-1.8 * score)) if probabilities else np.full(shape, np.nan)
    p = np.where(state == ERROR, np.nan, p)
    return AnswerTable(tuple(f"c{i:05}" for i in range(n)), (None,) * n, features, gold, state, p)


def invented_run(index: int = 0, **changed: Any) -> dict[str, Any]:
    """What a run's `run.json` holds, as far as a report reads it."""
    translated = index in (1, 2)
    return {
        "name": f"invented-{index}",
        "command": f"balin evaluate --data calls.csv --model {MODELS[index % 5]}",
        "labels": {f.id: f.short["en"] for f in SET},
        "feature_set": {"id": SET.id, "hash": SET.hash, "n": len(SET)},
        "model": {"name": MODELS[index % 5], "digest": "sha256:" + "ab" * 32, "engine": "ollama", "num_ctx": 4096},
        "route": "translated" if translated else "direct",
        "english": "model" if translated else None,
        "translator": {"name": "aya-expanse:8b", "digest": "sha256:" + "cd" * 32} if translated else None,
        "program": {"name": "study", "hash": "f" * 64, "language": "en"},
        "format": "lines" if index % 2 else "probe",
        "demos": {"n": 3, "ids": ["p1", "p2", "p3"], "from": "pool", "held_out": 0},
        "data": {
            "name": "calls.csv",
            "sha256": "e" * 64,
            "part": "test",
            "n": 60,
            "split": "split.json",
            "test_scored": 2,
        },
        "seeds": {"demos": 0, "split": 1, "bootstrap": 0},
        "cost": {
            "seconds_per_transcript": 4.0 / (1 + index),
            "translation_seconds_per_transcript": 9.5 if translated else None,
            "tokens": {"prompt": 900.0, "cached": 700.0, "generated": 13.0},
        },
        "versions": {"balin": "0.1.0", "numpy": "2.3"},
        "git": {"commit": "0" * 40, "dirty": False},
        "warnings": [],
        **changed,
    }


def invented_selection(arms: int = 2, n: int = 60, *, resamples: int = 50, **fields: Any) -> Selection:
    """Arms of falling skill over the same transcripts; every second one, from the first, has probabilities."""
    tables = [
        invented_table(n, seed=i, skill=1.6 - 0.25 * i, missing=0.02 * i, probabilities=i % 2 == 0, **fields)
        for i in range(arms)
    ]
    return select([(invented_run(i), table) for i, table in enumerate(tables)], resamples=resamples)


def invented_comparison(arms: int = 2, n: int = 60, *, resamples: int = 50, permutations: int = 50) -> Comparison:
    """The same arms compared with the first."""
    tables = [
        invented_table(n, seed=i, skill=1.6 - 0.25 * i, missing=0.02 * i, probabilities=i % 2 == 0) for i in range(arms)
    ]
    runs = [(invented_run(i), table) for i, table in enumerate(tables)]
    return compare_runs(runs, resamples=resamples, permutations=permutations)
