"""A data file with some labels put right: written as a new file of the same kind, everything else in it left as it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.files import write_private
from ..data.readers import read_bytes, read_label
from ..data.tables import DELIMITERS, Table, as_text, read_table
from ..data.transcripts import Dataset
from ..errors import CheckFailed, InputError
from ..signatures.features import FeatureSet
from .review import Correction
from .run_data import data_bytes

_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Change:
    """One cell: its row as `Transcript.row`, its column's place, and the new value as the file writes labels."""

    row: int
    place: int
    value: Any


def write_corrected(
    data: str, dataset: Dataset, feature_set: FeatureSet, corrections: Sequence[Correction], to: Path
) -> Path:
    """Write the data with these labels to a new file, and a list of the changes beside it (NEWDATA.changes.csv).

    Args:
        data: The data file's name, or "corpus".
        dataset: What was read from it.
        feature_set: Says which columns hold what.
        corrections: Those whose label does not change are listed and change nothing.
        to: The new file; its ending is the data's.

    Returns:
        The list of changes.

    Raises:
        InputError: The new file is there already or has another ending, or a file cannot be written.
        CheckFailed: What was written does not read back as it should; nothing is left of it.
    """
    content, ending = data_bytes(data)
    listed = to.with_name(to.name + ".changes.csv")
    if to.suffix.casefold() != ending:
        raise InputError(f"{to}: {data} is a {ending} file, so the corrected one must end in {ending} too")
    if to.exists() or listed.exists():
        raise InputError(
            f"{to}: it or {listed.name} is there already and is not replaced; choose another name for --to"
        )
    table = read_table(
        content, ending, data, lambda columns: sum(_feature_of(c, feature_set) is not None for c in columns)
    )
    changed = [c for c in corrections if c.after != c.before]
    changes = _changes(table, dataset, feature_set, changed)
    made = _WRITERS[ending](content, table, changes)
    _check(made, ending, to, dataset, feature_set, changed)
    write_private(to, made)
    write_private(listed, _list(corrections))
    return listed


def _feature_of(column: str, feature_set: FeatureSet) -> str | None:
    """The feature whose labels a column holds: asked of the reader itself, with a file of that one column."""
    row = {"the row's id": "1", "the row's text": "1"}
    if column in row:
        return None
    found = read_bytes(
        json.dumps({**row, column: ""}).encode(),
        ".jsonl",
        "a column",
        feature_set,
        columns={"id": "the row's id", "text": "the row's text"},
    )
    return found.labelled[0] if found.labelled else None


def _changes(
    table: Table, dataset: Dataset, feature_set: FeatureSet, corrections: Sequence[Correction]
) -> list[_Change]:
    places = {f: place for place, column in enumerate(table.columns) if (f := _feature_of(column, feature_set))}
    spelt = {f: _spellings(table, place) for f, place in places.items()}
    usual: dict[bool, Any] = {}
    for of in spelt.values():
        usual = {**of, **usual}
    return [
        _Change(
            dataset.by_id[c.id].row,
            places[c.feature],
            # As the column itself writes this label, else as some other one does: 1, true, "ja".
            spelt[c.feature].get(c.after, usual.get(c.after, str(c.after))),
        )
        for c in corrections
    ]


def _spellings(table: Table, place: int) -> dict[bool, Any]:
    """How a column writes true and false, as far as it has them."""
    found: dict[bool, Any] = {}
    for record in table.records:
        if record.problem is None:
            try:
                label = read_label(as_text(record.values[place]) or "")
            except ValueError:
                continue
            if label is not None:
                found.setdefault(label, record.values[place])
    return found


def _csv(content: bytes, table: Table, changes: Sequence[_Change]) -> bytes:
    text = content.decode("utf-8")
    mark, text = (_MARK, text[1:]) if text.startswith(_MARK) else ("", text)
    for delimiter in DELIMITERS:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        header = next(row for row in rows if any(cell.strip() for cell in row))
        if tuple(cell.strip() or f"column {n}" for n, cell in enumerate(header, start=1)) == table.columns:
            break
    for change in changes:
        rows[change.row - 1][change.place] = as_text(change.value) or ""
    made = io.StringIO(newline="")
    # A writer of "\r\n" also quotes a text with a "\r" alone in it.
    ending = "\r\n" if "\r" in text else "\n"
    csv.writer(made, delimiter=delimiter, lineterminator=ending).writerows(rows)
    return (mark + made.getvalue()).encode("utf-8")


def _jsonl(content: bytes, table: Table, changes: Sequence[_Change]) -> bytes:
    lines = content.decode("utf-8").split("\n")
    for change in changes:
        line = lines[change.row - 1]
        entry = json.loads(line.removeprefix(_MARK))
        # A blank is corrected by nobody, so the key is there, perhaps with spaces around it.
        key = next(key for key in entry if key.strip() == table.columns[change.place])
        entry[key] = change.value
        mark = _MARK if line.startswith(_MARK) else ""
        lines[change.row - 1] = mark + json.dumps(entry, ensure_ascii=False) + ("\r" if line.endswith("\r") else "")
    return "\n".join(lines).encode("utf-8")


def _xlsx(content: bytes, table: Table, changes: Sequence[_Change]) -> bytes:
    import openpyxl  # type: ignore[import-untyped]

    book = openpyxl.load_workbook(io.BytesIO(content))
    for change in changes:
        book.worksheets[0].cell(change.row, change.place + 1).value = change.value
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def _parquet(content: bytes, table: Table, changes: Sequence[_Change]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.read_table(io.BytesIO(content))
    by_place: dict[int, dict[int, Any]] = {}
    for change in changes:
        by_place.setdefault(change.place, {})[change.row - 1] = change.value
    for place, values in by_place.items():
        column = read.schema.field(place)
        cells = [values.get(row, cell) for row, cell in enumerate(read.column(place).to_pylist())]
        read = read.set_column(place, column, pa.array(cells, type=column.type))
    made = io.BytesIO()
    pq.write_table(read, made)
    return made.getvalue()


_WRITERS = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".xlsx": _xlsx, ".parquet": _parquet}


def _check(
    made: bytes,
    ending: str,
    to: Path,
    dataset: Dataset,
    feature_set: FeatureSet,
    corrections: Sequence[Correction],
) -> None:
    """Read back what is to be written: every label as wanted, every text as before."""
    again = read_bytes(made, ending, str(to), feature_set)
    wanted: dict[str, dict[str, bool | None]] = {t.id: dict(t.labels) for t in dataset}
    for c in corrections:
        wanted[c.id][c.feature] = c.after
    if _content(again, {t.id: t.labels for t in again}) != _content(dataset, wanted):
        raise CheckFailed(
            f"{to}: the corrected file would not read back as it should, so it was not written. In a workbook, formulas do "
            "that: save it with values only, or as CSV"
        )


def _content(dataset: Dataset, labels: Mapping[str, Mapping[str, bool | None]]) -> list[tuple[object, ...]]:
    return [(t.id, t.text, t.english, t.group, t.part, dict(labels[t.id]), dict(t.extra)) for t in dataset]


def _list(corrections: Sequence[Correction]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("sheet_row", "id", "feature", "before", "after", "changed", "comment"))
    writer.writerows((c.row, c.id, c.feature, c.before, c.after, c.after != c.before, c.comment) for c in corrections)
    return text.getvalue().encode("utf-8")
