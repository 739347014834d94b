"""The types of the data: a transcript, a row that could not be used, and a data file as a whole.

Texts are kept out of every `repr`, so that a transcript in a log line or in a failing assertion shows its id and row only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..errors import DataError

PARTS = ("pool", "dev", "test")
ALL = "all"


def text_hash(text: str) -> str:
    """SHA-256 (64 hex digits) of the text's UTF-8; the transcript's name in keys of the store."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Transcript:
    """One call.

    Attributes:
        id: Unique in its file; never empty.
        text: The source text, exactly as in the file; never empty.
        english: An English text that came with it, or None.
        group: The patient, or whatever makes calls belong together; None where the file does not say.
        labels: Feature id to label, for the features whose column the file has; None is a blank cell.
        part: "pool", "dev" or "test", or None.
        extra: All other columns of the row, by the name in the file.
        row: Where it stands in the file, from 1: the header of a CSV or XLSX file is row 1; in JSONL the line.
    """

    id: str
    text: str = field(repr=False)
    english: str | None = field(default=None, repr=False)
    group: str | None = None
    labels: Mapping[str, bool | None] = field(default_factory=dict, repr=False)
    part: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    row: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used.

    Attributes:
        row: As in `Transcript`.
        id: Its id, or None where it has none.
        reason: One or more sentences for the person who mends the file; never text of the transcript.
        kind: A short stable name of the (first) reason, for counting.
    """

    row: int
    id: str | None
    reason: str
    kind: str = "bad_row"


@dataclass(frozen=True)
class Dataset:
    """The usable rows of a data file, in the file's order, and what was left out.

    Attributes:
        name: The path as given, or "corpus".
        sha256: Of the file's bytes (64 hex digits); a part of the data keeps the file's.
        feature_set_id: The feature set it was read for.
        transcripts: The usable rows.
        rejects: The others.
        labelled: Ids of the features whose column the file has, in the feature set's order.
    """

    name: str
    sha256: str
    feature_set_id: str
    transcripts: tuple[Transcript, ...] = field(repr=False)
    rejects: tuple[Reject, ...] = field(default=(), repr=False)
    labelled: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.transcripts)

    def __iter__(self) -> Iterator[Transcript]:
        return iter(self.transcripts)

    @cached_property
    def by_id(self) -> Mapping[str, Transcript]:
        """The transcripts by id, in the file's order."""
        return {t.id: t for t in self.transcripts}

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that occur, in the order pool, dev, test."""
        found = {t.part for t in self.transcripts}
        return tuple(name for name in PARTS if name in found)

    def part(self, name: str) -> Dataset:
        """The transcripts of one part ("pool", "dev" or "test"); "all" is the whole data.

        Raises:
            DataError: There is no such part, or no transcript is in it.
        """
        if name == ALL:
            return self
        if name not in PARTS:
            raise DataError(f"there is no part {name!r}; the parts are {', '.join(PARTS)} and {ALL}")
        chosen = tuple(t for t in self.transcripts if t.part == name)
        if not chosen:
            there = f"it has {', '.join(self.parts)}" if self.parts else "it has no parts at all"
            raise DataError(
                f"{self.name}: no transcript is in the part {name!r}; {there}. Make a split, or use --part all"
            )
        return replace(self, transcripts=chosen)

    def with_parts(self, mapping: Mapping[str, str]) -> Dataset:
        """The same data with parts taken from `mapping` (id to part); an id that is not in it has no part.

        Raises:
            DataError: An id is not in the data, or a part's name is unknown.
        """
        for identifier, name in mapping.items():
            if identifier not in self.by_id:
                raise DataError(f"{self.name}: the split names the id {identifier!r}, which the data do not have")
            if name not in PARTS:
                raise DataError(f"{self.name}: id {identifier!r} is in the unknown part {name!r}")
        return replace(self, transcripts=tuple(replace(t, part=mapping.get(t.id)) for t in self.transcripts))
