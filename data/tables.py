"""The four file formats, each as column names and rows of raw cells with their place in the file.

Nothing in a file is ever run: no pickles, no macros, no formulas (a workbook's stored results are read; Parquet needs
pyarrow 14.0.1 or later, whose extension types are plain data).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, NoReturn

from ..errors import DataError

ENDINGS = (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl")
DELIMITERS = (",", ";", "\t")

# Longer "names" in a header are texts: the file has no header.
_NAME_WORDS = 6
_NAME_LENGTH = 100

# A file read as windows-1256 that was not written so has at most about half Arabic letters among its non-ASCII characters.
_CP1256_SHARE = 0.8
_ARABIC = re.compile(r"[\u0600-\u06ff\u200c\u200d]")
_ARABIC_WORD = re.compile(r"[\u0620-\u06ff]{3}")


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        row: Its place, from 1, as `Transcript.row`.
        values: One raw cell a column; empty where the row cannot be read.
        problem: (kind, reason) where the row cannot be read, else None.
    """

    row: int
    values: tuple[Any, ...] = ()
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Column names in the file's order, and the rows that are not wholly blank."""

    columns: tuple[str, ...]
    records: tuple[Record, ...]


def read_table(data: bytes, ending: str, name: str, recognised: Callable[[Sequence[str]], int]) -> Table:
    """Read a file's bytes.

    Args:
        data: The bytes.
        ending: One of `ENDINGS`.
        name: The file's name, for errors.
        recognised: How many of some column names are known; finds the delimiter of a CSV file.

    Raises:
        DataError: The file as a whole cannot be read, or its ending is unknown.
    """
    if ending == ".csv":
        return _csv(data, name, DELIMITERS, recognised)
    if ending == ".tsv":
        return _csv(data, name, ("\t",), recognised)
    if ending == ".jsonl":
        return _jsonl(data, name)
    if ending == ".xlsx":
        return _xlsx(data, name)
    if ending == ".parquet":
        return _parquet(data, name)
    old = " (an old Excel file: save it as .xlsx)" if ending == ".xls" else ""
    raise DataError(
        f"{name}: files ending in {ending or 'nothing'!r} cannot be read{old}; use one of {', '.join(ENDINGS)}"
    )


def as_text(value: object) -> str | None:
    """A cell as a text: "" for a blank, no ".0" on whole numbers; None where a cell holds a list or another structure."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | Decimal):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return None


def shown_name(column: str) -> str:
    """A column's name for a message; not shown where it may be a text, as in a file without a header."""
    words = len(column.split())
    return repr(column) if words <= _NAME_WORDS and len(column) <= _NAME_LENGTH else f"(a name of {words} words)"


def _csv(data: bytes, name: str, delimiters: Sequence[str], recognised: Callable[[Sequence[str]], int]) -> Table:
    try:
        text = _decode(data, name)
    except UnicodeDecodeError as error:
        delimiter = _delimiter(data.decode("utf-8-sig", "replace"), name, delimiters, recognised)
        # The row that holds the byte: one more character stands for it, where a row would begin with it.
        before = io.StringIO(data[: error.start].decode("utf-8-sig") + "x", newline="")
        try:
            where = f"row {sum(1 for _ in csv.reader(before, delimiter=delimiter))}"
        except csv.Error:
            where = _line_of(data, error.start)
        raise _not_utf8(data, name, where, error.start) from None
    delimiter = _delimiter(text, name, delimiters, recognised)
    columns: tuple[str, ...] = ()
    records: list[Record] = []
    for row, cells in _csv_rows(text, delimiter, name):
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = _names(cells, name)
        elif len(cells) != len(columns):
            hint = "; is a text with a delimiter in it not quoted?" if len(cells) > len(columns) else ""
            reason = f"the row has {len(cells)} cells and the header has {len(columns)}{hint}"
            records.append(Record(row, problem=("ragged_row", reason)))
        else:
            records.append(Record(row, tuple(cells)))
    return Table(columns, tuple(records))


def _csv_rows(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows numbered as a spreadsheet does: a line break inside quotes does not make a new row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    while True:
        row += 1
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{name}: row {row}, which begins in line {line}, is not valid CSV ({error}); "
                'is a quotation mark not closed, or not doubled ("") inside a text?'
            ) from None
        yield row, cells


def _delimiter(text: str, name: str, delimiters: Sequence[str], recognised: Callable[[Sequence[str]], int]) -> str:
    """The delimiter that makes the most of the header: first in known names, then in columns."""
    headers = {delimiter: _first(text, delimiter, name) for delimiter in delimiters}
    return max(delimiters, key=lambda d: (recognised(headers[d]), len(headers[d])))


def _first(text: str, delimiter: str, name: str) -> list[str]:
    """The header, as this delimiter makes it; another delimiter's quotation marks are no fault yet."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in cells):
                return cells
    except csv.Error:
        return []
    raise DataError(f"{name}: the file is empty")


def _decode(data: bytes, name: str) -> str:
    """UTF-8, with or without a byte-order mark.

    Raises:
        DataError: The file is UTF-16.
        UnicodeDecodeError: It is not UTF-8; `start` is the byte's place in the file.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{name}: byte 0: the file is UTF-16, not UTF-8; save as UTF-8 (in Excel: CSV UTF-8) and try again"
        )
    return data.decode("utf-8").removeprefix("\ufeff")


def _not_utf8(data: bytes, name: str, where: str, start: int) -> DataError:
    hint = "; it looks like windows-1256 (Arabic)" if _looks_like_cp1256(data) else ""
    return DataError(f"{name}: {where}: not UTF-8 at byte {start}{hint}; save as UTF-8 and try again")


def _line_of(data: bytes, start: int) -> str:
    line = data.count(b"\n", 0, start) + 1
    return f"line {line}"


def _looks_like_cp1256(data: bytes) -> bool:
    text = data[: 1 << 20].decode("cp1256", "ignore")
    foreign = sum(c > "\x7f" for c in text)
    return bool(_ARABIC_WORD.search(text)) and len(_ARABIC.findall(text)) >= _CP1256_SHARE * foreign


def _names(cells: Sequence[Any], name: str) -> tuple[str, ...]:
    """Column names, stripped; a column without one is called by its number. Two of the same name are refused."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        text = (as_text(cell) or "").strip() or f"column {number}"
        if text in names:
            raise DataError(f"{name}: two columns are called {shown_name(text)}; rename or remove one")
        names.append(text)
    return tuple(names)


def _xlsx(data: bytes, name: str) -> Table:
    import openpyxl  # type: ignore[import-untyped]

    columns: tuple[str, ...] = ()
    records: list[Record] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's remarks on styles and extensions that carry no data
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some programs write a wrong size, and read-only mode believes it
            rows = [
                (row, [_xlsx_cell(c.value, c.number_format) for c in cells])
                for row, cells in enumerate(sheet.iter_rows(), start=1)
            ]
            book.close()
    except Exception as error:  # openpyxl lets whatever its XML and ZIP readers raise through
        raise DataError(
            f"{name}: is not a readable .xlsx workbook ({type(error).__name__}); save it again as .xlsx"
        ) from None
    for row, cells in rows:
        while cells and (cells[-1] is None or cells[-1] == ""):
            cells.pop()
        if not any((as_text(cell) or "").strip() for cell in cells):
            continue
        if not columns:
            columns = _names(cells, name)
        elif len(cells) > len(columns):
            reason = f"the row has {len(cells)} cells and the header has {len(columns)}"
            records.append(Record(row, problem=("ragged_row", reason)))
        else:
            records.append(Record(row, (*cells, *(None,) * (len(columns) - len(cells)))))
    if not columns:
        raise DataError(f"{name}: the first sheet is empty")
    return Table(columns, tuple(records))


def _xlsx_cell(value: object, number_format: object) -> object:
    """The value; a whole number shown with leading zeros (format "000") as it is shown."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = str(number_format)
        if len(shown) > 1 and set(shown) == {"0"} and float(value).is_integer() and value >= 0:
            return str(int(value)).zfill(len(shown))
    return value


def _parquet(data: bytes, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    records: list[Record] = []
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        columns = _names(file.schema_arrow.names, name)
        for batch in file.iter_batches():
            first = len(records) + 1
            values = (_values(column, name, place, first) for place, column in zip(columns, batch.columns, strict=True))
            rows = zip(*values, strict=True)
            records.extend(Record(row, values) for row, values in enumerate(rows, start=len(records) + 1))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: is not a readable Parquet file ({type(error).__name__})") from None
    return Table(columns, tuple(records))


def _values(column: Any, name: str, place: str, first: int) -> list[Any]:
    """A column of a batch as Python values; `first` is the number of its first row.

    Raises:
        DataError: One of them is none, as a date that no calendar has, or bytes that are no UTF-8.
    """
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        for row, cell in enumerate(column, start=first):
            try:
                cell.as_py()
            except (ValueError, OverflowError) as error:
                raise DataError(
                    f"{name}: row {row}, column {shown_name(place)}: its value cannot be read ({type(error).__name__}); "
                    "mend it, or leave the column out"
                ) from None
        raise


def _jsonl(data: bytes, name: str) -> Table:
    try:
        text = _decode(data, name)
    except UnicodeDecodeError as error:
        raise _not_utf8(data, name, _line_of(data, error.start), error.start) from None
    columns: dict[str, None] = {}
    found: list[tuple[int, dict[str, Any] | tuple[str, str]]] = []
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        entry = _json_line(line)
        if isinstance(entry, dict):
            columns.update(dict.fromkeys(entry))
        found.append((row, entry))
    if found and not columns:
        first, problem = found[0]
        reason = "it has no columns" if isinstance(problem, dict) else problem[1]
        raise DataError(f"{name}: no line is a JSON object with columns; line {first}: {reason}")
    records = tuple(
        Record(row, tuple(entry.get(column) for column in columns))
        if isinstance(entry, dict)
        else Record(row, problem=entry)
        for row, entry in found
    )
    return Table(tuple(columns), records)


def _json_line(line: str) -> dict[str, Any] | tuple[str, str]:
    """The object of one line, or (kind, reason)."""
    try:
        entry = json.loads(line, object_pairs_hook=_object, parse_constant=_refuse)
    except _TwiceError as error:
        return "not_json", f"the key {str(error)[:40]!r} is given twice in this line"
    except json.JSONDecodeError as error:
        return "not_json", f"the line is not valid JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError):
        return "not_json", "the line is not valid JSON: a number or a nesting that JSON does not allow"
    if not isinstance(entry, dict):
        return "not_json", "the line is JSON but not an object of column names and values"
    return entry


class _TwiceError(ValueError):
    """A key that one JSON object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
