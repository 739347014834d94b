"""`ShownArm`: a run as reports show it, beside others: with a letter, a name that tells it from them, and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from ..errors import InputError
from .evaluation import evaluate_answers
from .intervals import RESAMPLES
from .metrics import ERROR, AnswerTable, Policy
from .runs import read_predictions, read_run
from .scores import Scores

Run = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ShownArm:
    """One arm of a report.

    Attributes:
        letter: What it is called in crowded places: A, B, …
        name: What it is called elsewhere.
        run: What `run.json` holds.
        table: Its answers to what all arms of the report have scored.
        scores: The scores of `table`.
    """

    letter: str
    name: str
    run: Run
    table: AnswerTable
    scores: Scores

    @property
    def title(self) -> str:
        """Letter and name."""
        return f"{self.letter} · {self.name}"

    @property
    def seconds(self) -> float | None:
        """Mean seconds for one transcript, its translation included; None where a part of it is not known."""
        cost = self.run.get("cost") or {}
        asked, made = cost.get("seconds_per_transcript"), cost.get("translation_seconds_per_transcript")
        if asked is None or (made is None and self.run.get("english") == "model"):
            return None
        return float(asked) + float(made or 0)


@dataclass(frozen=True, eq=False)
class Selection:
    """The arms of one report.

    Attributes:
        arms: At least one.
        labels: Feature id to the name shown.
        notes: What was left out so that all arms are scored on the same.
    """

    arms: tuple[ShownArm, ...]
    labels: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """The features that all arms have, in order."""
        return self.arms[0].table.features

    def label(self, feature: str) -> str:
        """The feature's name."""
        return self.labels.get(feature, feature)


def read_selection(folders: Sequence[Path], *, policy: Policy = "false", resamples: int = RESAMPLES) -> Selection:
    """The runs in these folders, side by side.

    Raises:
        RunError: A folder holds no run.
        InputError: The runs share no transcript or no feature, or have different labels.
    """
    return select([(read_run(f), read_predictions(f)) for f in folders], policy=policy, resamples=resamples)


def select(
    runs: Sequence[tuple[Run, AnswerTable]],
    *,
    policy: Policy = "false",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Selection:
    """Runs side by side: scored on the features and transcripts that all of them have answered, with the same resamples.

    Args:
        runs: What `run.json` holds, and the answers, of each; at least one.
        policy: How a missing answer is scored.
        resamples: Bootstrap resamples.
        seed: The bootstrap's seed.

    Raises:
        InputError: The runs share no transcript or no feature, or have different labels.
    """
    described = [run for run, _ in runs]
    tables, notes = _shared([table for _, table in runs])
    arms = tuple(
        ShownArm(letter, name, run, table, evaluate_answers(table, policy=policy, resamples=resamples, seed=seed))
        for letter, name, run, table in zip(_letters(len(runs)), arm_names(described), described, tables, strict=True)
    )
    labels = {key: str(value) for run in reversed(described) for key, value in (run.get("labels") or {}).items()}
    return Selection(arms, labels, notes)


def arm_names(runs: Sequence[Run]) -> list[str]:
    """Names made of what tells the arms apart: the model and the route always, the rest where it differs."""
    told = [
        [
            _at(run, "model", "name"),
            _route(run),
            _at(run, "program", "name"),
            _at(run, "format"),
            f"{_at(run, 'demos', 'n')} demos",
            f"{_at(run, 'program', 'language')} prompt",
            f"{_at(run, 'data', 'part')} part",
        ]
        for run in runs
    ]
    wanted = [i < 2 or len({row[i] for row in told}) > 1 for i in range(7)]
    names = [", ".join(str(v) for v, show in zip(row, wanted, strict=True) if show) for row in told]
    return [
        name if names.count(name) == 1 else f"{name} ({_at(run, 'name')})"
        for name, run in zip(names, runs, strict=True)
    ]


def _route(run: Run) -> str:
    if run.get("route") != "translated":
        return str(run.get("route") or "route unknown")
    if run.get("english") == "given":
        return "given English"
    translator, model = _at(run, "translator", "name"), _at(run, "model", "name")
    return "translated" if translator in (None, "?", model) else f"translated by {translator}"


def _shared(tables: Sequence[AnswerTable]) -> tuple[list[AnswerTable], tuple[str, ...]]:
    """The tables cut to the rows and columns that all have, in the order of the first; and what that left out.

    One arm keeps its failed calls, which its own scores leave out and count.
    """
    if len(tables) == 1:
        return list(tables), ()
    failed = {i for t in tables for i, bad in zip(t.ids, (t.state == ERROR).any(axis=1), strict=True) if bad}
    everywhere = set.intersection(*(set(t.ids) for t in tables))
    ids = [i for i in tables[0].ids if i in everywhere - failed]
    features = [f for f in tables[0].features if all(f in t.features for t in tables)]
    if not ids or not features:
        missing = "transcript" if not ids else "feature"
        raise InputError(f"the runs have no {missing} that all of them have answered; report them one by one")
    cut = [_cut(table, ids, features) for table in tables]
    if any((table.gold != cut[0].gold).any() for table in cut):
        raise InputError(
            "the runs have different gold labels for the same ids: they read different data; report them apart"
        )
    known = set().union(*(t.ids for t in tables))
    asked = list(dict.fromkeys(f for t in tables for f in t.features))
    notes = []
    if len(ids) < len(known):
        notes.append(
            f"Scored are the {len(ids)} of {len(known)} transcripts that every arm has answered "
            f"({len(failed)} left out because a call failed in some arm)."
        )
    if len(features) < len(asked):
        notes.append("Left out, not being in every arm: " + ", ".join(f for f in asked if f not in features) + ".")
    return cut, tuple(notes)


def _cut(table: AnswerTable, ids: Sequence[str], features: Sequence[str]) -> AnswerTable:
    row = {identifier: i for i, identifier in enumerate(table.ids)}
    rows, columns = [row[i] for i in ids], [table.features.index(f) for f in features]
    at = np.ix_(rows, columns)
    return AnswerTable(
        ids=tuple(ids),
        groups=tuple(table.groups[i] for i in rows),
        features=tuple(features),
        gold=table.gold[at],
        state=table.state[at],
        p_true=table.p_true[at],
    )


def _letters(count: int) -> list[str]:
    """A to Z, then A1 to Z1, and so on."""
    return [ascii_uppercase[i % 26] + (str(i // 26) if i >= 26 else "") for i in range(count)]


def _at(value: Any, *keys: str) -> Any:
    """The value under these keys, one below the other; "?" where any of them is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return "?" if value is None else value
