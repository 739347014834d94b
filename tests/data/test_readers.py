from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.data.readers import FALSE, TRUE, read_bytes, read_dataset, read_label, write_rejects
from balin.data.transcripts import Dataset, Reject
from balin.errors import DataError, InputError
from balin.signatures.features import FeatureSet, load_feature_set

SECRET = "بیمار تب دارد و راز او این است"
PALLIATIVE = load_feature_set("palliative13")
STUDY = ["id", "medical_history", "medical_history_en", *(f.columns[0] for f in PALLIATIVE)]


def as_csv(rows: list[list[str]], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def read(data: bytes | str, ending: str = ".csv", features: FeatureSet = PALLIATIVE, **kwargs: object) -> Dataset:
    return read_bytes(data.encode() if isinstance(data, str) else data, ending, "f" + ending, features, **kwargs)


# Columns


def test_the_studys_own_columns() -> None:
    labels = ["True", "False"] * 6 + ["True"]
    data = read(as_csv([STUDY, ["007", SECRET, "The patient has fever.", *labels], ["8", "تب", "", *[""] * 13]]))
    assert data.labelled == PALLIATIVE.ids
    first, second = data
    assert (first.id, first.text, first.english) == ("007", SECRET, "The patient has fever.")
    assert list(first.labels) == list(PALLIATIVE.ids)
    assert [first.labels[i] for i in PALLIATIVE.ids] == [label == "True" for label in labels]
    assert first.extra == {}
    assert second.english is None
    assert set(second.labels.values()) == {None}


def test_a_round_trip_of_the_studys_file_through_every_format(tmp_path: Path) -> None:
    rows = [[str(i), f"متن {i}", f"text {i}", *(str((i + j) % 3 == 0) for j in range(13))] for i in range(1, 8)]
    frame = pd.DataFrame(rows, columns=STUDY)
    typed = frame.assign(**{c: frame[c] == "True" for c in STUDY[3:]}, id=frame["id"].astype(int))
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.tsv", index=False, sep="\t")
    typed.to_excel(tmp_path / "c.xlsx", index=False)
    typed.to_parquet(tmp_path / "d.parquet")
    typed.to_json(tmp_path / "e.jsonl", orient="records", lines=True, force_ascii=False)
    read_files = [read_dataset(p, PALLIATIVE) for p in sorted(tmp_path.iterdir())]
    assert len(read_files) == 5
    plain = [[(t.id, t.text, t.english, t.labels) for t in data] for data in read_files]
    assert all(p == plain[0] for p in plain)
    assert [t.row for t in read_files[0]] == list(range(2, 9))
    assert [t.row for t in read_files[2]] == list(range(2, 9))
    assert [t.row for t in read_files[3]] == [t.row for t in read_files[4]] == list(range(1, 8))


def test_plain_ids_other_columns_and_parts() -> None:
    data = read(
        '{"id": 7, "text": "تب", "group": "p1", "part": "Dev", "fever": true, "register": "formal", "n": [1]}', ".jsonl"
    )
    (t,) = data
    assert (t.id, t.group, t.part, t.labels) == ("7", "p1", "dev", {"fever": True})
    assert t.extra == {"register": "formal", "n": [1]}
    assert data.labelled == ("fever",)


def test_names_are_matched_exactly_first_then_without_case_and_spaces() -> None:
    assert read("ID,Medical_History , FEVER\n1,x,yes\n").transcripts[0].labels == {"fever": True}
    (t,) = read("id,Text,text\n1,other,mine\n")
    assert t.text == "mine"
    assert t.extra == {"Text": "other"}
    assert read("id,medical_history,text\n1,a,b\n").transcripts[0].text == "b"


def test_another_feature_set(german: FeatureSet) -> None:
    (t,) = read("Nummer;Notiz;Patient;schmerz;smell\n1;Wunde nässt, riecht;A;y;N\n", features=german)
    assert (t.text, t.group, t.labels) == ("Wunde nässt, riecht", "A", {"wound_pain": True, "smell": False})


def test_the_users_own_names_go_first() -> None:
    content = "call,notes,id,temp,fever\nA,x,1,yes,no\n"
    (t,) = read(content, columns={"id": "call", "text": "notes", "fever": "temp"})
    assert (t.id, t.text, t.labels) == ("A", "x", {"fever": True})
    assert t.extra == {"id": "1", "fever": "no"}
    with pytest.raises(DataError, match=r"no column 'nots'.*given for text.*'notes'"):
        read(content, columns={"text": "nots"})
    with pytest.raises(DataError, match="columns given for fevr"):
        read(content, columns={"fevr": "temp"})
    with pytest.raises(DataError, match="one column was given for two things"):
        read(content, columns={"text": "notes", "fever": "notes"})


def test_missing_columns_are_named_with_those_there_are() -> None:
    with pytest.raises(
        DataError, match=r"no column for the text; looked for 'text', 'medical_history'; the file has 'id', 'note'"
    ):
        read("id,note\n1,x\n")
    with pytest.raises(DataError, match="no column for the id"):
        read("text\nx\n")


def test_two_columns_of_one_feature() -> None:
    with pytest.raises(DataError, match="two columns for the feature pain: 'pain' and 'com_pain'"):
        read("id,text,pain,com_pain\n1,x,1,1\n")
    with pytest.raises(DataError, match="two columns are called 'text'"):
        read("id,text,text\n1,x,y\n")


def test_a_file_without_a_header_does_not_show_its_text() -> None:
    text = "بیمار امروز صبح تب کرده و دردش شدید است"
    for content in (f"1,{text}\n2,{text}\n", f"1,{text},{text}\n"):
        with pytest.raises(DataError) as error:
            read(content)
        assert "تب" not in str(error.value)
        assert "a name of 9 words" in str(error.value)


# Labels


@pytest.mark.parametrize(
    "text", ["True", "TRUE", " true ", "1", "1.0", "۱", "١", "۱٫۰", "yes", "Yes", "Y", "بله", "بلی", "بلي", "بله\u200f"]
)
def test_true_labels(text: str) -> None:
    assert read_label(text) is True


@pytest.mark.parametrize("text", ["False", "false", "0", "0.0", "۰", "٠", "no", "NO ", "n", "خیر", "خير", "نه"])
def test_false_labels(text: str) -> None:
    assert read_label(text) is False


@pytest.mark.parametrize("text", ["", " ", "\u200c", "\u00a0"])
def test_blank_labels(text: str) -> None:
    assert read_label(text) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.sampled_from([*TRUE, *FALSE]))
def test_nothing_else_is_a_label(text: str) -> None:
    plain = text.strip().casefold()
    if plain in TRUE | FALSE | {""}:
        assert read_label(text) is ({**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}.get(plain))
    else:
        with pytest.raises(ValueError, match="unknown label"):
            read_label(text)


def test_an_unknown_label_rejects_its_row_only() -> None:
    long = "a very long value that may be anything"
    data = read(as_csv([["id", "text", "fever", "pain"], ["1", SECRET, "maybe", long], ["2", "x", "1", "0"]]))
    assert [t.id for t in data] == ["2"]
    (reject,) = data.rejects
    assert (reject.row, reject.id, reject.kind) == (2, "1", "unknown_label")
    assert reject.reason.startswith(
        "unknown label: column 'fever' holds 'maybe', column 'pain' holds 'a very long value th…'; use True or False"
    )
    assert long not in reject.reason
    assert "راز" not in reject.reason


def test_many_wrong_labels_make_a_short_reason() -> None:
    lines = [{"id": "1", "text": "x", **{i: [1] for i in PALLIATIVE.ids}}, {"id": "2", "text": "x"}]
    (reject,) = read("\n".join(map(json.dumps, lines)), ".jsonl").rejects
    assert "column 'doctor_visit_request' holds a list" in reject.reason
    assert ", and 10 more; use True" in reject.reason


# Rows


def test_bad_rows_and_nothing_else_lost() -> None:
    rows = [
        ["id", "text", "part"],
        ["1", "a", ""],
        ["", "b", ""],
        ["2", " \u200c ", ""],
        ["1", "c", ""],
        ["3", "d", "train"],
        ["4", "e", "test"],
    ]
    data = read(as_csv(rows))
    assert [(t.id, t.row) for t in data] == [("1", 2), ("4", 7)]
    assert [(r.row, r.id, r.kind) for r in data.rejects] == [
        (3, None, "empty_id"),
        (4, "2", "empty_text"),
        (5, "1", "duplicate_id"),
        (6, "3", "unknown_part"),
    ]
    assert "row 2" in data.rejects[2].reason


def test_rows_are_numbered_as_a_spreadsheet_does() -> None:
    content = 'id,text\r\n1,"one\r\ntwo\n\nthree"\r\n\r\n,\r\n2,x\r\n3,\r\n'
    data = read(content)
    assert [(t.id, t.row) for t in data] == [("1", 2), ("2", 5)]
    assert data.transcripts[0].text == "one\r\ntwo\n\nthree"
    assert [(r.row, r.kind) for r in data.rejects] == [(6, "empty_text")]


def test_ragged_rows() -> None:
    data = read("id,text,fever\n1,x\n2,x,1\n3,x,y,1\n")
    assert [t.id for t in data] == ["2"]
    assert [(r.row, r.reason.split(";")[0]) for r in data.rejects] == [
        (2, "the row has 2 cells and the header has 3"),
        (4, "the row has 4 cells and the header has 3"),
    ]


def test_an_open_quotation_mark_is_an_error_and_swallows_nothing() -> None:
    with pytest.raises(DataError, match="row 3, which begins in line 4, is not valid CSV") as error:
        read(f'id,text\n1,"a\nb"\n2,"{SECRET}\n3,c\n4,d\n')
    assert "راز" not in str(error.value)
    with pytest.raises(DataError, match="row 2"):
        read('id,text\n1,"a" b\n')


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_byte_order_mark(delimiter: str) -> None:
    rows = [["id", "text", "fever"], ["1", "a, b; c\td; e; f", "1"]]
    (t,) = read(b"\xef\xbb\xbf" + as_csv(rows, delimiter))
    assert (t.id, t.text, t.labels) == ("1", "a, b; c\td; e; f", {"fever": True})


def test_quoted_header_with_semicolons() -> None:
    (t,) = read('"id";"text";"a, b, c, d"\n"1";"x";""\n')
    assert (t.id, t.text, t.extra) == ("1", "x", {"a, b, c, d": ""})


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1), min_size=1, max_size=6
    ),
    st.sampled_from([",", ";", "\t"]),
)
def test_any_text_survives_csv(texts: list[str], delimiter: str) -> None:
    data = read(as_csv([["id", "text"], *([str(i), t] for i, t in enumerate(texts))], delimiter))
    found = {t.id: t.text for t in data}
    assert len(data) + len(data.rejects) == len(texts)
    assert all(r.kind == "empty_text" for r in data.rejects)
    assert all(texts[int(i)] == text for i, text in found.items())


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3", " 1", ""]), st.sampled_from(["", "x"])), min_size=1))
def test_every_row_is_a_transcript_or_a_reject(rows: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"id": i, "text": t}) for i, t in rows]
    data = read("\n".join(lines), ".jsonl")
    assert sorted([*(t.row for t in data), *(r.row for r in data.rejects)]) == list(range(1, len(rows) + 1))
    assert len({t.id for t in data}) == len(data)


# JSONL


def test_jsonl_lines() -> None:
    lines = [
        '{"id": "1", "text": "a\u2028b", "fever": null}',
        "{broken",
        "",
        "[1]",
        '{"id": "2", "text": "x", "fever": true, "fever": false}',
        '{"id": "3", "text": ["x"], "fever": 1}',
        '{"id": "4", "text": "\\ud800", "fever": 1}',
        '{"id": "5", "text": "x", "fever": NaN}',
        '{"id": "6", "text": "x", "fever": 0.0, "extra": 1.5}',
        '{"id": 7.0, "text": "x"}',
    ]
    data = read("\r\n".join(lines), ".jsonl")
    assert [(t.id, t.row, t.labels["fever"]) for t in data] == [("1", 1, None), ("6", 9, False), ("7", 10, None)]
    assert data.transcripts[0].text == "a\u2028b"
    assert [(r.row, r.kind) for r in data.rejects] == [
        (2, "not_json"),
        (4, "not_json"),
        (5, "not_json"),
        (6, "not_text"),
        (7, "not_text"),
        (8, "not_json"),
    ]
    assert "'fever' is given twice" in data.rejects[2].reason
    assert "list, not a text" in data.rejects[3].reason


def test_jsonl_that_is_none() -> None:
    with pytest.raises(DataError, match="no line is a JSON object"):
        read("id,text\n1,x\n", ".jsonl")


# XLSX and Parquet


def workbook(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("other").append(["nonsense"])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_xlsx_numbers_and_booleans() -> None:
    rows = [
        ["id", "text", "fever", "pain", None],
        [7, "a", True, 0],
        [8.0, "b", 1.0, "بله"],
        [None],
        ["009", 5, None, "no"],
    ]
    data = read(workbook(rows), ".xlsx")
    assert [(t.id, t.text, t.row) for t in data] == [("7", "a", 2), ("8", "b", 3), ("009", "5", 5)]
    assert [t.labels for t in data] == [
        {"fever": True, "pain": False},
        {"fever": True, "pain": True},
        {"fever": None, "pain": False},
    ]


def test_xlsx_ids_shown_with_zeros() -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "text"])
    book.active.append([7, "a"])
    book.active["A2"].number_format = "000"
    data = io.BytesIO()
    book.save(data)
    assert read(data.getvalue(), ".xlsx").transcripts[0].id == "007"


def test_xlsx_too_many_cells_and_no_workbook() -> None:
    data = read(workbook([["id", "text"], [1, "a", "b"], [2, "c"]]), ".xlsx")
    assert [(r.row, r.kind) for r in data.rejects] == [(2, "ragged_row")]
    for wrong in (b"", b"PK\x03\x04nonsense", as_csv([["id", "text"]])):
        with pytest.raises(DataError, match="not a readable"):
            read(wrong, ".xlsx")
    with pytest.raises(DataError, match="first sheet is empty"):
        read(workbook([]), ".xlsx")


def test_parquet_with_a_value_that_is_none(tmp_path: Path) -> None:
    far = pa.array([0, 2**63 - 1], pa.int64()).cast(pa.timestamp("us"))
    ends = pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]))
    broken = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(b"a\xff")])
    for name, column in (("visited", far), ("remark", broken)):
        table = pa.table({"id": ["a", "b"], "text": ["x", "y"], name: column})
        pq.write_table(table, tmp_path / "f.parquet")
        with pytest.raises(DataError, match=rf"row 2, column '{name}': its value cannot be read"):
            read_dataset(tmp_path / "f.parquet", PALLIATIVE)


def test_rejects_never_take_the_place_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("id,text\n1,a call\n,another\n", encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(path)
    for rejects in (path, tmp_path / "link.csv"):
        with pytest.raises(InputError, match="is the data file itself"):
            read_dataset(path, PALLIATIVE, rejects=rejects)
    assert path.read_text(encoding="utf-8").startswith("id,text")


def test_parquet_gaps_and_no_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": [1.0, 2.0], "text": ["a", None], "fever": [True, None], "when": pd.to_datetime(["2020-01-02"] * 2)}
    )
    frame.to_parquet(tmp_path / "f.parquet")
    data = read_dataset(tmp_path / "f.parquet", PALLIATIVE)
    assert [(t.id, t.row, t.labels) for t in data] == [("1", 1, {"fever": True})]
    assert json.dumps(dict(data.transcripts[0].extra)) == '{"when": "2020-01-02T00:00:00"}'
    assert [(r.row, r.kind) for r in data.rejects] == [(2, "empty_text")]
    with pytest.raises(DataError, match="not a readable Parquet"):
        read(b"PAR1 no", ".parquet")


# Files


def test_windows_1256_is_named() -> None:
    rows = [["id", "text"], ["1", "a"], ["2", "خط\nدوم"], ["3", "بيمار درد و تب دارد"]]
    data = as_csv(rows).decode().encode("cp1256")
    with pytest.raises(DataError) as error:
        read(data)
    start = next(i for i, byte in enumerate(data) if byte > 127)
    assert f"row 3: not UTF-8 at byte {start}; it looks like windows-1256" in str(error.value)
    assert "save as UTF-8" in str(error.value)


def test_other_encodings() -> None:
    for content in ('id;text\n1;"a\nb"\n2;Übel\n', '\ufeffid;text\n1;"a\nb"\n2;Übel\n'):
        head, tail = content.encode().split("Ü".encode())
        with pytest.raises(DataError, match=f"row 3: not UTF-8 at byte {len(head)};") as error:
            read(head + b"\xdc" + tail)
        assert "1256" not in str(error.value)
    with pytest.raises(DataError, match="row 2: not UTF-8 at byte 8"):
        read(b"id,text\n\xdcbel,x\n")
    with pytest.raises(DataError, match="UTF-16"):
        read("id,text\n1,x\n".encode("utf-16"))
    with pytest.raises(DataError, match="line 2: not UTF-8 at byte 25"):
        read(b'{"id":"1", "text": "a"}\n"\xff', ".jsonl")


def test_utf8_cut_in_a_character_is_not_called_windows_1256() -> None:
    data = as_csv([["id", "text"], ["1", "بیمار درد دارد و تب کرده است"]])[:-3]
    with pytest.raises(DataError) as error:
        read(data)
    assert "1256" not in str(error.value)


def test_unusable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_dataset(tmp_path / "none.csv", PALLIATIVE)
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path, PALLIATIVE)
    for name, pattern in (
        ("a.txt", "'.txt' cannot be read"),
        ("a.xls", "save it as .xlsx"),
        ("a", "nothing"),
        ("a.pkl", "'.pkl'"),
    ):
        (tmp_path / name).write_text("id,text\n1,x\n")
        with pytest.raises(DataError, match=pattern):
            read_dataset(tmp_path / name, PALLIATIVE)
    for content, pattern in (
        ("", "empty"),
        ("\n\n", "empty"),
        ("id,text\n", "no rows below"),
        ("id,text\n1,\n", "row 2: the text is empty"),
    ):
        (tmp_path / "b.csv").write_text(content)
        with pytest.raises(DataError, match=pattern):
            read_dataset(tmp_path / "b.csv", PALLIATIVE)


def test_rejects_file(tmp_path: Path) -> None:
    source, rejects = tmp_path / "a.CSV", tmp_path / "a.rejects.csv"
    source.write_text("id,text\n1,x\n2,\n", encoding="utf-8")
    data = read_dataset(source, PALLIATIVE, rejects=rejects)
    assert len(data) == 1
    assert rejects.read_text(encoding="utf-8").splitlines() == ["row,id,reason", "3,2,the text is empty"]
    if os.name == "posix":
        assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    source.write_text("id,text\n1,\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row can be used"):
        read_dataset(source, PALLIATIVE, rejects=rejects)
    assert rejects.read_text(encoding="utf-8").splitlines()[1] == "2,1,the text is empty"
    with pytest.raises(InputError, match="cannot be written"):
        write_rejects(tmp_path / "none" / "r.csv", [Reject(1, None, "x")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.CSV", "a.rejects.csv"]
