"""The review sheet: answers in which every arm contradicts the label, to be judged by a person, and the sheet read back.

One row an answer: id, feature, gold, what each arm said with its P(true), the text where it was asked for, and two empty
columns, `correct label` and `comment`. Where arms of different kinds all contradict a label, the label may be the error.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.files import replacing, write_private
from ..data.readers import read_label
from ..data.tables import Table, as_text, read_table
from ..data.transcripts import Dataset
from ..errors import DataError, InputError
from .error_profile import is_wrong
from .metrics import STATE_CODES
from .shown import Selection

ID, FEATURE, GOLD, TEXT, CORRECT, COMMENT = "id", "feature", "gold", "text", "correct label", "comment"
ENDINGS = (".csv", ".xlsx")
_NEEDED = (ID, FEATURE, GOLD, CORRECT)
_SHOWN = 10  # faults that a message lists
_LONGEST = 20  # characters of a wrong value that a message may show
_CELL = 32_767  # characters that a cell of a workbook can hold
_STATES = {code: state.value for state, code in STATE_CODES.items()}


@dataclass(frozen=True, slots=True)
class Correction:
    """A filled row of a sheet.

    Attributes:
        row: Its row in the sheet, the header being row 1.
        id: The transcript.
        feature: The feature's id.
        before: The label in the data.
        after: The label that the person gave; may be the same.
        comment: What the person wrote.
    """

    row: int
    id: str
    feature: str
    before: bool
    after: bool
    comment: str


def review_rows(selection: Selection, texts: Mapping[str, str] | None = None) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the sheet: those on which all arms are wrong, the surest of their error first.

    Args:
        selection: The arms; they share transcripts and labels.
        texts: Transcript text by id, if it is to be there.
    """
    tables = [arm.table for arm in selection.arms]
    first = tables[0]
    everywhere = np.all([is_wrong(table) for table in tables], axis=0)
    against = np.stack([np.where(first.gold == 1, 1 - t.p_true, t.p_true) for t in tables])
    known = ~np.isnan(against)
    sure = np.where(known, against, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    cells = sorted(np.argwhere(everywhere).tolist(), key=lambda cell: -sure[cell[0], cell[1]])
    columns = [ID, FEATURE, GOLD]
    columns += [f"{arm.letter}: {what}" for arm in selection.arms for what in ("answer", "p_true")]
    columns += [*([TEXT] if texts is not None else []), CORRECT, COMMENT]
    rows: list[list[Any]] = []
    for i, j in cells:
        said = [cell for t in tables for cell in (_STATES[int(t.state[i, j])], _probability(t.p_true[i, j]))]
        text = [texts.get(first.ids[i], "")] if texts is not None else []
        rows.append([first.ids[i], first.features[j], _word(bool(first.gold[i, j])), *said, *text, "", ""])
    return columns, rows


def write_review(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a sheet, as CSV or XLSX by its ending, in one step, mode 0600.

    Raises:
        InputError: Another ending, a text too long for a workbook, or the file cannot be written.
    """
    check_ending(path)
    if path.suffix.casefold() == ".csv":
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *rows])
        # With a byte-order mark, or spreadsheets take UTF-8 for something else.
        write_private(path, text.getvalue().encode("utf-8-sig"))
        return
    _write_workbook(path, columns, rows)


def check_ending(path: Path) -> None:
    """Refuse a name that is no sheet's.

    Raises:
        InputError: It ends neither in .csv nor in .xlsx.
    """
    if path.suffix.casefold() not in ENDINGS:
        raise InputError(f"{path}: a review sheet ends in {' or '.join(ENDINGS)}")


def read_review(path: Path, dataset: Dataset) -> list[Correction]:
    """The filled rows of a sheet, in its order; rows without a correct label are passed over.

    Args:
        path: The sheet.
        dataset: The data whose labels it corrects.

    Raises:
        InputError: Another ending.
        DataError: The sheet cannot be read, lacks a column, or does not fit the data; every fault is named with its row.
    """
    check_ending(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    table = read_table(data, path.suffix.casefold(), str(path), lambda columns: sum(c in _NEEDED for c in columns))
    lacking = [name for name in _NEEDED if name not in table.columns]
    if lacking:
        raise DataError(f"{path}: no column {', '.join(map(repr, lacking))}; keep the columns that the sheet came with")
    found, faults = _corrections(table, dataset)
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        listed = "".join(f"\n  {fault}" for fault in faults[:_SHOWN])
        raise DataError(f"{path}: {len(faults)} rows cannot be used, and nothing was changed:{listed}{more}")
    return found


def _corrections(table: Table, dataset: Dataset) -> tuple[list[Correction], list[str]]:
    found: dict[tuple[str, str], Correction] = {}
    faults: list[str] = []
    for record in table.records:
        try:
            if record.problem is not None:
                raise ValueError(record.problem[1])
            values = dict(zip(table.columns, ((as_text(v) or "").strip() for v in record.values), strict=True))
            made = _correction(record.row, values, dataset)
            if made is None:
                continue
            known = found.setdefault((made.id, made.feature), made)
            if known.after != made.after:
                raise ValueError(f"row {known.row} gives this answer another correct label")
        except ValueError as error:
            faults.append(f"row {record.row}: {error}")
    return list(found.values()), faults


def _correction(row: int, values: Mapping[str, str], dataset: Dataset) -> Correction | None:
    """One row.

    Raises:
        ValueError: It does not fit the data, or a label is unknown.
    """
    if not values[CORRECT]:
        return None
    after, gold = _label(values, CORRECT), _label(values, GOLD)
    transcript = dataset.by_id.get(values[ID])
    if transcript is None:
        raise ValueError(
            f"the id {values[ID][:_LONGEST]!r} is not in {dataset.name} (a spreadsheet may have changed it)"
        )
    if values[FEATURE] not in dataset.labelled:
        raise ValueError(f"{dataset.name} has no column for the feature {values[FEATURE][:_LONGEST]!r}")
    before = transcript.labels[values[FEATURE]]
    if before is None or before != gold or after is None:
        now = "blank" if before is None else _word(before)
        raise ValueError(f"the label in {dataset.name} is {now}, not the sheet's gold; the sheet is of other data")
    return Correction(row, transcript.id, values[FEATURE], before, after, values.get(COMMENT, ""))


def _label(values: Mapping[str, str], column: str) -> bool | None:
    try:
        return read_label(values[column])
    except ValueError:
        text = values[column]
        shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
        raise ValueError(f"column {column!r} holds {shown!r}; use True or False, 1 or 0, yes or no, or blank") from None


def _write_workbook(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    import openpyxl  # type: ignore[import-untyped]

    book = openpyxl.Workbook()
    sheet = book.active
    for number, row in enumerate([columns, *rows], start=1):
        for place, value in enumerate(row, start=1):
            if isinstance(value, str) and len(value) > _CELL:
                raise InputError(f"{path}: the text of {row[0]} is too long for a workbook's cell; write a .csv")
            cell = sheet.cell(number, place)
            cell.value = value if value != "" else None
            if isinstance(value, str) and value:
                # An id that begins with "=" is a text and no formula.
                cell.data_type = "s"
    sheet.freeze_panes = "A2"
    with replacing(path) as temporary:
        book.save(temporary)


def _probability(value: float) -> float | str:
    return "" if np.isnan(value) else round(float(value), 4)


def _word(label: bool) -> str:
    return str(label)
