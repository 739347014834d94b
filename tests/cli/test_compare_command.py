"""`balin compare`: runs side by side, paired, without a model."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pandas as pd
import pytest

from balin.eval.metrics import STATE_CODES, AnswerTable
from balin.eval.runs import write_run

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]
from invented_arms import invented_run, invented_table  # type: ignore[import-not-found]

NAMES = {code: state.value for state, code in STATE_CODES.items()}


def a_run(folder: Path, table: AnswerTable, **fields: object) -> Path:
    """A run folder with these answers."""
    rows = [
        (
            i,
            g,
            f,
            None if table.gold[r, j] < 0 else bool(table.gold[r, j]),
            NAMES[int(table.state[r, j])],
            table.p_true[r, j],
        )
        for r, (i, g) in enumerate(zip(table.ids, table.groups, strict=True))
        for j, f in enumerate(table.features)
    ]
    frame = pd.DataFrame(rows, columns=["id", "group", "feature", "gold", "state", "p_true"])
    frame = frame.astype({"group": "string", "gold": "boolean", "p_true": "float64"})
    run = invented_run(0, name=folder.name, **fields)
    write_run(folder, run, {"predictions.parquet": lambda path: frame.to_parquet(path, index=False)})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A direct arm, and one on translations that differs in nothing else."""
    return [
        a_run(tmp_path / "direct", invented_table(seed=0)),
        a_run(
            tmp_path / "translated",
            invented_table(seed=1),
            route="translated",
            english="model",
            translator={"name": "aya"},
        ),
    ]


def test_two_runs_that_evaluate_left_are_compared(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(12))
    options = ("--data", data, "--engine", "embedded", "--model", "smollm2:135m", "--demos", 0, "--json")
    direct = balin("evaluate", *options).document["run"]
    engine.deaf = {"pain", "fever"}
    translated = balin("evaluate", *options, "--route", "translated").document["run"]
    engine.before = lambda number: pytest.fail("a comparison asked a model")
    found = balin("compare", direct, translated, "--resamples", 50, "--json")
    assert found.code == 0
    (pair,) = found.document["translation_effect"]
    assert (pair["first"], pair["second"], pair["also_differ_in"]) == ("A", "B", [])
    assert pair["features"]["fever"]["sensitivity"]["difference"] == -1.0
    assert pair["features"]["pain"]["sensitivity"]["difference"] == 0.0
    assert pair["disagreements"]["fever"]["first_right"] > 0 == pair["disagreements"]["fever"]["second_right"]
    assert "The translation effect" in found.err


def test_tables_are_shown_and_the_same_seed_gives_the_same(balin, runs):
    first = balin("compare", *runs, "--resamples", 50)
    assert first.code == 0
    for title in (
        "Arms, missing as False",
        "What the arms differ in",
        "By feature: B − A",
        "who is right",
        "Cost of a transcript",
    ):
        assert title in first.out
    assert balin("compare", *runs, "--resamples", 50).out == first.out
    assert balin("compare", *runs, "--resamples", 50, "--seed", 1).out != first.out


def test_the_baseline_is_arm_a(balin, runs):
    there = balin("compare", *runs, "--resamples", 0, "--json").document
    back = balin("compare", *runs, "--baseline", runs[1], "--resamples", 0, "--json").document
    assert [arm["run"] for arm in there["arms"]] == ["direct", "translated"]
    assert [arm["run"] for arm in back["arms"]] == ["translated", "direct"]
    one, other = (d["against_baseline"][0]["mean"]["mcc"]["difference"] for d in (there, back))
    assert one == pytest.approx(-other)
    assert back["translation_effect"][0]["mean"] == there["translation_effect"][0]["mean"]


def test_files_are_written(balin, runs, tmp_path):
    files = ("--markdown", tmp_path / "c.md", "--csv", tmp_path / "c.csv", "--latex", tmp_path / "c.tex")
    assert balin("compare", *runs, "--resamples", 50, *files).code == 0
    assert (tmp_path / "c.md").read_text(encoding="utf-8").startswith("# Comparison of arms\n")
    with (tmp_path / "c.csv").open(encoding="utf-8") as file:
        assert {row["metric"] for row in csv.DictReader(file)} >= {"mcc", "sensitivity", "specificity"}
    assert (tmp_path / "c.tex").read_text(encoding="utf-8").count(r"\begin{table}") == 8
    found = balin("compare", *runs, "--resamples", 0, "--csv", tmp_path / "nowhere" / "c.csv")
    assert found.code == 2
    assert "cannot be written" in found.err


def test_too_many_errors_end_with_1(balin, runs, tmp_path):
    failing = a_run(tmp_path / "failing", invented_table(seed=2, errors=5))
    found = balin("compare", runs[0], failing, "--resamples", 0, "--json")
    assert found.code == 1
    assert found.document["too_many_errors"]
    assert found.document["n"] == 55
    assert "warning: B: calls failed for 8.3 %" in found.err


def test_wrong_use_is_2_and_says_so(balin, runs, tmp_path):
    other = a_run(tmp_path / "other", invented_table(seed=1, labels=8))
    for arguments, message in [
        ((), "Missing argument 'RUN RUN...'"),
        ((runs[0],), "a comparison needs two runs or more"),
        ((runs[0], f"{runs[0]}/../direct"), "is named twice"),
        ((*runs, "--baseline", other), "the baseline must be one of the runs"),
        ((*runs, tmp_path / "nothing"), "no run.json"),
        ((*runs, other), "run other and run direct have different gold labels"),
        ((*runs, "--resamples", -1), "not in the range"),
    ]:
        found = balin("compare", *arguments)
        assert (found.code, found.out) == (2, "")
        assert message in found.err


def test_help_has_examples(balin):
    found = balin("compare", "--help")
    assert found.code == 0
    assert "balin compare runs/DIRECT runs/TRANSLATED" in found.out
