"""Figures: what they hold, that odd arms do not stop them, and that the files are right."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, matthews_corrcoef

sys.path.append(str(Path(__file__).parent))
from invented_arms import (  # type: ignore[import-not-found]
    invented_comparison,
    invented_run,
    invented_selection,
    invented_table,
)

from balin.eval.comparison import compare_runs
from balin.eval.curves import reliability, threshold_curve
from balin.eval.drawing import VARIABLES, place_numbers
from balin.eval.figures import draw_all
from balin.eval.metrics import AnswerTable
from balin.eval.shown import select
from balin.eval.tables import study_results

STUDY_FIVE = {"medians", "rates", "mcc", "ratio", "missing"}


def named(drawings):
    return {drawing.name: drawing for drawing in drawings}


def test_reliability_is_scikit_learns():
    table = invented_table(200, probabilities=True)
    found = reliability(table)
    p, gold = table.p_true.ravel(), table.gold.ravel()
    true, said = calibration_curve(gold, p, n_bins=10)
    assert [b.true for b in found.bins] == pytest.approx(list(true))
    assert [b.said for b in found.bins] == pytest.approx(list(said))
    assert found.brier == pytest.approx(brier_score_loss(gold, p))
    assert np.sum([b.n for b in found.bins]) == p.size


@settings(max_examples=20)
@given(seed=st.integers(0, 50), step=st.integers(0, 100))
def test_a_threshold_is_scored_as_scikit_learn_scores_its_answers(seed, step):
    table = invented_table(30, seed=seed, probabilities=True)
    curve = threshold_curve(table)
    expected = [
        matthews_corrcoef(table.gold[:, j], table.p_true[:, j] >= curve.threshold[step])
        for j in range(len(table.features))
        if 0 < table.gold[:, j].sum() < 30
    ]
    assert curve.mcc[step] == pytest.approx(np.mean(expected))


def test_without_probabilities_there_is_no_curve():
    table = invented_table(20)
    assert reliability(table) is None
    assert threshold_curve(table) is None


def test_all_figures_of_several_arms():
    comparison = invented_comparison(4)
    drawn = named(draw_all(comparison.selection, study_results(), comparison))
    assert set(drawn) == STUDY_FIVE | {"differences", "translation", "reliability", "thresholds", "cost"}
    for drawing in drawn.values():
        assert "" not in (drawing.title, drawing.caption, drawing.alt)
        assert drawing.table.rows
        assert all(len(row) == len(drawing.table.columns) for row in drawing.table.rows)
    mcc = comparison.arms[1].scores.features["pain"].values["mcc"]
    row = next(row for row in drawn["mcc"].table.rows if row[0] == comparison.selection.label("pain"))
    assert row[3].startswith(f"{mcc:.2f} [")
    assert "Qwen2.5-7B-Instruct, en (published)" in [row[0] for row in drawn["medians"].table.rows]


def test_differences_are_hollow_where_the_data_do_not_tell():
    tables = [invented_table(150, skill=1.6), invented_table(150, seed=1, skill=1.0)]
    runs = [(invented_run(i), table) for i, table in enumerate(tables)]
    comparison = compare_runs(runs, resamples=50, permutations=400)
    drawn = named(draw_all(comparison.selection, (), comparison))["differences"]
    (ax,) = drawn.figure.axes
    marks = [line for line in ax.lines if line.get_marker() == "s"]
    found = [comparison.against_baseline[0].result.median["mcc"], comparison.against_baseline[0].result.mean["mcc"]]
    found += [by["mcc"] for by in comparison.against_baseline[0].result.features.values()]
    assert len(marks) == len([d for d in found if d.difference is not None])
    assert {line.get_markerfacecolor() == line.get_color() for line in marks} == {True, False}


def test_one_arm_has_the_studys_five_without_marks_of_other_questions():
    drawn = named(draw_all(invented_selection(1)))
    assert set(drawn) >= STUDY_FIVE
    assert not {"differences", "translation"} & set(drawn)
    assert len(drawn["medians"].table.rows) == 1


def one_class_table() -> AnswerTable:
    table = invented_table(25)
    gold = table.gold.copy()
    gold[:, 3] = 0
    return AnswerTable(table.ids, table.groups, table.features, gold, table.state, table.p_true)


@pytest.mark.parametrize(
    "tables",
    [
        [invented_table(1)],
        [invented_table(1), invented_table(1, seed=3)],
        [one_class_table()],
        [invented_table(40, features=("pain",))],
        [invented_table(20, missing=1.0)],
        [invented_table(20, errors=20)],
        [invented_table(20, skill=-9.0)],
    ],
    ids=[
        "one transcript",
        "one transcript, two arms",
        "one class",
        "one feature",
        "all missing",
        "all failed",
        "all wrong",
    ],
)
def test_odd_arms_can_be_drawn(tables, tmp_path):
    selection = select([(invented_run(i), table) for i, table in enumerate(tables)], resamples=20)
    for drawing in draw_all(selection, study_results()):
        ElementTree.fromstring(drawing.inline())


def test_many_arms_differ_in_more_than_colour():
    drawn = named(draw_all(invented_selection(9, resamples=10)))["missing"]
    (ax,) = drawn.figure.axes
    looks = {(line.get_color(), line.get_marker()) for line in ax.lines}
    assert len(looks) == 9


def test_a_prediction_ratio_beyond_the_axis_stands_at_its_edge():
    drawn = named(draw_all(select([(invented_run(), invented_table(60, missing=1.0))], resamples=10)))
    (ax,) = drawn["ratio"].figure.axes
    assert {float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "o"} == {0.1}
    assert "◂" in [text.get_text() for text in ax.texts]


def test_files_are_whole_and_the_same_each_time(tmp_path):
    drawing = named(draw_all(invented_selection(2)))["mcc"]
    svg, png = drawing.write(tmp_path / "figures")
    text = svg.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "MCC by feature" in text
    assert "#0072b2" in text
    assert png.read_bytes().startswith(b"\x89PNG")
    drawing.write(tmp_path / "again")
    assert (tmp_path / "again" / "mcc.svg").read_text(encoding="utf-8") == text
    assert "<title>" not in drawing.inline()


def test_a_title_stands_above_the_legend(tmp_path):
    for drawing in draw_all(invented_selection(3, resamples=10)):
        svg, _ = drawing.write(tmp_path)
        texts = [t for t in ElementTree.parse(svg).getroot().iter() if t.tag.endswith("}text")]
        height = {t.text: float(re.search(r"translate\(\S+ (\S+)\)", t.get("transform"))[1])
                  if "translate" in t.get("transform", "") else float(t.get("y")) for t in texts}  # fmt: skip
        named = [y for text, y in height.items() if text.startswith("A · ")]
        assert named, "every figure of arms names them"
        assert height[drawing.title] < min(named) - 9, drawing.name


def test_a_figure_in_a_page_has_the_pages_colours_and_ids_of_its_own():
    svg = named(draw_all(invented_selection(2)))["mcc"].inline()
    assert not [colour for colour in VARIABLES if colour in svg]
    root = ElementTree.fromstring(svg)
    ids = [item.get("id") for item in root.iter() if item.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith("mcc-") for name in ids)
    assert root.get("role") == "img"
    assert root.get("aria-label")


def test_names_of_any_letters_are_drawn_as_they_are():
    labels = {name: f"درد $x^2$ <b> {i}" for i, name in enumerate(invented_table(20).features)}
    selection = select([(invented_run(labels=labels), invented_table(20))], resamples=10)
    svg = named(draw_all(selection))["mcc"].inline()
    ElementTree.fromstring(svg)
    assert "درد $x^2$ &lt;b&gt; 3" in svg


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.floats(0.9, 1), st.floats(0.9, 1)), min_size=1, max_size=13),
)
def test_numbers_do_not_cover_each_other(points):
    figure = Figure(figsize=(4, 4))
    ax = figure.subplots()
    ax.set_xlim(0, 1.03)
    ax.set_ylim(0, 1.03)
    place_numbers(ax, list(enumerate(points, 1)))
    figure.draw_without_rendering()
    # An annotation's own extent would hold its line as well.
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert len(boxes) == len(points)
    centres = [((b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2) for b in boxes]
    for i, one in enumerate(centres):
        for other in centres[i + 1 :]:
            assert max(abs(one[0] - other[0]), abs(one[1] - other[1])) > 8
