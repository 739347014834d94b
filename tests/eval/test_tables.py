"""Tables and the report: the right numbers, in the right places."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from balin.eval.evaluation import evaluate_answers
from balin.eval.grids import Grid, escape, figure, figure_with_interval
from balin.eval.metrics import AnswerTable
from balin.eval.scores import Interval
from balin.eval.tables import compare_table, feature_table, report_markdown, study_results, summary_table, warnings_of
from balin.signatures.features import load_feature_set

FEATURES = load_feature_set("palliative13")
LABELS = {feature.id: feature.label["en"] for feature in FEATURES}
RUN = {
    "name": "first",
    "command": "balin evaluate --data calls.csv --format probe",
    "started": "2026-01-02T03:04:05+00:00",
    "finished": "2026-01-02T03:14:05+00:00",
    "model": {"name": "tiny:1b", "digest": "sha256:aa", "engine": "embedded", "engine_version": "9.9", "num_ctx": 4096},
    "route": "translated",
    "english": "model",
    "translator": {"name": "aya:8b", "digest": "sha256:bb", "engine": "ollama", "engine_version": "1", "num_ctx": 8192},
    "program": {"name": "study", "hash": "cc"},
    "format": "probe",
    "demos": {"n": 3, "ids": ["x1", "x2", "x3"], "from": "pool"},
    "data": {
        "name": "calls.csv",
        "sha256": "dd",
        "part": "test",
        "n": 60,
        "split": "calls.split.json",
        "test_scored": 4,
    },
    "seeds": {"demos": 0, "split": 7},
    "cost": {
        "seconds_per_transcript": 3.456,
        "engine_seconds_per_transcript": 3.2,
        "translation_seconds_per_transcript": None,
        "tokens": {"prompt": 186.4, "cached": None, "generated": 13},
    },
    "warnings": ["Two rows were left out."],
}


def make_scores(n=60, groups=None, seed=0, errors=(), **options):
    draw = np.random.default_rng(seed)
    k = len(FEATURES)
    gold = (draw.random((n, k)) < 0.3).astype(np.int8)
    p_true = np.clip(0.4 * gold + 0.6 * draw.random((n, k)), 0, 1)
    state = np.where(draw.random((n, k)) < 0.02, 2, p_true > 0.5).astype(np.int8)
    state[list(errors)] = 3
    gold[:, 4] = 0
    table = AnswerTable(tuple(map(str, range(n))), groups or (None,) * n, FEATURES.ids, gold, state, p_true)
    return evaluate_answers(table, **{"resamples": 100, **options})


def shown(grid, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(grid)
    return console.export_text()


def cells(markdown, first):
    """The cells of the Markdown row that begins so."""
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@given(st.floats(-2, 2) | st.none() | st.just(math.nan), st.integers(0, 3))
def test_figure(value, decimals):
    text = figure(value, decimals)
    if value is None or math.isnan(value):
        assert text == "–"
    else:
        assert float(text) == pytest.approx(value, abs=0.5001 * 10**-decimals)
        assert not re.fullmatch(r"-0\.?0*", text)
        assert len(text.partition(".")[2]) == decimals


def test_figure_with_interval():
    assert figure_with_interval(0.614, Interval(0.4, 0.771)) == "0.61 [0.40, 0.77]"
    assert figure_with_interval(0.614, None) == "0.61"
    assert figure_with_interval(None, None) == "–"


def test_markdown_is_escaped():
    grid = Grid("t", ("a", "b"), (("x | y\nz", "<b>"),), ("n",))
    assert grid.markdown() == "| a | b |\n| --- | ---: |\n| x \\| y z | &lt;b> |\n\nn"
    assert escape(" a\n b ") == "a b"


def test_terminal_shows_brackets_of_labels():
    assert "[pain] now" in shown(Grid("t", ("a", "b"), (("[pain] now", "1"),)))


@pytest.mark.parametrize("errors", [(), (0,)])
@pytest.mark.parametrize("n", [60, 1221])
def test_terminal_fits_100_columns(n, errors):
    scores = make_scores(n, errors=errors)
    arms = [("ours", scores), *((row.name, row.recorded) for row in study_results())]
    for grid in (feature_table(scores, LABELS), summary_table(scores), compare_table(arms)):
        text = shown(grid)
        assert max(len(line) for line in text.splitlines()) <= 100
        for row in grid.rows:
            for cell in row[1:]:
                assert cell in text, "numbers are never cut or wrapped"


def test_feature_table():
    scores = make_scores(errors=(0,))
    markdown = feature_table(scores, LABELS, wide=True).markdown()
    fever = scores.features["fever"]
    row = cells(markdown, "Fever")
    count, values = fever.count, fever.values
    assert row[1:6] == [f"{count.positives}/{count.n}", *map(str, (count.tp, count.fp, count.fn, count.tn))]
    assert row[6] == figure_with_interval(values["sensitivity"], fever.intervals["sensitivity"])
    assert row[8] == f"{values['precision']:.2f}"
    assert row[10] == figure_with_interval(values["mcc"], fever.intervals["mcc"])
    assert row[11:] == [f"{values['auc']:.2f}", str(count.missing), "1"]
    assert "–" in cells(markdown, "Seizures")
    assert "one class: Seizures." in markdown
    assert cells(markdown, "All answers pooled")[2] == str(scores.pooled.count.tp)


def test_feature_table_without_auc_or_errors():
    scores = make_scores()
    no_auc = {
        name: dataclasses.replace(item, values={**item.values, "auc": None}) for name, item in scores.features.items()
    }
    grid = feature_table(dataclasses.replace(scores, features=no_auc), {})
    assert "AUC" not in grid.columns
    assert "Err." not in grid.columns
    assert "TP" not in grid.columns
    assert grid.rows[7][0] == "fever", "the id where there is no label"


def test_summary_table():
    scores = make_scores()
    row = cells(summary_table(scores).markdown(), "MCC")
    own, wrong = scores.missing_as_false["mcc"], scores.missing_as_wrong["mcc"]
    assert row[1] == figure_with_interval(own.mean, own.mean_interval, 3)
    assert row[3:] == [f"{wrong.mean:.3f}", f"{wrong.median:.3f}"]
    assert "over 12 of 13 features" in summary_table(scores).title.lower()
    other = summary_table(make_scores(policy="wrong"))
    assert other.columns[1].endswith("missing as wrong")
    assert cells(other.markdown(), "MCC")[3] == f"{own.mean:.3f}"


def test_compare_table_takes_scores_documents_and_the_study():
    scores = make_scores(policy="wrong")
    document = json.loads(json.dumps({"n": scores.n, "scores": scores.summary("false")}))
    arms = [("a", scores), ("b", document), ("c", {}), *((r.name, r.recorded) for r in study_results())]
    grid = compare_table(arms)
    assert grid.rows[0][1:] == grid.rows[1][1:], "a run's own policy does not matter here"
    assert grid.rows[2] == ("c", *["–"] * 7)
    best = cells(grid.markdown(), "Qwen2.5-7B-Instruct, en (published)")
    assert best[1:] == ["1221", "0.899", "0.797", "0.818", "0.987", "–", "–"]


def test_study_results():
    rows = study_results()
    assert [row.language for row in rows].count("fa") == 1
    assert len(rows) == 7
    assert [row.recorded["scores"]["macro_f1"]["median"] for row in rows] == sorted(
        (row.recorded["scores"]["macro_f1"]["median"] for row in rows), reverse=True
    )


def test_report_holds_what_was_run_and_the_numbers():
    scores = make_scores(errors=(0,))
    text = report_markdown(RUN, scores, LABELS)
    own = scores.missing_as_false
    assert text.startswith("# Run first\n")
    assert (
        f"**Median macro-F1 {figure_with_interval(own['macro_f1'].median, own['macro_f1'].median_interval, 3)}" in text
    )
    assert f"median MCC {figure_with_interval(own['mcc'].median, own['mcc'].median_interval, 3)}**" in text
    assert "over 12 of 13 features, on 60 transcripts (test part)" in text
    for row in (
        "| Model | tiny:1b, digest sha256:aa, engine embedded 9.9, context 4096 |",
        "| Translator | aya:8b, digest sha256:bb, engine ollama 1, context 8192 |",
        "| English text | made by the translator |",
        "| Program | study, hash cc |",
        "| Demos | 3 from pool: x1, x2, x3 |",
        "| Data | calls.csv, sha256 dd |",
        "| Test part scored so far | 4 |",
        "| Seeds | demos 0, split 7 |",
        "| Extraction, seconds from request to answer | 3.46 |",
        "| Translation, seconds | – |",
        "| of these cached | – |",
        "| Generated tokens | 13.0 |",
        f"| missing | {scores.answers['missing']} |",
        "| error | 13 |",
    ):
        assert row in text
    assert "```\nbalin evaluate --data calls.csv --format probe\n```" in text
    assert f"MCC {figure_with_interval(scores.pooled.values['mcc'], scores.pooled.intervals['mcc'])}." in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_report_tolerates_an_empty_run():
    text = report_markdown({}, make_scores(resamples=0), {})
    assert "# Run –" in text
    assert "| Model | – |" in text
    assert "None" not in text


def test_report_of_wrong_policy_says_so():
    text = report_markdown(RUN, make_scores(policy="wrong"), LABELS)
    assert "A missing answer counts as the wrong class;" in text
    assert "Counts and figures with missing as wrong." in text


@pytest.mark.parametrize(
    ("groups", "resamples", "said"),
    [
        (None, 100, "100 resamples, seed 0); Wilson's"),
        (
            tuple(f"p{i // 2}" for i in range(60)),
            100,
            "Intervals: 95 %, bootstrap by group (100 resamples, seed 0).",
        ),
        (tuple(f"p{i // 2}" for i in range(60)), 0, "No intervals were asked for."),
    ],
)
def test_report_says_how_intervals_were_made(groups, resamples, said):
    assert said in report_markdown(RUN, make_scores(groups=groups, resamples=resamples), LABELS)


def test_warnings():
    scores = make_scores(errors=(0, 1))
    found = warnings_of({**RUN, "english": "given"}, scores, LABELS)
    assert found[0] == "Two rows were left out."
    assert "no evidence about translating" in found[1]
    assert "Calls failed for 2 of 60 transcripts (3.3 %" in found[2]
    scarce = next(name for name in scores.scarce)
    count = scores.features[scarce].count
    assert f"{LABELS[scarce]} ({count.positives} positive, {count.n - count.positives} negative)" in found[3]
    assert found[4].endswith("one class: Seizures.")
    assert len(warnings_of({}, make_scores(1221), LABELS)) == 1
