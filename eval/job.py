"""One evaluation from files to a run folder: data, split, arm, scores, report.

The command `balin evaluate` is a thin layer over `run_evaluation`, and so is whatever else evaluates.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..data.corpus import read_corpus
from ..data.files import plain_name, private_folder
from ..data.split import count_scorings, log_scoring, make_split, read_split, split_of, write_split
from ..data.store import Store, key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.opening import EngineSettings
from ..errors import InputError
from ..programs.builtin import BUILT_IN
from ..signatures.features import SHIPPED, FeatureSet
from .answered import Answered
from .arm import Advance, Arm, ArmSettings
from .choice import past_of
from .evaluation import evaluate_answers
from .models import ModelRecord
from .runs import git_state, versions, write_json, write_predictions, write_run, write_transcripts
from .scores import Scores
from .tables import report_markdown, tried_of

# The translating program in a run folder, where there is one.
TRANSLATOR = "translator.json"
_NAME = re.compile(r"[^\W_][\w.-]{0,59}")


@dataclass(frozen=True)
class Job:
    """What is evaluated, on what, and where the result goes.

    Attributes:
        arm: Program, model and route.
        dataset: The data.
        feature_set: The questions.
        engines: How engines are opened.
        out: The folder of runs.
        part: `all`, `pool`, `dev`, `test`, or None: dev where there is a split, else all.
        limit: Score only so many, the first in the file's order.
        split: A split file.
        split_seed: Split the data with this seed, if it has no split.
        demos_from: A labelled dataset that demos come from (its pool, where it has parts), in place of the data's pool.
        name: The run's name; by default made from what is run.
        accept_model_change: Do not refuse a changed model digest.
        notes: What else a reader of the run should know; its first warnings.
        command: The command line, for the report.
    """

    arm: ArmSettings
    dataset: Dataset
    feature_set: FeatureSet
    engines: EngineSettings = field(default_factory=EngineSettings)
    out: Path = Path("runs")
    part: str | None = None
    limit: int | None = None
    split: Path | None = None
    split_seed: int | None = None
    demos_from: Dataset | None = None
    name: str | None = None
    accept_model_change: bool = False
    notes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What an evaluation left.

    Attributes:
        folder: The run folder.
        run: What `run.json` holds.
        scores: The scores.
        report: The report in Markdown.
    """

    folder: Path
    run: dict[str, Any]
    scores: Scores
    report: str

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        run, cost = self.run, self.run["cost"]
        return {
            "run": str(self.folder),
            "n": self.scores.n,
            "part": run["data"]["part"],
            "model": run["model"]["name"],
            "engine": run["model"]["engine"],
            "route": run["route"],
            "english": run["english"],
            "translator": run["translator"] and run["translator"]["name"],
            "translator_program": run["translator"] and run["translator"]["program"]["name"],
            "program": run["program"]["name"],
            "format": run["format"],
            "demos": run["demos"]["n"],
            "bundle": run["bundle"],
            "tried": tried_of(run),
            "dev": run["dev"] and {"run": run["dev"]["run"], "n": run["dev"]["n"], "scores": run["dev"]["scores"]},
            "scores": self.scores.summary(),
            "answers": dict(self.scores.answers),
            "undefined": list(self.scores.undefined),
            "seconds_per_transcript": cost["seconds_per_transcript"],
            "engine_seconds_per_transcript": cost["engine_seconds_per_transcript"],
            "translation_seconds_per_transcript": cost["translation_seconds_per_transcript"],
            "tokens": cost["tokens"],
            "stored": cost["stored"],
            "errors_exceeded": self.scores.too_many_errors,
        }


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to be answered.

    Attributes:
        dataset: The data with their parts.
        split: The split file that says so, or None.
        part: What is scored.
        scored: The transcripts to be answered, in order.
        started: When the work began.
        clock: The same by `time.perf_counter`.
    """

    dataset: Dataset
    split: Path | None
    part: str
    scored: tuple[Transcript, ...]
    started: datetime
    clock: float


def run_evaluation(
    job: Job, *, say: Callable[[str], None] = lambda _: None, advance: Advance = lambda *_: None
) -> Outcome:
    """Answer, score and write one run.

    Args:
        job: What to do.
        say: Told in a sentence what a user should know on the way.
        advance: Told (phase, done, of).

    Raises:
        InputError: Something the user gave cannot be used.
        EngineUnavailable: No model to ask; what was answered is in the store.
    """
    ready = prepare(job)
    arm = Arm(
        settings=job.arm,
        feature_set=job.feature_set,
        store=Store(job.out / "store"),
        engines=job.engines,
        models=ModelRecord(job.out / "models.json", accept_change=job.accept_model_change),
        candidates=_candidates(job, ready.dataset),
        say=say,
        advance=advance,
    )
    return finish(job, ready, Answered.of(arm.run(ready.scored)))


def prepare(job: Job) -> Prepared:
    """Check a job, make the folder of runs, and divide the data.

    Raises:
        InputError: Something the user gave cannot be used.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    _check(job)
    private_folder(job.out)
    dataset, split = split_data(job)
    part = job.part or ("dev" if dataset.parts else "all")
    return Prepared(dataset, split, part, dataset.part(part).transcripts[: job.limit], started, clock)


def finish(job: Job, ready: Prepared, answered: Answered, past: Mapping[str, Any] | None = None) -> Outcome:
    """Score what was answered, log it where it holds the test part, and write the run.

    Args:
        job: What was to be done.
        ready: As `prepare` left it.
        answered: The answers, whoever gave them.
        past: `chosen` and `dev`, where the program brings them along; else what earlier runs tell.

    Raises:
        InputError: The log cannot be written.
        RunError: Something that is no run stands in the run's place.
    """
    scores = evaluate_answers(answered.table(job.feature_set))
    name = _name(job, ready.part, answered)
    if ready.part in ("test", "all") and ready.split is not None:
        program = f"{answered.program.name}@{answered.program.hash[:12]}"
        log_scoring(ready.split, part=ready.part, program=program, run=name, n=scores.n)
    run = _describe(job, ready.dataset, ready.part, ready.split, answered, scores)
    found = past_of(run, _places(job))
    run |= {
        "chosen": _joined(found["chosen"], (past or {}).get("chosen", ())),
        "dev": found["dev"] or (past or {}).get("dev"),
        "started": ready.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - ready.clock, 3),
    }
    report = report_markdown(run, scores, run["labels"])
    folder = job.out / run["name"]
    files: dict[str, Callable[[Path], None]] = {
        "predictions.parquet": lambda p: write_predictions(p, answered, job.feature_set.ids),
        "transcripts.parquet": lambda p: write_transcripts(p, answered),
        "metrics.json": lambda p: write_json(p, scores.to_dict()),
        "report.md": lambda p: _write_text(p, report),
    }
    if answered.program.save is not None:
        files["program.json"] = answered.program.save
    if answered.save_translator is not None:
        files[TRANSLATOR] = answered.save_translator
    write_run(folder, run, files)
    return Outcome(folder, run, scores, report)


def _places(job: Job) -> list[Path]:
    """The folders of runs that may hold earlier runs of the same program: this one, and the one that the program's file is in."""
    above = [] if job.arm.program in BUILT_IN else Path(job.arm.program).resolve().parents[:3]
    return [job.out, *(p for p in above if (p / "models.json").is_file())]


def _joined(*choices: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each optimization or search once."""
    return list({c["by"]: c for some in choices for c in some}.values())


def _check(job: Job) -> None:
    """Refuse what would have no effect or would write outside the folder of runs."""
    job.arm.check()
    if job.name is not None and (job.name in ("store", "splits") or not _NAME.fullmatch(job.name)):
        raise InputError(
            f"--name {job.name[:40]!r}: a run's name has up to 60 letters, digits, '_', '.' or '-' and is not store or splits"
        )
    if job.demos_from is not None and job.arm.program not in BUILT_IN:
        raise InputError("--demos-from goes with a built-in program; a program file holds its own demos")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def split_data(job: Job) -> tuple[Dataset, Path | None]:
    """The data with its parts, and the split file that says so; (data, None) where nothing is split."""
    if job.split is not None and job.split_seed is not None:
        raise InputError("--split names a split and --split-seed makes one; give one of them")
    if job.split is not None:
        return job.dataset.with_parts(read_split(job.split, job.dataset).part_of), job.split
    own = bool(job.dataset.parts) and job.split_seed is None
    if not own and job.split_seed is None:
        return job.dataset, None
    stem = f"{plain_name(Path(job.dataset.name).stem)}-{job.dataset.sha256[:8]}"
    path = job.out / "splits" / (f"{stem}.json" if own else f"{stem}-seed{job.split_seed}.json")
    if not path.exists():
        private_folder(path.parent)
        if job.split_seed is None:
            split = split_of(job.dataset)
        else:
            split = make_split(job.dataset, job.feature_set, seed=job.split_seed)
        write_split(split, path)
    return job.dataset.with_parts(read_split(path, job.dataset).part_of), path


def _candidates(job: Job, dataset: Dataset) -> list[Transcript]:
    """The transcripts that demos may come from: those of --demos-from, the data's own pool, or the shipped corpus's."""
    if job.demos_from is not None:
        return [t for t in job.demos_from if t.part == "pool"] or list(job.demos_from)
    own = [t for t in dataset if t.part == "pool"]
    if own or job.feature_set.id not in SHIPPED:
        return own
    return list(read_corpus(job.feature_set).part("pool"))


def _describe(
    job: Job, dataset: Dataset, part: str, split_path: Path | None, result: Answered, scores: Scores
) -> dict[str, Any]:
    """What `run.json` holds."""
    arm, program = job.arm, result.program
    translated = arm.route == "translated"
    return {
        "name": _name(job, part, result),
        "command": shlex.join(job.command),
        "settings": {**asdict(arm), "part": part, "limit": job.limit},
        "labels": {f.id: f.short.get("en", f.id) for f in job.feature_set},
        "feature_set": {"id": job.feature_set.id, "hash": job.feature_set.hash, "n": len(job.feature_set)},
        "model": result.identity.to_dict(),
        "engine_note": result.engine_note,
        "route": arm.route,
        "english": arm.english if translated else None,
        "translator": result.translator,
        "program": program.to_dict(),
        "bundle": result.bundle,
        "format": program.format,
        "demos": {
            "n": program.shown,
            "chosen_from": program.chosen_from,
            "embedder": program.embedder,
            "ids": list(result.demos),
            "from": _demos_from(job, result),
            "held_out": result.held_out,
        },
        "data": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "part": part,
            "n": scores.n,
            "rejects": len(dataset.rejects),
            "split": None if split_path is None else str(split_path),
            "split_sha256": None if split_path is None else hashlib.sha256(split_path.read_bytes()).hexdigest(),
            "test_scored": None if split_path is None else count_scorings(split_path),
        },
        "seeds": {"demos": arm.seed, "split": job.split_seed, "bootstrap": scores.seed},
        "cost": _cost(result),
        "failures": _failures(result),
        "warnings": [*job.notes, *result.notes, *_warnings(result, scores)],
        "versions": versions(),
        "git": git_state(),
    }


def _demos_from(job: Job, result: Answered) -> str | None:
    """Where the demos come from, in a word; None where there are none, or a program file does not say."""
    if not result.demos:
        return None
    if result.bundle is not None:
        return "bundle"
    return job.demos_from.name if job.demos_from else "pool"


def _name(job: Job, part: str, result: Answered) -> str:
    """Equal for equal settings, so that the same command writes the same folder; different for anything that differs."""
    if job.name is not None:
        return job.name
    arm = job.arm
    route = arm.route if arm.route == "direct" else f"translated-{arm.english}"
    stem = Path(job.dataset.name).stem
    program, translator = result.program, None
    told = (stem, job.dataset.sha256, part, job.limit, program.hash, result.identity.to_dict(), route)
    if result.translator is not None:
        model = {k: v for k, v in result.translator.items() if k != "program"}
        translator = (result.translator["program"]["hash"], model)
    bundle = {} if result.bundle is None else {"bundle": result.bundle["sha256"]}
    short = key_of(
        told=[str(x) for x in told], translator=str(translator), ids=[t.id for t in result.transcripts], **bundle
    )[:8]
    parts = (stem, part, result.identity.name, route, program.name, program.format, short)
    # Seven parts of 24 letters stay under the 255 bytes of file systems, also in a script of two bytes a letter.
    return "-".join(plain_name(part) for part in parts)


def _cost(result: Answered) -> dict[str, Any]:
    """Means over the answered transcripts, from the telemetry that is stored with each answer."""
    done = [e for e in result.extractions if e.failure is None]
    made = [e.translation for e in result.extractions if e.translation and e.translation.failure is None]

    def mean(values: list[float | int | None], digits: int = 4) -> float | None:
        known = [v for v in values if v is not None]
        return round(sum(known) / len(known), digits) if known and len(known) == len(values) else None

    return {
        "seconds_per_transcript": mean([e.seconds for e in done]),
        "engine_seconds_per_transcript": mean([e.telemetry.engine_seconds for e in done]),
        "translation_seconds_per_transcript": mean([t.seconds for t in made]),
        "tokens": {
            "prompt": mean([e.telemetry.prompt_tokens for e in done], 1),
            "cached": mean([e.telemetry.cached_tokens for e in done], 1),
            "generated": mean([e.telemetry.generated_tokens for e in done], 1),
        },
        "stored": sum(e.stored for e in result.extractions),
    }


def _failures(result: Answered) -> dict[str, int]:
    kinds = [e.failure for e in result.extractions if e.failure]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _warnings(result: Answered, scores: Scores) -> list[str]:
    found = []
    if result.held_out:
        found.append(
            f"{result.held_out} transcripts of the part are not scored: they share id, group or text with a demo."
        )
    if result.dropped:
        found.append(f"{result.dropped} of the demos drawn are left out: their translation failed.")
    kinds: dict[str, int] = {}
    for extraction in result.extractions:
        for name in extraction.translation.warnings if extraction.translation else ():
            kinds[name] = kinds.get(name, 0) + 1
    if kinds:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))
        found.append(f"Checks on the translations that did not pass, of {scores.n}: {listed}.")
    failures = _failures(result)
    if failures:
        listed = ", ".join(f"{name} {count}" for name, count in failures.items())
        first = next(e.detail for e in result.extractions if e.failure)
        found.append(f"Failed calls: {listed}. The first: {first}.")
    return found
