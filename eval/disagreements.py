"""Where the answers of arms and the labels part: what a person looks at, id by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import ERROR, FALSE, MISSING, TRUE, UNLABELLED
from .shown import Selection

# Enough for every answer of five arms on 1,221 transcripts; more would make the page too slow to open.
LIMIT = 20_000
ANSWERS = {TRUE: "T", FALSE: "F", MISSING: "M", ERROR: "E"}
LABELS = {1: "T", 0: "F", UNLABELLED: "?"}


@dataclass(frozen=True)
class Disagreements:
    """The answers that are not what the label says, and those of unlabelled transcripts on which arms differ.

    Attributes:
        letters: The arms'.
        features: The features' names.
        ids: The transcripts' ids; rows refer to them by number.
        rows: For each: the id's number, the feature's number, the label (T, F, ?), and a letter an arm (T, F, M missing,
            E failed).
        total: How many there are; more than there are rows where the limit has cut.
        texts: Id number to transcript text; empty unless asked for.
    """

    letters: tuple[str, ...]
    features: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[tuple[int, int, str, str], ...]
    total: int
    texts: Mapping[int, str]

    def document(self) -> dict[str, Any]:
        """A JSON-ready dictionary for the page's script."""
        return {
            "letters": self.letters,
            "features": self.features,
            "ids": self.ids,
            "rows": self.rows,
            "texts": {str(number): text for number, text in self.texts.items()},
        }


def disagreements(selection: Selection, texts: Mapping[str, str] | None = None, *, limit: int = LIMIT) -> Disagreements:
    """Those of the arms.

    Args:
        selection: The arms; they share transcripts and labels.
        texts: Transcript text by id, if it is to be there.
        limit: At most so many rows: those on which the most arms are wrong, then in the order of the transcripts.
    """
    tables = [arm.table for arm in selection.arms]
    gold = tables[0].gold
    states = np.stack([table.state for table in tables], axis=-1)
    labelled = gold != UNLABELLED
    wrong = ((states != gold[..., None]) & labelled[..., None]).sum(axis=-1)
    differ = (states != states[..., :1]).any(axis=-1) & ~labelled
    cells = np.argwhere((wrong > 0) | differ)
    total = len(cells)
    if total > limit:
        order = np.argsort(-wrong[cells[:, 0], cells[:, 1]], kind="stable")[:limit]
        cells = cells[np.sort(order)]
    number = {int(row): i for i, row in enumerate(dict.fromkeys(cells[:, 0].tolist()))}
    rows = tuple(
        (number[i], j, LABELS[int(gold[i, j])], "".join(ANSWERS[int(state)] for state in states[i, j]))
        for i, j in cells.tolist()
    )
    ids = tuple(tables[0].ids[i] for i in number)
    return Disagreements(
        letters=tuple(arm.letter for arm in selection.arms),
        features=tuple(selection.label(name) for name in selection.features),
        ids=ids,
        rows=rows,
        total=total,
        texts={i: texts[name] for i, name in enumerate(ids) if name in texts} if texts else {},
    )
