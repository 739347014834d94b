"""Data files in: CSV, XLSX, Parquet and JSONL as transcripts with labels, and the rows that cannot be used.

A file needs a column for the id and one for the text. The names that count are the feature set's (`columns`, and each
feature's id and `columns`), matched exactly first and then without regard to case, spaces and Arabic or Persian letter forms.
A fault of one row puts that row among the rejects and leaves the others alone; a fault of the file is a `DataError`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError
from ..signatures.features import FeatureSet
from .files import write_private
from .persian import normalise
from .tables import Record, Table, as_text, read_table, shown_name
from .transcripts import PARTS, Dataset, Reject, Transcript

TRUE = frozenset({"true", "1", "1.0", "yes", "y", "ja", "بله", "بلی"})
FALSE = frozenset({"false", "0", "0.0", "no", "n", "nein", "خیر", "نه"})

_ROLES = ("id", "text", "english", "group", "part")
_COLUMNS = 40  # column names that a message may list
_SHOWN = 20  # characters of a wrong value that a message may show
_WRONG = 3  # wrong labels of one row that its reason names
_BROKEN = re.compile("[\ud800-\udfff]")


def read_dataset(
    path: str | Path,
    feature_set: FeatureSet,
    *,
    rejects: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Read a data file.

    Args:
        path: A file ending in .csv, .tsv, .xlsx (its first sheet), .parquet or .jsonl.
        feature_set: Says which columns hold what.
        rejects: Where to write the rows that cannot be used (a CSV of row, id and reason, also when there are none).
        columns: The file's own names, by "id", "text", "english", "group", "part" or feature id; they go before the
            feature set's.

    Raises:
        DataError: The file is missing, unreadable, in a wrong encoding or of an unknown ending; it has no column for id or
            text, or two for one feature; or no row of it can be used.
        InputError: The rejects cannot be written, or would take the file's own place.
    """
    if rejects is not None and rejects.exists() and Path(path).exists() and rejects.samefile(path):
        raise InputError(f"{rejects}: is the data file itself, which the rejects would overwrite; name another file")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    dataset = read_bytes(data, Path(path).suffix.casefold(), str(path), feature_set, columns=columns)
    if rejects is not None:
        write_rejects(rejects, dataset.rejects)
    if not dataset.transcripts:
        raise DataError(f"{path}: no row can be used{_summary(dataset.rejects)}")
    return dataset


def read_bytes(
    data: bytes, ending: str, name: str, feature_set: FeatureSet, *, columns: Mapping[str, str] | None = None
) -> Dataset:
    """Read the bytes of a data file, as `read_dataset` does; the result may be without transcripts.

    Args:
        data: The bytes.
        ending: The file's ending, in lower case, with its dot.
        name: The data's name, for errors and reports.
        feature_set: Says which columns hold what.
        columns: As in `read_dataset`.

    Raises:
        DataError: The file as a whole cannot be used.
    """
    names = _Names(feature_set, columns or {}, name)
    table = read_table(data, ending, name, names.recognised)
    places = names.places(table.columns)
    builder = _Builder(table, places)
    for record in table.records:
        builder.take(record)
    return Dataset(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        feature_set_id=feature_set.id,
        transcripts=tuple(builder.transcripts),
        rejects=tuple(builder.rejects),
        labelled=tuple(i for i in feature_set.ids if i in places.features),
    )


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write the rows that cannot be used as CSV (row, id, reason), in one step, mode 0600.

    Raises:
        InputError: The file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("row", "id", "reason"))
    writer.writerows((r.row, r.id or "", r.reason) for r in rejects)
    write_private(path, text.getvalue().encode("utf-8", "replace"))


def read_label(text: str) -> bool | None:
    """True or False for the accepted spellings (in any case, with Persian digits too); None for a blank.

    Raises:
        ValueError: The text is none of them.
    """
    plain = normalise(text).casefold()
    if not plain:
        return None
    if plain in TRUE:
        return True
    if plain in FALSE:
        return False
    raise ValueError("unknown label")


def _summary(rejects: Sequence[Reject]) -> str:
    if not rejects:
        return "; it has no rows below its header"
    kinds = Counter(r.kind for r in rejects)
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return f" ({counts}); the first, row {rejects[0].row}: {rejects[0].reason}"


def _fold(name: str) -> str:
    return normalise(name).replace(" ", "").casefold()


@dataclass(frozen=True, slots=True)
class _Places:
    """Which column (by index) holds what."""

    roles: Mapping[str, int]
    features: Mapping[str, int]
    extra: Mapping[str, int] = field(default_factory=dict)


class _Names:
    """Column names to roles and features."""

    def __init__(self, feature_set: FeatureSet, overrides: Mapping[str, str], name: str) -> None:
        self.feature_set = feature_set
        self.overrides = overrides
        self.name = name
        self.accepted = {role: tuple(feature_set.columns.get(role, (role,))) for role in _ROLES}
        self.folded: dict[str, str | None] = {}
        for feature in feature_set:
            for column in (feature.id, *feature.columns):
                key = _fold(column)
                # Two features whose names differ in case only are told apart by exact names alone.
                self.folded[key] = feature.id if self.folded.get(key, feature.id) == feature.id else None
        unknown = [key for key in overrides if key not in _ROLES and key not in feature_set.ids]
        if unknown:
            raise DataError(
                f"{name}: columns given for {', '.join(unknown)}, which is neither {', '.join(_ROLES)} nor a feature"
            )

    def recognised(self, columns: Sequence[str]) -> int:
        columns = [c.strip() for c in columns]
        roles = sum(self.role(role, columns) is not None for role in _ROLES)
        return roles + sum(self.feature(column) is not None for column in columns)

    def places(self, columns: Sequence[str]) -> _Places:
        """Where everything is.

        Raises:
            DataError: No column for id or text, two for one feature, or a column that the user named is not there.
        """
        for key, column in self.overrides.items():
            if column not in columns:
                raise DataError(f"{self.name}: there is no column {column!r} (given for {key}); {_has(columns)}")
        roles = {role: place for role in _ROLES if (place := self.role(role, columns)) is not None}
        for role in ("id", "text"):
            if role not in roles:
                looked = ", ".join(repr(n) for n in self.accepted[role])
                raise DataError(f"{self.name}: no column for the {role}; looked for {looked}; {_has(columns)}")
        features: dict[str, int] = {i: columns.index(c) for i, c in self.overrides.items() if i not in _ROLES}
        for place, column in enumerate(columns):
            identifier = self.feature(column)
            if identifier is None or identifier in self.overrides or place in roles.values():
                continue
            if identifier in features:
                both = f"{columns[features[identifier]]!r} and {column!r}"
                raise DataError(f"{self.name}: two columns for the feature {identifier}: {both}; remove or rename one")
            features[identifier] = place
        used = {*roles.values(), *features.values()}
        if len(used) < len(roles) + len(features):
            raise DataError(f"{self.name}: one column was given for two things: {dict(self.overrides)}")
        return _Places(roles, features, {c: i for i, c in enumerate(columns) if i not in used})

    def role(self, role: str, columns: Sequence[str]) -> int | None:
        """The column of a role: the user's, else the first accepted name that the file has."""
        if role in self.overrides:
            return columns.index(self.overrides[role]) if self.overrides[role] in columns else None
        for wanted in self.accepted[role]:
            if wanted in columns:
                return columns.index(wanted)
        folded = [_fold(column) for column in columns]
        for wanted in self.accepted[role]:
            if _fold(wanted) in folded:
                return folded.index(_fold(wanted))
        return None

    def feature(self, column: str) -> str | None:
        return self.feature_set.column_of(column) or self.folded.get(_fold(column))


def _has(columns: Sequence[str]) -> str:
    if not columns:
        return "the file has no columns"
    more = f" and {len(columns) - _COLUMNS} more" if len(columns) > _COLUMNS else ""
    return f"the file has {', '.join(shown_name(c) for c in columns[:_COLUMNS])}{more}"


class _Builder:
    """Rows to transcripts and rejects."""

    def __init__(self, table: Table, places: _Places) -> None:
        self.table = table
        self.places = places
        self.first: dict[str, int] = {}
        self.transcripts: list[Transcript] = []
        self.rejects: list[Reject] = []

    def take(self, record: Record) -> None:
        problems: list[tuple[str, str]] = []
        if record.problem is not None:
            self.rejects.append(Reject(record.row, None, record.problem[1], record.problem[0]))
            return
        texts = {role: self.text(record, place, problems) for role, place in self.places.roles.items()}
        identifier = texts["id"].strip()
        if not normalise(identifier):
            problems.append(("empty_id", "the id is empty"))
        elif identifier in self.first:
            problems.append(("duplicate_id", f"the id is that of row {self.first[identifier]} too"))
        if not normalise(texts["text"]) and not any(kind == "not_text" for kind, _ in problems):
            problems.append(("empty_text", "the text is empty"))
        part = texts.get("part", "").strip().casefold()
        if part and part not in PARTS:
            problems.append(("unknown_part", f"the part {part[:_SHOWN]!r} is none of {', '.join(PARTS)}"))
        wrong: list[str] = []
        labels = {i: self.label(record, place, wrong) for i, place in self.places.features.items()}
        if wrong:
            more = f", and {len(wrong) - _WRONG} more" if len(wrong) > _WRONG else ""
            advice = "use True or False, 1 or 0, yes or no, or leave it blank"
            problems.append(("unknown_label", f"unknown label: {', '.join(wrong[:_WRONG])}{more}; {advice}"))
        if problems:
            reason = "; ".join(text for _, text in problems)
            self.rejects.append(Reject(record.row, identifier[:200] or None, reason, problems[0][0]))
            return
        self.first[identifier] = record.row
        self.transcripts.append(
            Transcript(
                id=identifier,
                text=texts["text"],
                english=texts["english"] if texts.get("english", "").strip() else None,
                group=texts.get("group", "").strip() or None,
                labels=labels,
                part=part or None,
                extra={column: _plain(record.values[place]) for column, place in self.places.extra.items()},
                row=record.row,
            )
        )

    def text(self, record: Record, place: int, problems: list[tuple[str, str]]) -> str:
        text = as_text(record.values[place])
        if text is None:
            problems.append(
                ("not_text", f"column {self.table.columns[place]!r} holds a {_kind(record, place)}, not a text")
            )
            return ""
        if _BROKEN.search(text):
            problems.append(
                ("not_text", f"column {self.table.columns[place]!r} holds half a character (a lone surrogate)")
            )
        return text

    def label(self, record: Record, place: int, wrong: list[str]) -> bool | None:
        text = as_text(record.values[place])
        if text is None:
            shown = f"a {_kind(record, place)}"
        else:
            try:
                return read_label(text)
            except ValueError:
                text = text.strip()
                shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
        wrong.append(f"column {self.table.columns[place]!r} holds {shown}")
        return None


def _plain(value: object) -> object:
    """A cell of another column, JSON-ready: a date as its ISO text, a NaN as None."""
    if value is None or isinstance(value, str | bool | int | list | dict):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    text = as_text(value)
    return str(value) if text is None else text


def _kind(record: Record, place: int) -> str:
    value: Any = record.values[place]
    return {"dict": "object", "bytes": "binary value"}.get(type(value).__name__, type(value).__name__)
