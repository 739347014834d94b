"""The run folder: what one evaluation leaves, written whole or not at all.

    run.json              what was run: command, settings, versions, git state, hashes, models, seeds, cost
    predictions.parquet   one row for each transcript and feature: id, group, feature, gold, state, p_true
    transcripts.parquet   one row for each transcript: what its answers cost and why a call failed; no text
    metrics.json          the scores
    program.json          the program, ready to be run again; not where a bundle or a baseline answered
    report.md             the report

Everything is written into a folder with a temporary name that is then renamed, mode 0700. Readers refuse a schema version that
they don't know.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunError
from ..signatures.answers import Answer, State
from .answered import Answered
from .metrics import AnswerRow, AnswerTable

SCHEMA_VERSION = 1
_PACKAGES = ("balin", "dspy", "ollama", "xllamacpp", "optuna", "pandas", "scikit-learn", "numpy", "httpx")


def write_run(folder: Path, run: Mapping[str, Any], files: Mapping[str, Callable[[Path], None]]) -> None:
    """Write a run folder whole; an older run of that name is replaced.

    Args:
        folder: The run's folder.
        run: What `run.json` holds; the schema version is added.
        files: For each further file its writer.

    Raises:
        RunError: Something that is no run stands in the folder's place.
    """
    if folder.exists() and not (folder / "run.json").is_file():
        raise RunError(f"{folder}: exists and is no run, so it is not replaced; choose another --name or --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        write_json(temporary / "run.json", {"schema": SCHEMA_VERSION, **run})
        for name, write in files.items():
            write(temporary / name)
        for file in temporary.iterdir():
            file.chmod(0o600)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Indented JSON; NaN is refused."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_run(folder: Path) -> dict[str, Any]:
    """What `run.json` holds.

    Raises:
        RunError: No run is there, or one of an unknown version.
    """
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{folder}: no run.json; give the folder that `balin evaluate` named as its run") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}/run.json: cannot be read ({type(error).__name__})") from None
    if not isinstance(run, dict) or run.get("schema") != SCHEMA_VERSION:
        found = run.get("schema") if isinstance(run, dict) else None
        raise RunError(f"{folder}/run.json: schema {found!r} is unknown; this Balin reads {SCHEMA_VERSION}")
    return run


def write_predictions(path: Path, result: Answered, features: Sequence[str]) -> None:
    """`predictions.parquet`; gold is null where there is no label, p_true where there is no probability."""
    rows = [
        (t.id, t.group, f, t.labels.get(f), e.answers[f].state.value, e.answers[f].p_true)
        for t, e in zip(result.transcripts, result.extractions, strict=True)
        for f in features
    ]
    frame = pd.DataFrame(rows, columns=["id", "group", "feature", "gold", "state", "p_true"])
    frame = frame.astype({"group": "string", "gold": "boolean", "p_true": "float64"})
    frame.to_parquet(path, index=False)


def read_predictions(folder: Path) -> AnswerTable:
    """The answers of a run, for scoring them again without a model.

    Raises:
        RunError: The file is missing or not what a run leaves.
    """
    path = folder / "predictions.parquet"
    try:
        return answer_table(pd.read_parquet(path))
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__}); run `balin evaluate` again") from None


def answer_table(frame: pd.DataFrame) -> AnswerTable:
    """The answers of one arm from a row for each transcript and feature: id, group, feature, gold, state and p_true.

    Raises:
        KeyError: A column is missing.
        ValueError: A cell holds no such thing.
    """
    features = tuple(dict.fromkeys(frame["feature"]))
    rows = []
    for identifier, part in frame.groupby("id", sort=False, observed=True):
        gold = {f: None if pd.isna(g) else bool(g) for f, g in zip(part["feature"], part["gold"], strict=True)}
        answers = {
            f: Answer(State(s), None if pd.isna(p) else float(p))
            for f, s, p in zip(part["feature"], part["state"], part["p_true"], strict=True)
        }
        group = part["group"].iloc[0]
        rows.append(AnswerRow(str(identifier), None if pd.isna(group) else str(group), gold, answers))
    return AnswerTable.from_rows(features, rows)


def write_transcripts(path: Path, result: Answered) -> None:
    """`transcripts.parquet`: cost and failures, no text."""
    rows = []
    for transcript, extraction in zip(result.transcripts, result.extractions, strict=True):
        cost, made = extraction.telemetry, extraction.translation
        rows.append(
            {
                "id": transcript.id,
                "failure": extraction.failure,
                "stored": extraction.stored,
                "seconds": extraction.seconds,
                "engine_seconds": cost.engine_seconds,
                "prompt_tokens": cost.prompt_tokens,
                "cached_tokens": cost.cached_tokens,
                "generated_tokens": cost.generated_tokens,
                "retries": cost.retries,
                "translation_seconds": made.seconds if made else None,
                "translation_warnings": ",".join(made.warnings) if made else None,
                "translation_failure": made.failure if made else None,
            }
        )
    pd.DataFrame(rows).to_parquet(path, index=False)


def versions() -> dict[str, str]:
    """The versions of Balin and of what it stands on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Commit and whether the tree has changes, where Balin runs from a checkout; else None."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(git("status", "--porcelain"))}
