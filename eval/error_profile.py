"""Where an arm errs: false positives and negatives by feature, in groups of transcripts.

Groups are the phenomena and the register that the data file names in columns of these names, and thirds by length. A call can
show several phenomena and is then counted in each. A group says where errors are, not why: calls differ in several ways at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.transcripts import Dataset, Transcript
from ..errors import RunError
from .metrics import ERROR, FALSE, MISSING, TRUE, AnswerTable
from .shown import Selection

PHENOMENA, REGISTER = "phenomena", "register"
ALL, PHENOMENON, LENGTH, OF_REGISTER = "all", "phenomenon", "length", "register"
NO_PHENOMENON = "(none named)"
_SEPARATORS = re.compile(r"[;,|]")


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Errors among scored answers; a missing answer counts as False.

    Attributes:
        positives: Scored answers with the gold label true.
        negatives: Those with the gold label false.
        fn: False negatives, missing ones among them.
        fp: False positives.
        missing: Answers that the model did not give, right or wrong.
    """

    positives: int = 0
    negatives: int = 0
    fn: int = 0
    fp: int = 0
    missing: int = 0

    def __add__(self, other: ErrorCount) -> ErrorCount:
        return ErrorCount(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def n(self) -> int:
        """Scored answers."""
        return self.positives + self.negatives

    @property
    def errors(self) -> int:
        """False answers of both kinds."""
        return self.fn + self.fp

    def to_dict(self) -> dict[str, int]:
        """A JSON-ready dictionary."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the scored transcripts.

    Attributes:
        kind: `all`, `phenomenon`, `length` or `register`.
        name: What they have in common.
        rows: Their rows in the answer tables.
    """

    kind: str
    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class GroupErrors:
    """The errors of all arms in one group.

    Attributes:
        group: The transcripts.
        arms: For each arm, in their order: feature id to its count.
    """

    group: Group
    arms: tuple[Mapping[str, ErrorCount], ...]

    def total(self, arm: int) -> ErrorCount:
        """An arm's errors over all features."""
        return sum(self.arms[arm].values(), ErrorCount())

    def to_dict(self, letters: Sequence[str]) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "by": self.group.kind,
            "group": self.group.name,
            "transcripts": len(self.group.rows),
            "arms": {
                letter: {name: count.to_dict() for name, count in counts.items()}
                for letter, counts in zip(letters, self.arms, strict=True)
            },
        }


def error_profile(selection: Selection, dataset: Dataset) -> list[GroupErrors]:
    """The errors of the arms, first over all transcripts, then group by group.

    Args:
        selection: The arms; they share transcripts and labels.
        dataset: The data they read, for what it says of each transcript.

    Raises:
        RunError: A transcript of the runs is not in the data.
    """
    tables = [arm.table for arm in selection.arms]
    transcripts = transcripts_of(tables[0], dataset)
    return [
        GroupErrors(group, tuple(count_errors(table, group.rows) for table in tables)) for group in _groups(transcripts)
    ]


def transcripts_of(table: AnswerTable, dataset: Dataset) -> list[Transcript]:
    """The transcripts of a table's rows.

    Raises:
        RunError: One of them is not in the data.
    """
    lost = [i for i in table.ids if i not in dataset.by_id]
    if lost:
        raise RunError(f"{len(lost)} transcripts of the run ({', '.join(lost[:5])}) are not in {dataset.name}")
    return [dataset.by_id[i] for i in table.ids]


def is_wrong(table: AnswerTable) -> Any:
    """Bool [n, k]: a scored answer is not the gold label, a missing one counting as False."""
    return table.labelled & (table.state != ERROR) & ((table.state == TRUE) != (table.gold == 1))


def count_errors(table: AnswerTable, rows: Sequence[int]) -> dict[str, ErrorCount]:
    """Each feature's errors in some rows; failed calls and unlabelled answers are not scored."""
    at = np.array(rows, dtype=np.int64)
    gold, state = table.gold[at], table.state[at]
    scored = table.labelled[at] & (state != ERROR)
    present, absent = scored & (gold == 1), scored & (gold == 0)
    counts = (
        present.sum(axis=0),
        absent.sum(axis=0),
        (present & np.isin(state, (FALSE, MISSING))).sum(axis=0),
        (absent & (state == TRUE)).sum(axis=0),
        (scored & (state == MISSING)).sum(axis=0),
    )
    return {name: ErrorCount(*(int(count[j]) for count in counts)) for j, name in enumerate(table.features)}


def _groups(transcripts: Sequence[Transcript]) -> list[Group]:
    found = [Group(ALL, "all", tuple(range(len(transcripts))))]
    if any(PHENOMENA in t.extra for t in transcripts):
        found += _named(PHENOMENON, [_list(t.extra.get(PHENOMENA)) or [NO_PHENOMENON] for t in transcripts])
    if any(t.extra.get(REGISTER) for t in transcripts):
        found += _named(OF_REGISTER, [_list(t.extra.get(REGISTER)) for t in transcripts])
    return [*found, *_by_length(transcripts)]


def _named(kind: str, names: Sequence[Sequence[str]]) -> list[Group]:
    """The groups of these names, the largest first; a row without a name is in none."""
    rows: dict[str, list[int]] = {}
    for row, of in enumerate(names):
        for name in dict.fromkeys(of):
            rows.setdefault(name, []).append(row)
    ordered = sorted(rows.items(), key=lambda item: (item[0] == NO_PHENOMENON, -len(item[1]), item[0]))
    return [Group(kind, name, tuple(of)) for name, of in ordered]


def _list(value: object) -> list[str]:
    """The names in a cell: a list as JSONL has it, or a text with commas, semicolons or bars."""
    items = value if isinstance(value, list) else _SEPARATORS.split(str(value)) if value is not None else []
    return [text for item in items if (text := str(item).strip())]


def _by_length(transcripts: Sequence[Transcript]) -> list[Group]:
    """Thirds by the number of words; transcripts of one length are never parted, so there may be fewer than three."""
    words = np.array([len(t.text.split()) for t in transcripts])
    third = np.searchsorted(np.unique(np.quantile(words, (1 / 3, 2 / 3), method="lower")), words, side="left")
    groups = []
    for number in np.unique(third):
        rows = np.flatnonzero(third == number)
        low, high = int(words[rows].min()), int(words[rows].max())
        groups.append(Group(LENGTH, f"{low}–{high} words", tuple(rows.tolist())))
    return groups
