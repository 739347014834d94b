"""How far arms and people agree with the labels: Cohen's kappa and Gwet's AC1 by feature, as a grid.

A second person's labels, where there are any, show how far two people agree: a model need not agree better with one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .agreement import Agreement, agreement
from .grids import UNDEFINED, Grid, figure
from .metrics import TRUE, AnswerTable
from .shown import Selection

SecondLabels = Mapping[str, Mapping[str, bool | None]]


def agreement_grid(selection: Selection, second: SecondLabels | None = None) -> Grid:
    """Kappa and AC1 of each arm with the labels, by feature; a missing answer counts as False.

    Args:
        selection: The arms.
        second: Transcript id to feature id to a second person's label; None where not read.
    """
    tables = [arm.table for arm in selection.arms]
    heads = [arm.letter for arm in selection.arms]
    readings = [_of_arms(tables, j) for j in range(len(selection.features))]
    if second is not None:
        heads.insert(0, "2nd labels")
        for j, feature in enumerate(selection.features):
            readings[j].insert(0, _of_people(tables[0], j, feature, second))
    rows = [
        (selection.label(name), *(cell for found in readings[j] for cell in _cells(found)))
        for j, name in enumerate(selection.features)
    ]
    means = [_mean([readings[j][place] for j in range(len(readings))]) for place in range(len(heads))]
    rows.append(("Mean over the features", *(cell for pair in means for cell in pair)))
    notes = ["κ falls where nearly all labels are of one class, however well two readings agree; AC1 does not."]
    if second is not None:
        ids = [i for i in tables[0].ids if i in second]
        notes.append(f"2nd labels: another person's, of {len(ids)} of the {len(tables[0].ids)} transcripts.")
    return Grid(
        "Agreement with the labels",
        ("Feature", *(f"{kind}\n{head}" for head in heads for kind in ("κ", "AC1"))),
        tuple(rows),
        tuple(notes),
    )


def _of_arms(tables: Sequence[AnswerTable], j: int) -> list[Agreement | None]:
    found = []
    for table in tables:
        rows = np.flatnonzero(table.scored[:, j])
        found.append(_agreement((table.gold[rows, j] == 1).tolist(), (table.state[rows, j] == TRUE).tolist()))
    return found


def _of_people(table: AnswerTable, j: int, feature: str, second: SecondLabels) -> Agreement | None:
    pairs = [
        (bool(table.gold[i, j]), label)
        for i, identifier in enumerate(table.ids)
        if table.labelled[i, j] and (label := second.get(identifier, {}).get(feature)) is not None
    ]
    return _agreement([first for first, _ in pairs], [label for _, label in pairs])


def _agreement(first: Sequence[bool], second: Sequence[bool]) -> Agreement | None:
    return agreement(first, second) if first else None


def _cells(found: Agreement | None) -> tuple[str, str]:
    return (UNDEFINED, UNDEFINED) if found is None else (figure(found.kappa), figure(found.ac1))


def _mean(found: Sequence[Agreement | None]) -> tuple[str, str]:
    kappas = [f.kappa for f in found if f is not None and f.kappa is not None]
    ac1s = [f.ac1 for f in found if f is not None and f.ac1 is not None]
    kappa, ac1 = (figure(float(np.mean(values)) if values else None) for values in (kappas, ac1s))
    return kappa, ac1
