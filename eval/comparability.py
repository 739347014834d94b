"""Whether runs can be compared, and in what they differ: labels and groups must agree, the rest is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .metrics import ERROR, AnswerTable, Codes
from .shown import Run, ShownArm

_NAMED = 5  # ids and features that a message names before it stops
# What two arms may differ in, as people call it, and where run.json has it.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "Model": ("model", "name"),
    "Model digest": ("model", "digest"),
    "Engine": ("model", "engine"),
    "Engine version": ("model", "engine_version"),
    "Context": ("model", "num_ctx"),
    "Route": ("route",),
    "English text": ("english",),
    "Translator": ("translator", "name"),
    "Translator digest": ("translator", "digest"),
    "Translator program hash": ("translator", "program", "hash"),
    "Program": ("program", "name"),
    "Program hash": ("program", "hash"),
    "Bundle": ("bundle", "sha256"),
    "Prompt language": ("program", "language"),
    "Answer format": ("format",),
    "Demos": ("demos", "n"),
    "Demo ids": ("demos", "ids"),
    "Feature set": ("feature_set", "id"),
    "Feature set hash": ("feature_set", "hash"),
    "Data": ("data", "name"),
    "Data sha256": ("data", "sha256"),
    "Part": ("data", "part"),
    "Split sha256": ("data", "split_sha256"),
    "Balin": ("versions", "balin"),
}
# Settings that differ between the routes of one model by themselves: demos in another language change the program's hash.
_OF_THE_ROUTE = frozenset(
    {"Route", "English text", "Translator", "Translator digest", "Translator program hash", "Program hash"}
)


def check_data(tables: Sequence[AnswerTable], names: Sequence[str]) -> None:
    """Refuse arms that have other gold labels or groups for the same ids than the first arm.

    Args:
        tables: The arms' answers.
        names: What the arms are called in the message.

    Raises:
        InputError: Some arm has; the message says which labels of which transcripts.
    """
    first, against = tables[0], names[0]
    row_of = {identifier: i for i, identifier in enumerate(first.ids)}
    for table, name in zip(tables[1:], names[1:], strict=True):
        rows = [i for i, identifier in enumerate(table.ids) if identifier in row_of]
        others = [row_of[table.ids[i]] for i in rows]
        features = [f for f in first.features if f in table.features]
        unequal = _gold(table, rows, features) != _gold(first, others, features)
        if unequal.any():
            ids = [table.ids[rows[i]] for i in np.flatnonzero(unequal.any(axis=1))]
            by_feature = [f"{f} {int(unequal[:, j].sum())}" for j, f in enumerate(features) if unequal[:, j].any()]
            raise InputError(
                f"{name} and {against} have different gold labels: {int(unequal.sum())} labels "
                f"({_listed(by_feature)}) of {len(ids)} transcripts ({_listed(ids)}); evaluate both on the same data"
            )
        apart = [table.ids[i] for i, other in zip(rows, others, strict=True) if table.groups[i] != first.groups[other]]
        if apart:
            raise InputError(
                f"{name} and {against} put {len(apart)} transcripts into different groups ({_listed(apart)}); "
                "evaluate both on the same data"
            )


def left_out(arms: Sequence[ShownArm], tables: Sequence[AnswerTable]) -> list[str]:
    """What each arm lacks of the transcripts and features that the arms have together."""
    all_ids = list(dict.fromkeys(i for table in tables for i in table.ids))
    all_features = list(dict.fromkeys(f for table in tables for f in table.features))
    notes = []
    for arm, table in zip(arms, tables, strict=True):
        own, asked = set(table.ids), set(table.features)
        failed = [i for i, bad in zip(table.ids, (table.state == ERROR).any(axis=1), strict=True) if bad]
        lacking = [i for i in all_ids if i not in own]
        unasked = [f for f in all_features if f not in asked]
        if lacking:
            notes.append(f"{arm.letter} lacks {_transcripts(lacking)}.")
        if failed:
            notes.append(f"{arm.letter}: calls failed for {_transcripts(failed)}.")
        if unasked:
            notes.append(f"{arm.letter} was not asked for: {', '.join(unasked)}.")
    kept, features = len(arms[0].table.ids), len(arms[0].table.features)
    if notes:
        notes.append(
            f"Compared are the {kept} of {len(all_ids)} transcripts that all arms have scored, and the {features} of "
            f"{len(all_features)} features that all were asked for."
        )
    return notes


def data_notes(arms: Sequence[ShownArm]) -> list[str]:
    """Differences of what was read and asked that equal ids and labels do not show."""
    notes = []
    if len({_setting(arm.run, ("data", "sha256")) for arm in arms}) > 1:
        notes.append("The arms read different data files; ids, labels and groups agree, the texts may not.")
    if len({_setting(arm.run, ("feature_set", "hash")) for arm in arms}) > 1:
        notes.append("The arms were asked from different feature sets; the ids agree, the wording may not.")
    return notes


def differing_settings(runs: Sequence[Run]) -> dict[str, tuple[str, ...]]:
    """What the arms differ in: setting to its value in each arm, in their order."""
    told = {name: tuple(_setting(run, keys) for run in runs) for name, keys in SETTINGS.items()}
    return {name: values for name, values in told.items() if len(set(values)) > 1}


def same_model(first: Run, second: Run) -> bool:
    """Whether the same model answered, by name and digest."""
    return all(_at(first, *SETTINGS[s]) == _at(second, *SETTINGS[s]) for s in ("Model", "Model digest"))


def differences_beside_route(direct: Run, translated: Run) -> list[str]:
    """The settings, other than those of the route itself, in which two arms differ."""
    return [
        name
        for name, keys in SETTINGS.items()
        if name not in _OF_THE_ROUTE and _at(direct, *keys) != _at(translated, *keys)
    ]


def _transcripts(ids: Sequence[str]) -> str:
    return f"{len(ids)} transcript{'' if len(ids) == 1 else 's'} ({_listed(ids)})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _gold(table: AnswerTable, rows: Sequence[int], features: Sequence[str]) -> Codes:
    columns = [table.features.index(f) for f in features]
    return np.asarray(table.gold[np.ix_(np.array(rows, dtype=int), np.array(columns, dtype=int))], dtype=np.int8)


def _setting(run: Run, keys: Sequence[str]) -> str:
    """A setting for people: hashes by their first letters, lists on one line, "–" for none."""
    value = _at(run, *keys)
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "–"
    return (
        str(value).removeprefix("sha256:")[:12]
        if keys[-1] in ("digest", "hash", "sha256", "split_sha256")
        else str(value)
    )


def _at(value: Any, *keys: str) -> Any:
    """The value under these keys, one below the other; None where any of them is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
