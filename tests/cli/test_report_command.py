"""`balin report`: a run's numbers again, from its answers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]


@pytest.fixture
def run(balin, engine, tmp_path):
    """A run in which the model leaves out a line, says nothing of it, and is deaf to pain."""
    said = engine._said
    engine._said = lambda text, source: said(text.replace("Fever:", "Fever is"), source)
    data = write_calls(tmp_path / "calls.csv", some_calls(6))
    found = balin("evaluate", "--data", data, "--engine", "embedded", "--model", "smollm2:135m", "--demos", 0, "--json")
    assert found.code == 0
    assert found.document["answers"]["missing"] == 6
    engine.before = lambda number: pytest.fail("a report asked a model")
    return Path(found.document["run"])


def test_the_numbers_are_those_of_metrics_json(balin, run):
    found = balin("report", run, "--json")
    assert found.code == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert found.document == {"run": str(run), "missing": "false", **metrics}
    assert "By feature, missing as False" in found.err


def test_a_missing_answer_can_be_scored_as_wrong(balin, run):
    metrics = json.loads((run / "metrics.json").read_text())
    found = balin("report", run, "--missing", "wrong", "--json")
    assert found.document["missing"] == found.document["policy"] == "wrong"
    assert found.document["missing_as_wrong"] == metrics["missing_as_wrong"]
    assert found.document["missing_as_false"] == metrics["missing_as_false"]
    wrong, as_false = found.document["features"]["fever"], metrics["features"]["fever"]
    assert (wrong["sensitivity"], wrong["specificity"]) == (0.0, 0.0)
    assert (as_false["sensitivity"], as_false["specificity"]) == (0.0, 1.0)
    assert "By feature, missing as wrong" in found.err


def test_the_tables_are_those_that_evaluate_showed(balin, run, engine, tmp_path):
    engine.before = lambda number: None
    options = ("--data", tmp_path / "calls.csv", "--engine", "embedded", "--model", "smollm2:135m", "--demos", 0)
    shown = balin("evaluate", *options).out
    assert shown in balin("report", run).out


def test_markdown_is_the_runs_own_report(balin, run):
    found = balin("report", run, "--markdown")
    assert found.code == 0
    assert found.out == (run / "report.md").read_text(encoding="utf-8")
    assert "| Fever |" in found.out
    wrong = balin("report", run, "--markdown", "--missing", "wrong")
    assert wrong.out != found.out


def test_a_run_can_be_moved_and_its_data_be_gone(balin, run, tmp_path):
    metrics = json.loads((run / "metrics.json").read_text())
    shutil.copytree(run, tmp_path / "elsewhere" / "run")
    (tmp_path / "calls.csv").unlink()
    found = balin("report", tmp_path / "elsewhere" / "run", "--json")
    assert found.document["features"] == metrics["features"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "run.json").unlink(), "no run.json"),
        (lambda run: (run / "run.json").write_text('{"schema": 9}'), "schema 9 is unknown; this Balin reads 1"),
        (lambda run: (run / "run.json").write_text("not json"), "cannot be read"),
        (lambda run: (run / "predictions.parquet").unlink(), "run `balin evaluate` again"),
        (lambda run: (run / "predictions.parquet").write_bytes(b"x"), "run `balin evaluate` again"),
    ],
)
def test_a_damaged_run_is_2_and_says_what_is_wrong(balin, run, damage, message):
    damage(run)
    found = balin("report", run)
    assert found.code == 2
    assert message in found.err
    assert found.out == ""


def test_what_is_no_run_is_2(balin, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        found = balin("report", path)
        assert (found.code, found.out) == (2, "")
        assert "give the folder that `balin evaluate` named as its run" in found.err
    (tmp_path / "file").write_text("")
    assert balin("report", tmp_path / "file").code == 2
