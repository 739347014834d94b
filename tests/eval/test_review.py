"""The review sheet: written, filled in, read back, and its labels put into a new data file of any kind."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import openpyxl  # type: ignore[import-untyped]
import pandas as pd
import pytest

from balin.data.readers import read_dataset
from balin.data.transcripts import Dataset
from balin.errors import CheckFailed, DataError, InputError
from balin.eval.correction import write_corrected
from balin.eval.metrics import MISSING, TRUE, AnswerTable
from balin.eval.review import Correction, read_review, review_rows, write_review
from balin.eval.shown import Selection, select

sys.path.append(str(Path(__file__).parent))
from calls import SET, calls_file  # type: ignore[import-not-found]
from invented_arms import invented_run  # type: ignore[import-not-found]

ENDINGS = (".csv", ".xlsx")


def arms(*answers: list[list[int]], p: float = np.nan) -> Selection:
    """Arms that gave these codes for pain and fever of c0, c1, …; gold is pain yes, fever no."""
    runs = []
    for given in answers:
        state = np.array(given, dtype=np.int8)
        gold = np.tile(np.array([1, 0], dtype=np.int8), (len(given), 1))
        ids = tuple(f"c{i}" for i in range(len(given)))
        table = AnswerTable(ids, (None,) * len(ids), ("pain", "fever"), gold, state, np.full(state.shape, p))
        runs.append((invented_run(len(runs)), table))
    return select(runs, resamples=0)


def test_only_what_every_arm_gets_wrong_is_in_the_sheet_and_missing_counts_as_false() -> None:
    columns, rows = review_rows(arms([[0, 1], [MISSING, MISSING], [1, 0]], [[0, 0], [0, 1], [0, 1]]))
    assert columns == [
        "id", "feature", "gold", "A: answer", "A: p_true", "B: answer", "B: p_true", "correct label", "comment",
    ]  # fmt: skip
    assert rows == [
        ["c0", "pain", "True", "false", "", "false", "", "", ""],
        ["c1", "pain", "True", "missing", "", "false", "", "", ""],
    ]


def test_the_surest_contradiction_comes_first() -> None:
    selection = arms([[0, TRUE], [0, TRUE]])
    p = selection.arms[0].table.p_true
    p[:] = [[0.4, 0.9], [0.05, 0.6]]
    _, rows = review_rows(selection)
    assert [row[:2] for row in rows] == [["c1", "pain"], ["c0", "fever"], ["c0", "pain"], ["c1", "fever"]]


def test_the_text_is_there_only_when_given() -> None:
    columns, rows = review_rows(arms([[0, 0]]), {"c0": "the call"})
    assert columns[-3:] == ["text", "correct label", "comment"]
    assert rows[0][-3] == "the call"


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """c0 … c5; c0 has the first feature of the set, c1 lacks it."""
    return read_dataset(calls_file(tmp_path, 6), SET)


FIRST = SET.ids[0]


def sheet(path: Path, rows: list[list[object]], columns: str = "id,feature,gold,correct label,comment") -> Path:
    write_review(path, columns.split(","), rows)
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_sheet_comes_back_with_rows_words_and_comments(data: Dataset, tmp_path: Path, ending: str) -> None:
    path = sheet(
        tmp_path / f"s{ending}",
        [
            ["c0", FIRST, "True", "خیر", "=1+1"],
            ["c1", FIRST, "False", "", ""],
            ["c2", FIRST, "False", "no", ""],
            ["c3", FIRST, "True", "False", "over"],
        ],
    )
    assert read_review(path, data) == [
        Correction(2, "c0", FIRST, True, False, "=1+1"),
        Correction(4, "c2", FIRST, False, False, ""),
        Correction(5, "c3", FIRST, True, False, "over"),
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_spreadsheets_own_booleans_and_semicolons_are_read(data: Dataset, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "feature", "gold", "correct label"])
    book.active.append(["c0", FIRST, True, False])
    book.save(tmp_path / "s.xlsx")
    assert [c.after for c in read_review(tmp_path / "s.xlsx", data)] == [False]
    (tmp_path / "s.csv").write_text(f"id;feature;gold;correct label\nc0;{FIRST};WAHR;\nc0;{FIRST};True;nein\n")
    assert [c.after for c in read_review(tmp_path / "s.csv", data)] == [False]


def test_an_id_that_looks_like_a_formula_stays_a_text(tmp_path: Path) -> None:
    write_review(tmp_path / "s.xlsx", ["id"], [["=1+1"]])
    cell = openpyxl.load_workbook(tmp_path / "s.xlsx").active["A2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")


def test_every_fault_is_named_with_its_row_and_nothing_is_taken(data: Dataset, tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "s.csv",
        [
            ["c0", FIRST, "True", "perhaps", ""],
            ["c99", FIRST, "True", "no", ""],
            ["c0", "gout", "True", "no", ""],
            ["c1", FIRST, "True", "no", ""],
            ["c3", FIRST, "True", "no", ""],
            ["c3", FIRST, "True", "yes", ""],
        ],
    )
    with pytest.raises(DataError) as raised:
        read_review(path, data)
    _, *faults = str(raised.value).splitlines()
    assert [fault.strip().split(":")[0] for fault in faults] == ["row 2", "row 3", "row 4", "row 5", "row 7"]
    for fault, said in zip(
        faults, ("'perhaps'", "'c99' is not in", "'gout'", "other data", "row 6 gives"), strict=True
    ):
        assert said in fault


def test_a_sheet_without_its_columns_or_of_another_kind_is_refused(data: Dataset, tmp_path: Path) -> None:
    path = sheet(tmp_path / "s.csv", [["c0", "False"]], "id,correct label")
    with pytest.raises(DataError, match="no column 'feature', 'gold'"):
        read_review(path, data)
    with pytest.raises(InputError, match=r"\.csv or \.xlsx"):
        write_review(tmp_path / "s.ods", ["id"], [])


def as_kind(csv_file: Path, ending: str) -> Path:
    """The same rows in another kind of file; labels are booleans where the kind has them."""
    path = csv_file.with_suffix(ending)
    frame = pd.read_csv(csv_file, keep_default_na=False)
    if ending == ".tsv":
        frame.to_csv(path, sep="\t", index=False)
    elif ending == ".xlsx":
        frame.to_excel(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path, index=False)
    elif ending == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records")]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx", ".parquet", ".jsonl"])
def test_a_new_file_of_the_same_kind_has_the_corrected_labels_and_all_else(tmp_path: Path, ending: str) -> None:
    path = as_kind(calls_file(tmp_path, 6, group="p1"), ending)
    before = path.read_bytes()
    data = read_dataset(path, SET)
    wanted = [
        Correction(2, "c0", FIRST, True, False, "it is over"),
        Correction(3, "c4", SET.ids[5], True, False, ""),
        Correction(4, "c1", FIRST, False, False, "confirmed"),
    ]
    listed = write_corrected(str(path), data, SET, wanted, tmp_path / f"new{ending}")
    assert path.read_bytes() == before
    again = read_dataset(tmp_path / f"new{ending}", SET)
    assert again.sha256 != data.sha256
    changed = {(t.id, f) for t in data for f in SET.ids if t.labels[f] != again.by_id[t.id].labels[f]}
    assert changed == {("c0", FIRST), ("c4", SET.ids[5])}
    assert [(t.text, t.english, t.group) for t in again] == [(t.text, t.english, t.group) for t in data]
    rows = list(csv.DictReader(listed.read_text(encoding="utf-8").splitlines()))
    assert [(r["id"], r["after"], r["changed"], r["comment"]) for r in rows] == [
        ("c0", "False", "True", "it is over"),
        ("c4", "False", "True", ""),
        ("c1", "False", "False", "confirmed"),
    ]
    assert (tmp_path / f"new{ending}").stat().st_mode & 0o777 == 0o600


def test_a_csv_file_keeps_its_delimiter_mark_spelling_and_unusable_rows(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_bytes('\ufeffid;text;com_pain;note\r\na;"one\r\ntwo";ja;x\r\nb;three;nein;\r\nragged\r\n'.encode())
    data = read_dataset(path, SET)
    write_corrected(str(path), data, SET, [Correction(2, "a", "pain", True, False, "")], tmp_path / "new.csv")
    expected = path.read_bytes().replace(b"ja", b"nein")
    assert (tmp_path / "new.csv").read_bytes() == expected


def test_other_lines_of_a_jsonl_file_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    lines = ['{"id":"a", "text":"one","pain":1}', '{"id":"b","text":"two",   "pain":0}', ""]
    path.write_text("\n".join(lines))
    write_corrected(
        str(path), read_dataset(path, SET), SET, [Correction(2, "a", "pain", True, False, "")], tmp_path / "n.jsonl"
    )
    new = (tmp_path / "n.jsonl").read_text().split("\n")
    assert new[1:] == lines[1:]
    assert json.loads(new[0]) == {"id": "a", "text": "one", "pain": 0}


def test_a_file_that_is_there_or_ends_otherwise_is_not_written(data: Dataset, tmp_path: Path) -> None:
    change = [Correction(2, "c0", FIRST, True, False, "")]
    with pytest.raises(InputError, match="choose another name"):
        write_corrected(data.name, data, SET, change, Path(data.name))
    with pytest.raises(InputError, match=r"must end in \.csv"):
        write_corrected(data.name, data, SET, change, tmp_path / "new.xlsx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.csv"]


def test_a_workbook_whose_formulas_would_lose_their_results_is_not_written(tmp_path: Path) -> None:
    import io
    import zipfile

    book = openpyxl.Workbook()
    book.active.append(["id", "text", "pain"])
    book.active.append(["=CONCATENATE(1,2)", "one", True])
    buffer = io.BytesIO()
    book.save(buffer)
    path = tmp_path / "calls.xlsx"
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            # openpyxl writes no results; a spreadsheet program does.
            part = part.replace(b"<v></v>", b"<v>12</v>").replace(b"<v />", b"<v>12</v>").replace(b"<v/>", b"<v>12</v>")
            new.writestr(name, part)
    data = read_dataset(path, SET)
    assert [t.id for t in data] == ["12"]
    with pytest.raises(CheckFailed, match="formulas"):
        write_corrected(str(path), data, SET, [Correction(2, "12", "pain", True, False, "")], tmp_path / "new.xlsx")
    assert not (tmp_path / "new.xlsx").exists()
