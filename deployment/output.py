"""The table of answers as a file: CSV, TSV, XLSX, Parquet or JSONL, one row a transcript, no text.

For each feature three columns: its id with true, false or nothing; `<id>_state` with true, false, missing or error, which
tells the two kinds of nothing apart; and `<id>_p`, P(true), where the format gives it.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.files import replacing
from ..errors import InputError
from ..signatures.answers import Answer

# Digits of P(true) that are kept: more than any model is exact to.
DIGITS = 6
# What a sheet of Excel holds.
_SHEET_ROWS, _SHEET_COLUMNS, _CELL = 1_048_576, 16_384, 32_767

Row = tuple[str, Mapping[str, Answer]]
Cells = list[Any]


def columns(features: Sequence[str]) -> list[str]:
    """The names of the columns.

    Raises:
        InputError: Two columns would have one name.
    """
    names = ["id", *(name for f in features for name in (f, f"{f}_state", f"{f}_p"))]
    twice = sorted(n for n, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(
            f"the column {twice[0]!r} would stand for two things: a feature's answer, and the state or probability of another; "
            "give that feature another id"
        )
    return names


def check_output(path: Path, features: Sequence[str]) -> None:
    """Refuse what could not be written at the end, before anything is asked.

    Raises:
        InputError: An unknown ending, a folder, or columns that do not fit.
    """
    if path.suffix.casefold() not in _WRITERS:
        raise InputError(f"--out {path}: its ending must be one of {', '.join(_WRITERS)}")
    if path.is_dir():
        raise InputError(f"--out {path}: is a folder; name a file")
    if len(columns(features)) > _SHEET_COLUMNS and path.suffix.casefold() == ".xlsx":
        raise InputError(f"--out {path}: {len(features)} features are too many for .xlsx; use .csv or .parquet")


def check_ids(path: Path, ids: Sequence[str]) -> None:
    """Refuse ids that could not be written at the end, before anything is asked.

    Raises:
        InputError: A sheet cannot hold so many, or one of them.
    """
    if path.suffix.casefold() != ".xlsx":
        return
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # type: ignore[import-untyped]

    if len(ids) >= _SHEET_ROWS:
        raise InputError(f"--out {path}: {len(ids)} rows are too many for a sheet of .xlsx; use .csv or .parquet")
    for number, identifier in enumerate(ids, start=1):
        if len(identifier) > _CELL or ILLEGAL_CHARACTERS_RE.search(identifier):
            raise InputError(
                f"--out {path}: the id of transcript {number} cannot stand in a cell of .xlsx; use .csv or .parquet"
            )


def write_answers(path: Path, features: Sequence[str], rows: Iterable[Row]) -> None:
    """Write the table in one step, for its owner's eyes only, in the format of the file's ending.

    Raises:
        InputError: The ending is unknown, the file cannot be written, or a sheet cannot hold it.
    """
    check_output(path, features)
    rows = list(rows)
    # Before a sheet is begun: a half-written one complains when it is thrown away.
    check_ids(path, [identifier for identifier, _ in rows])
    names = columns(features)
    with replacing(path) as temporary:
        _WRITERS[path.suffix.casefold()](temporary, names, [_cells(features, row) for row in rows])


def _cells(features: Sequence[str], row: Row) -> Cells:
    identifier, answers = row
    cells: Cells = [identifier]
    for feature in features:
        answer = answers[feature]
        p = None if answer.p_true is None else round(answer.p_true, DIGITS)
        cells += [answer.value, answer.state.value, p]
    return cells


def _csv(path: Path, names: Sequence[str], rows: Sequence[Cells], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([str(c).lower() if isinstance(c, bool) else c for c in row] for row in rows)


def _tsv(path: Path, names: Sequence[str], rows: Sequence[Cells]) -> None:
    _csv(path, names, rows, "\t")


def _jsonl(path: Path, names: Sequence[str], rows: Sequence[Cells]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False) + "\n")


def _parquet(path: Path, names: Sequence[str], rows: Sequence[Cells]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [pa.string(), *(pa.bool_(), pa.string(), pa.float64()) * ((len(names) - 1) // 3)]
    arrays = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
    pq.write_table(pa.table(arrays, names=list(names)), path)


def _xlsx(path: Path, names: Sequence[str], rows: Sequence[Cells]) -> None:
    from openpyxl import Workbook  # type: ignore[import-untyped]
    from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("answers")
    sheet.append(list(names))
    for identifier, *cells in rows:
        cell = WriteOnlyCell(sheet, identifier)
        # An id that begins with "=" is a text and no formula.
        cell.data_type = "s"
        sheet.append([cell, *cells])
    workbook.save(path)


_WRITERS: dict[str, Callable[[Path, Sequence[str], Sequence[Cells]], None]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
