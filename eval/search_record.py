"""The record that a search leaves (`search.json`), as reports show it: what was tried, how it went, and what mattered.

How much each setting mattered is the mean decrease in impurity of a random forest that learns the objective from the settings,
as Optuna's `MeanDecreaseImpurityImportanceEvaluator` does it: Breiman, "Random forests", Machine Learning 45 (2001). A search
tries good settings more often than bad ones, so it is a description of what was tried and no experiment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, RunError
from .grids import UNDEFINED, Grid, figure
from .tables import METRIC_NAMES

SCHEMA_VERSION = 1
FILE = "search.json"
SCORED, PRUNED = "scored", "pruned"
ENOUGH = 8  # scored configurations from which on importances are told
_TREES = 200
_NAMES = {
    "model": "Model",
    "route": "Route",
    "translator": "Translator",
    "language": "Prompt language",
    "format": "Answer format",
    "strategy": "Choice of demos",
    "demos": "Number of demos",
    "draw": "Draw of the demos",
    "definitions": "Definitions",
    "thresholds": "Thresholds",
}


@dataclass(frozen=True)
class TriedConfiguration:
    """One configuration of a search.

    Attributes:
        place: Its number, in the order of trying.
        settings: Setting to choice; a setting that does not apply is absent.
        outcome: `scored`, `pruned` or why it has no score.
        score: The objective on the transcripts of the search; of a pruned one, on as many as it came to.
        final: The objective on all of dev, of finalists; else None.
    """

    place: int
    settings: Mapping[str, Any]
    outcome: str
    score: float | None
    final: float | None

    @property
    def words(self) -> str:
        """The configuration in a few words."""
        return ", ".join(
            str(v) if isinstance(v, str) else f"{name} {v}" for name, v in self.settings.items() if v is not False
        )


@dataclass(frozen=True)
class SearchRecord:
    """A search.

    Attributes:
        name: Its study's.
        objective: The metric, in words.
        seed: Its seed.
        ended: Why it ended.
        says: What it says of its result, a sentence each.
        tried: All configurations, in the order of trying.
    """

    name: str
    objective: str
    seed: int
    ended: str
    says: tuple[str, ...]
    tried: tuple[TriedConfiguration, ...]

    @property
    def scored(self) -> tuple[TriedConfiguration, ...]:
        """Those that were scored to the end."""
        return tuple(t for t in self.tried if t.outcome == SCORED and t.score is not None)


def read_search(folder: Path) -> SearchRecord:
    """The record in a search's folder.

    Raises:
        InputError: There is none.
        RunError: It cannot be read, or its version is unknown.
    """
    path = folder / FILE
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: holds no {FILE}; give the folder of a search that has ended (`balin search` names it)"
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {type(error).__name__}") from None
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise RunError(f"{path}: schema {version!r} is unknown; this Balin reads {SCHEMA_VERSION}")
    try:
        return _record(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is incomplete or of another form ({error})") from None


def _record(document: Mapping[str, Any]) -> SearchRecord:
    finals = [(f["configuration"], f["score"]) for f in document.get("finalists", ())]
    tried = [
        TriedConfiguration(
            place=int(row["place"]),
            settings=dict(row["configuration"]),
            outcome=str(row["outcome"]),
            score=None if row["score"] is None else float(row["score"]),
            final=next((float(score) for settings, score in finals if settings == row["configuration"]), None),
        )
        for row in document["trials"]
    ]
    return SearchRecord(
        name=str(document["study"]),
        objective=METRIC_NAMES.get(document["objective"], str(document["objective"])),
        seed=int(document["seed"]),
        ended=str(document["ended"]),
        says=tuple(str(item) for item in document.get("says", ())),
        tried=tuple(sorted(tried, key=lambda t: t.place)),
    )


def setting_name(setting: str) -> str:
    """A setting as people call it."""
    return _NAMES.get(setting, setting)


def importances(record: SearchRecord) -> dict[str, float] | None:
    """How much each setting that varied mattered, the most first; the sum is 1. None where too few were scored or all alike."""
    from sklearn.ensemble import RandomForestRegressor

    scored = record.scored
    names = list(dict.fromkeys(name for t in scored for name in t.settings))
    choices = {name: sorted({str(t.settings.get(name, UNDEFINED)) for t in scored}) for name in names}
    columns = [(name, choice) for name in names if len(choices[name]) > 1 for choice in choices[name]]
    scores = np.array([t.score for t in scored], dtype=np.float64)
    if len(scored) < ENOUGH or not columns or np.ptp(scores) == 0:
        return None
    table = np.array([[str(t.settings.get(n, UNDEFINED)) == c for n, c in columns] for t in scored], dtype=np.float64)
    forest = RandomForestRegressor(_TREES, random_state=0).fit(table, scores)
    found = dict.fromkeys((name for name, _ in columns), 0.0)
    for (name, _), share in zip(columns, forest.feature_importances_, strict=True):
        found[name] += float(share)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def tried_grid(record: SearchRecord) -> Grid:
    """All that was tried, the best first."""
    order = {SCORED: 0, PRUNED: 1}
    ranked = sorted(record.tried, key=lambda t: (order.get(t.outcome, 2), -(t.score or 0.0), t.place))
    rows = tuple((t.words, str(t.place), t.outcome, figure(t.score, 3), figure(t.final, 3)) for t in ranked)
    return Grid(
        "What the search tried",
        ("Configuration", "No.", "Ended", record.objective, f"{record.objective}\nall of dev"),
        rows,
        ("A pruned configuration's score is that of fewer transcripts and not to be compared.",),
    )


def choices_grid(record: SearchRecord) -> Grid:
    """For each setting that varied: what its choices scored."""
    rows = []
    for name in dict.fromkeys(n for t in record.scored for n in t.settings):
        by_choice: dict[str, list[float]] = {}
        for t in record.scored:
            by_choice.setdefault(str(t.settings.get(name, UNDEFINED)), []).append(t.score or 0.0)
        if len(by_choice) > 1:
            rows += [
                (setting_name(name), choice, str(len(s)), figure(float(np.mean(s)), 3), figure(max(s), 3))
                for choice, s in sorted(by_choice.items(), key=lambda item: -float(np.mean(item[1])))
            ]
    columns = ("Setting", "Choice", "Scored", "Mean", "Best")
    return Grid(f"{record.objective} by choice", columns, tuple(rows), texts=2)
