"""`balin errors`: tables without text, the sheet, and its way back into a new data file."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import SET, WordEngine, calls_file  # type: ignore[import-not-found]

SECRET = "بیمار"


@pytest.fixture
def run(balin, engine: WordEngine, tmp_path: Path) -> str:
    """A run on six calls whose pain is never heard."""
    calls_file(tmp_path, 6)
    arguments = ("--data", "calls.csv", "--model", "smollm2:135m", "--engine", "embedded", "--demos", 0, "--json")
    called = balin("evaluate", *arguments)
    assert called.code == 0, called.err
    name: str = called.document["run"]
    return name


def test_tables_markdown_and_json_agree_and_hold_no_text(balin, run: str, tmp_path: Path) -> None:
    called = balin("errors", run, "--markdown", "errors.md", "--json")
    assert called.code == 0, called.err
    everything = called.document["groups"][0]
    pain = everything["arms"]["A"]["pain"]
    assert pain == {"positives": 2, "negatives": 4, "fn": 2, "fp": 0, "missing": 0}
    name = next(f.short["en"] for f in SET if f.id == "pain")
    assert f"| {name} | 2/2 | 0/4 |" in (tmp_path / "errors.md").read_text(encoding="utf-8")
    assert SECRET not in called.out + called.err + (tmp_path / "errors.md").read_text(encoding="utf-8")


def test_a_changed_data_file_is_refused_and_a_moved_one_can_be_named(balin, run: str, tmp_path: Path) -> None:
    data = tmp_path / "calls.csv"
    data.rename(tmp_path / "moved.csv")
    assert balin("errors", run).code == 2
    assert balin("errors", run, "--data", "moved.csv").code == 0
    data.write_bytes((tmp_path / "moved.csv").read_bytes() + b"\n")
    called = balin("errors", run)
    assert called.code == 2
    assert "is not the file that run" in called.err


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_sheet_is_written_filled_and_applied(balin, run: str, tmp_path: Path, ending: str) -> None:
    called = balin("errors", run, "--review", f"review.{ending}", "--json")
    assert called.document["review"] == {"file": f"review.{ending}", "rows": 2, "with_text": False}
    path = tmp_path / f"review.{ending}"
    assert SECRET.encode() not in path.read_bytes()
    if ending == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
        rows[1][rows[0].index("correct label")] = "no"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=";").writerows(rows)
    else:
        book = openpyxl.load_workbook(path)
        header = [cell.value for cell in book.active[1]]
        book.active.cell(2, header.index("correct label") + 1).value = False
        book.save(path)
    called = balin("errors", "--apply", f"review.{ending}", "--data", "calls.csv", "--to", "new.csv", "--json")
    assert called.code == 0, called.err
    assert called.document["changed_by_feature"] == {"pain": 1}
    assert (tmp_path / "new.csv.changes.csv").is_file()
    again = balin("errors", run, "--data", "new.csv")
    assert again.code == 2


def test_the_text_is_in_the_sheet_only_when_asked_for(balin, run: str, tmp_path: Path) -> None:
    called = balin("errors", run, "--review", "review.csv", "--include-text")
    assert "WITH TRANSCRIPTS" in called.err
    assert SECRET in (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
    assert SECRET not in called.out + called.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a run"),
        (("x", "--to", "new.csv"), "--to goes with --apply"),
        (("x", "--include-text"), "--include-text goes with --review"),
        (("x", "--apply", "s.csv", "--data", "d.csv", "--to", "n.csv"), "no RUN"),
        (("--apply", "s.csv", "--to", "n.csv"), "--apply needs --data"),
        (("--apply", "s.csv", "--data", "d.csv"), "--apply needs --data"),
    ],
)
def test_options_without_effect_are_refused(balin, arguments: tuple[str, ...], said: str) -> None:
    called = balin("errors", *arguments)
    assert called.code == 2
    assert said in called.err


def test_a_sheet_of_another_kind_is_refused_before_anything_is_read(balin, run: str) -> None:
    called = balin("errors", run, "--review", "review.ods")
    assert called.code == 2
    assert ".csv or .xlsx" in called.err


def test_an_empty_sheet_is_said_to_be_empty(balin, run: str) -> None:
    balin("errors", run, "--review", "review.csv")
    called = balin("errors", "--apply", "review.csv", "--data", "calls.csv", "--to", "new.csv")
    assert called.code == 2
    assert "no row has a correct label" in called.err


def test_two_routes_show_what_translating_cost(balin, engine: WordEngine, tmp_path: Path) -> None:
    calls_file(tmp_path, 6)
    common = ("--data", "calls.csv", "--model", "smollm2:135m", "--engine", "embedded", "--demos", 0, "--json")
    made = balin("evaluate", *common, "--route", "translated").document["run"]
    given = balin("evaluate", *common, "--route", "translated", "--english", "given").document["run"]
    called = balin("errors", made, given, "--json")
    (quality,) = called.document["translations"]
    assert (quality["arm"], quality["given_english_arm"], quality["translations"]) == ("A", "B", 6)
    assert quality["share_of_errors_only_with_translation"] == 0
    assert quality["chrf"] > 90
    (tmp_path / "runs" / "store" / "translations.jsonl").unlink()
    without = balin("errors", made, "--json")
    assert without.document["translations"] == []
    assert "its translations are not in" in without.err
