"""`balin extract`: from a bundle and a file to answers, progress, exit codes and a last line of JSON."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from balin.errors import CallTimeout

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import IDENTITY, WordEngine, some_calls, take, write_calls  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")


@pytest.fixture
def bundle(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(3))
    assert balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--format", "json", "--name", "mine").code == 0
    assert balin("export", "runs/mine", "--to", "mine.balin").code == 0
    return "mine.balin"


@pytest.fixture
def new(tmp_path):
    return write_calls(tmp_path / "new.csv", some_calls(5, 100))


def test_one_json_document_is_the_whole_output(balin, bundle, new):
    found = balin("extract", bundle, new, "--out", "out/answers.csv", "--json")
    assert found.code == 0, found.err
    assert found.out.count("\n") == 1
    document = found.document
    assert document == document | {
        "out": "out/answers.csv",
        "n": 5,
        "rejects": 0,
        "stored": 0,
        "failures": {},
        "errors_exceeded": False,
    }
    with Path("out/answers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["id"] for r in rows] == [f"c{n}" for n in range(100, 105)]
    assert {r["fever"] for r in rows} == {"true", "false"}
    assert sum(r["fever"] == "true" for r in rows) == document["present"]["fever"]
    assert "extracting 5/5" in found.err
    again = balin("extract", bundle, new, "--out", "out/answers.csv", "--json")
    assert again.document["stored"] == 5


def test_without_json_a_table_is_the_output(balin, bundle, new):
    found = balin("extract", bundle, new, "--out", "answers.xlsx")
    assert found.code == 0
    assert "5 transcripts" in found.out
    assert "Fever" in found.out
    assert "answers: answers.xlsx" in found.err


def test_over_two_percent_of_failed_calls_end_with_1(balin, bundle, new, monkeypatch):
    def fails(number):
        if number == 1:
            raise CallTimeout("no answer")

    take(monkeypatch, WordEngine(before=fails))
    found = balin("extract", bundle, new, "--out", "answers.csv", "--json")
    assert found.code == 1
    assert found.document["failures"] == {"timeout": 1}
    assert found.document["errors_exceeded"] is True
    assert "failed calls: timeout 1" in found.err


def test_another_model_ends_with_3(balin, bundle, new, monkeypatch):
    take(monkeypatch, WordEngine(identity=replace(IDENTITY, digest="sha256:" + "b" * 64)))
    found = balin("extract", bundle, new, "--out", "answers.csv")
    assert found.code == 3
    assert "is not the model of the bundle" in found.err
    assert not Path("answers.csv").exists()
    assert balin("extract", bundle, new, "--out", "answers.csv", "--accept-model-change").code == 0


def test_rows_that_cannot_be_used_are_named(balin, bundle, tmp_path):
    (tmp_path / "bad.csv").write_text("id,text\n1,A call.\n,No id.\n", encoding="utf-8")
    found = balin("extract", bundle, "bad.csv", "--out", "answers.csv")
    assert found.code == 0
    assert "1 rows of bad.csv cannot be used; see answers.csv.rejects.csv" in found.err
    assert Path("answers.csv.rejects.csv").is_file()


def test_wrong_use_ends_with_2(balin, bundle, new, tmp_path):
    assert balin("extract", bundle, new).code == 2
    assert balin("extract", "nothing.balin", new, "--out", "a.csv").code == 2
    assert balin("extract", bundle, new, "--out", "a.doc").code == 2
    assert balin("extract", bundle, "nothing.csv", "--out", "a.csv").code == 2
    damaged = tmp_path / "damaged.balin"
    damaged.write_bytes(Path(bundle).read_bytes()[:-40])
    found = balin("extract", damaged, new, "--out", "a.csv")
    assert found.code == 2
    assert "damaged" in found.err
    assert "Traceback" not in found.err


def test_an_interruption_keeps_the_work(balin, bundle, new, monkeypatch):
    def interrupts(number):
        if number == 3:
            raise KeyboardInterrupt

    take(monkeypatch, WordEngine(before=interrupts))
    assert balin("extract", bundle, new, "--out", "answers.csv").code == 130
    engine = WordEngine()
    take(monkeypatch, engine)
    assert balin("extract", bundle, new, "--out", "answers.csv").code == 0
    assert engine.requests == 3
