"""The table of answers in each format: what was answered is what is read back, and no cell is run."""

from __future__ import annotations

import csv
import json
import stat
from typing import Any

import openpyxl  # type: ignore[import-untyped]
import pandas as pd
import pytest

from balin.deployment.output import check_output, columns, write_answers
from balin.errors import InputError
from balin.signatures.answers import ERROR, MISSING, Answer

FEATURES = ("pain", "fever")
ROWS = [
    ("001", {"pain": Answer.of(True, 0.98765432), "fever": Answer.of(False, 0.25)}),
    ("=1+1", {"pain": MISSING, "fever": ERROR}),
    ('a,"b"\nس', {"pain": Answer.of(False), "fever": Answer.of(True)}),
]
NAMES = ["id", "pain", "pain_state", "pain_p", "fever", "fever_state", "fever_p"]
EXPECTED: list[list[Any]] = [
    ["001", True, "true", 0.987654, False, "false", 0.25],
    ["=1+1", None, "missing", None, None, "error", None],
    ['a,"b"\nس', False, "false", None, True, "true", None],
]


@pytest.fixture(params=["csv", "tsv", "xlsx", "parquet", "jsonl"])
def written(request, tmp_path):
    path = tmp_path / f"out.{request.param.upper() if request.param == 'csv' else request.param}"
    write_answers(path, FEATURES, ROWS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


def test_what_was_answered_is_read_back(written):
    kind = written.suffix.casefold()
    if kind in (".csv", ".tsv"):
        with written.open(encoding="utf-8", newline="") as file:
            names, *rows = list(csv.reader(file, delimiter="\t" if kind == ".tsv" else ","))
        assert names == NAMES
        shown = {True: "true", False: "false", None: ""}
        assert rows == [[shown.get(c, str(c)) if not isinstance(c, float) else str(c) for c in row] for row in EXPECTED]
    elif kind == ".jsonl":
        objects = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
        assert [list(o) for o in objects] == [NAMES] * 3
        assert [list(o.values()) for o in objects] == EXPECTED
    elif kind == ".xlsx":
        sheet = openpyxl.load_workbook(written)["answers"]
        names, *rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        assert (names, rows) == (NAMES, EXPECTED)
        assert sheet["A3"].data_type == "s"
    else:
        frame = pd.read_parquet(written, dtype_backend="numpy_nullable")
        assert list(frame.columns) == NAMES
        assert [[None if pd.isna(c) else c for c in row] for row in frame.itertuples(index=False)] == EXPECTED


def test_a_file_without_rows_has_its_columns(tmp_path):
    for name in ("e.csv", "e.parquet", "e.xlsx"):
        write_answers(tmp_path / name, FEATURES, [])
    assert (tmp_path / "e.csv").read_text().splitlines() == [",".join(NAMES)]
    assert list(pd.read_parquet(tmp_path / "e.parquet").columns) == NAMES


@pytest.mark.parametrize("name", ["out", "out.xls", "out.txt", "folder.csv"])
def test_what_cannot_be_written_is_refused_before_anything_is_asked(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="--out"):
        check_output(tmp_path / name, FEATURES)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(InputError, match="pain_state"):
        columns(("pain", "pain_state"))


def test_what_a_sheet_cannot_hold_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "out.xlsx"
    write_answers(path, FEATURES, ROWS)
    old = path.read_bytes()
    for identifier in ("bell\x07", "x" * 40_000):
        with pytest.raises(InputError, match=r"transcript 1 cannot stand in a cell") as error:
            write_answers(path, FEATURES, [(identifier, ROWS[0][1])])
        assert identifier not in str(error.value)
    assert path.read_bytes() == old
    assert [f.name for f in tmp_path.iterdir()] == ["out.xlsx"]
    with pytest.raises(InputError, match="features are too many"):
        check_output(path, [f"f{n}" for n in range(6000)])
