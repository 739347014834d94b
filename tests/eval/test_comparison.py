"""Comparisons of runs: what is checked, which arms are paired, and what the tables say."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from balin.errors import InputError
from balin.eval.comparison import Comparison, compare_runs
from balin.eval.comparison_tables import comparison_csv, comparison_grids, comparison_markdown
from balin.eval.grids import Grid
from balin.eval.latex import latex_table, latex_text
from balin.eval.metrics import ERROR, AnswerTable
from balin.eval.paired import PAIRED, paired_arms

sys.path.append(str(Path(__file__).parent))
from invented_arms import SET, invented_run, invented_table  # type: ignore[import-not-found]

MODEL = {"name": "qwen2.5:7b-instruct", "digest": "sha256:" + "ab" * 32, "engine": "ollama", "num_ctx": 4096}
DIRECT: dict[str, Any] = {"model": MODEL, "route": "direct", "english": None, "translator": None, "format": "probe"}
TRANSLATED = DIRECT | {"route": "translated", "english": "model", "translator": {"name": "aya-expanse:8b"}}
GIVEN = DIRECT | {"route": "translated", "english": "given"}


def run(name: str, **fields: Any) -> dict[str, Any]:
    return invented_run(0, name=name, **(DIRECT | fields))


def compared(*arms: tuple[dict[str, Any], AnswerTable], **options: Any) -> Comparison:
    return compare_runs(arms, **{"resamples": 60, "permutations": 60} | options)


@pytest.fixture(scope="module")
def three() -> Comparison:
    """Direct, translated and given English."""
    return compared(
        (run("direct"), invented_table(seed=0)),
        (run("translated", **TRANSLATED), invented_table(seed=1, missing=0.05)),
        (run("given", **GIVEN), invented_table(seed=2)),
    )


def grid(comparison: Comparison, beginning: str) -> Grid:
    (found,) = [g for g in comparison_grids(comparison) if g.title.startswith(beginning)]
    return found


def without(table: AnswerTable, ids: set[str]) -> AnswerTable:
    rows = [i for i, identifier in enumerate(table.ids) if identifier not in ids]
    return AnswerTable(
        tuple(table.ids[i] for i in rows),
        tuple(table.groups[i] for i in rows),
        table.features,
        table.gold[rows],
        table.state[rows],
        table.p_true[rows],
    )


def test_each_arm_is_paired_with_the_baseline(three):
    assert [pair.letters for pair in three.against_baseline] == ["B − A", "C − A"]
    tables = [arm.table for arm in three.arms]
    for pair, (wanted,) in zip(
        three.against_baseline,
        (paired_arms(tables, [(0, i)], resamples=60, permutations=60) for i in (1, 2)),
        strict=True,
    ):
        assert pair.result.to_dict() == wanted.to_dict()


def test_given_english_is_the_ceiling_and_never_a_translation_effect(three):
    assert [pair.letters for pair in three.translation] == ["B − A"]
    assert [pair.letters for pair in three.ceiling] == ["C − A"]
    effect, ceiling = grid(three, "The translation effect"), grid(three, "The ceiling")
    assert {row[0] for row in effect.rows} == {"B − A"}
    assert {row[0] for row in ceiling.rows} == {"C − A"}
    assert [row[1] for row in effect.rows][:4] == ["Sensitivity", "Specificity", "Precision", "Missing answers"]
    assert "not evidence about translating" in ceiling.notes[0]
    given = compared(
        (run("direct"), invented_table(seed=0)), (run("given", **GIVEN), invented_table(seed=2)), resamples=0
    )
    assert given.translation == ()
    assert not [g for g in comparison_grids(given) if "translation effect" in g.title]
    assert given.to_dict()["translation_effect"] == []


def test_a_translation_effect_is_of_one_model(three):
    other = run("other", **(TRANSLATED | {"model": MODEL | {"name": "llama3.1:8b"}}))
    changed = run("changed", **(TRANSLATED | {"model": MODEL | {"digest": "sha256:" + "0" * 64}}))
    found = compared(
        (run("direct"), invented_table()), (other, invented_table()), (changed, invented_table()), resamples=0
    )
    assert found.translation == ()


def test_the_direct_arm_that_differs_least_is_the_other_half():
    found = compared(
        (run("lines", format="lines"), invented_table(seed=0)),
        (run("probe", format="probe"), invented_table(seed=1)),
        (run("translated", **TRANSLATED), invented_table(seed=2)),
        resamples=0,
    )
    assert [(pair.letters, pair.beside) for pair in found.translation] == [("C − B", ())]
    titles = [g.title for g in comparison_grids(found)]
    assert [t for t in titles if t.startswith("By feature")] == [
        f"By feature: {p}" for p in ("B − A", "C − A", "C − B")
    ]


def test_what_differs_beside_the_route_is_said():
    found = compared(
        (run("lines", format="lines", demos={"n": 0, "ids": []}), invented_table(seed=0)),
        (run("translated", **TRANSLATED), invented_table(seed=2)),
        resamples=0,
    )
    assert found.translation[0].beside == ("Answer format", "Demos", "Demo ids")
    assert any("also differ in Answer format, Demos, Demo ids" in n for n in grid(found, "The translation").notes)
    assert found.settings["Answer format"] == ("lines", "probe")
    assert found.settings["Translator"] == ("–", "aya-expanse:8b")
    assert "Model" not in found.settings


def test_transcripts_that_one_arm_lacks_are_left_out_for_all_and_named():
    full, less, failed = invented_table(seed=0), invented_table(seed=1), invented_table(seed=2, errors=1)
    found = compared((run("a"), full), (run("b"), without(less, {"c00004", "c00005"})), (run("c"), failed), resamples=0)
    kept = [i for i in full.ids if i not in {"c00000", "c00004", "c00005"}]
    assert all(list(arm.table.ids) == kept for arm in found.arms)
    assert found.notes == (
        "B lacks 2 transcripts (c00004, c00005).",
        "C: calls failed for 1 transcript (c00000).",
        "Compared are the 57 of 60 transcripts that all arms have scored, and the 13 of 13 features that all were asked for.",
    )
    assert not found.too_many_errors
    assert found.to_dict()["n"] == 57


def test_over_two_per_cent_of_errors_in_one_arm_is_too_many():
    found = compared((run("a"), invented_table()), (run("b"), invented_table(errors=2)), resamples=0)
    assert found.too_many_errors
    assert "B: calls failed for 3.3 %" in found.warnings[0]


def test_a_feature_that_one_arm_was_not_asked_for_is_left_out_and_named():
    fewer = invented_table(features=SET.ids)
    cut = AnswerTable(fewer.ids, fewer.groups, SET.ids[:3], fewer.gold[:, :3], fewer.state[:, :3], fewer.p_true[:, :3])
    found = compared((run("a"), fewer), (run("b", feature_set={"id": "other", "hash": "0"}), cut), resamples=0)
    assert found.selection.features == SET.ids[:3]
    assert found.notes[0] == f"B was not asked for: {', '.join(SET.ids[3:])}."
    assert "3 of 13 features" in found.notes[1]
    assert "different feature sets" in found.notes[2]


def test_other_data_with_the_same_labels_is_said():
    other = run("b", data={"name": "new.csv", "sha256": "d" * 64})
    found = compared((run("a"), invented_table()), (other, invented_table(seed=1)), resamples=0)
    assert found.notes == ("The arms read different data files; ids, labels and groups agree, the texts may not.",)


def test_different_labels_are_refused_and_counted():
    first = invented_table()
    gold = first.gold.copy()
    gold[[3, 5], 0] = 1 - gold[[3, 5], 0]
    gold[3, 2] = -1
    with pytest.raises(InputError) as raised:
        compared((run("a"), first), (run("b"), replace(first, gold=gold)))
    wanted = f"run b and run a have different gold labels: 3 labels ({SET.ids[0]} 2, {SET.ids[2]} 1) of 2 transcripts (c00003, c00005)"
    assert wanted in str(raised.value)


def test_different_groups_are_refused():
    first = invented_table()
    with pytest.raises(InputError, match=r"put 60 transcripts into different groups \(c00000, .*, …\)"):
        compared((run("a"), first), (run("b"), replace(first, groups=("p",) * 60)))


def test_rows_in_another_order_are_the_same_arms():
    first, second = invented_table(seed=0), invented_table(seed=1)
    order = list(reversed(range(60)))
    turned = AnswerTable(
        tuple(second.ids[i] for i in order),
        (None,) * 60,
        second.features,
        second.gold[order],
        second.state[order],
        second.p_true[order],
    )
    one = compared((run("a"), first), (run("b"), second)).to_dict()
    assert one == compared((run("a"), first), (run("b"), turned)).to_dict()


def test_the_feature_table_holds_the_figures(three):
    feature, pair = "pain", three.against_baseline[0]
    table = grid(three, "By feature: B − A")
    row = table.rows[SET.ids.index(feature)]
    item = pair.result.features[feature]["mcc"]
    assert row[0] == three.selection.label(feature)
    assert row[2:4] == (f"{item.first:.2f}", f"{item.second:.2f}")
    assert row[4].startswith(f"{item.difference:+.2f} [{item.interval.low:+.2f}, ")
    assert row[5] == f"{item.p_holm:.3f}"
    assert any("Interval unreliable, under 15 gold labels" in note for note in table.notes)


def test_who_is_right_adds_up(three):
    for row in grid(three, "Where the arms disagree, and who is right: B and A").rows:
        assert sum(int(cell) for cell in row[1:5]) == 60
        assert len(row) == 7
    grouped = [replace(t, groups=("p", "p", *t.groups[2:])) for t in (invented_table(seed=0), invented_table(seed=1))]
    table = grid(compared((run("a"), grouped[0]), (run("b"), grouped[1])), "Where the arms disagree")
    assert len(table.columns) == 5
    assert "McNemar's test does not hold here" in table.notes[0]


def test_costs_stand_side_by_side_and_unknown_ones_are_a_dash():
    cheap = run(
        "b", cost={"seconds_per_transcript": 1.5, "tokens": {"prompt": 100.0, "cached": None, "generated": 13.0}}
    )
    translated = run("c", **TRANSLATED, cost={"seconds_per_transcript": 1.0, "translation_seconds_per_transcript": 4.0})
    found = compared(
        *((r, invented_table(seed=i)) for i, r in enumerate((run("a", cost=None), cheap, translated))), resamples=0
    )
    rows = [row[1:] for row in grid(found, "Cost").rows]
    assert rows == [
        ("–",) * 7,
        ("1.50", "–", "–", "1.50", "100.0", "–", "13.0"),
        ("1.00", "–", "4.00", "5.00", "–", "–", "–"),
    ]


def test_markdown_has_every_table_and_says_how(three):
    text = comparison_markdown(three)
    for item in comparison_grids(three):
        assert f"## {item.title.replace('<', '&lt;')}\n" in text
    assert "60 resamples, the same for all arms" in text
    assert "60 swaps" in text
    assert text.endswith("\n")


def test_csv_has_every_difference_unrounded(three):
    rows = list(csv.DictReader(io.StringIO(comparison_csv(three))))
    assert len(rows) == (2 + 1 + 1) * (13 + 2) * len(PAIRED)
    assert {row["comparison"] for row in rows} == {"baseline", "translation effect", "ceiling"}
    (row,) = [r for r in rows if (r["comparison"], r["feature"], r["metric"]) == ("ceiling", "pain", "mcc")]
    item = three.ceiling[0].result.features["pain"]["mcc"]
    assert (float(row["difference"]), float(row["low"]), float(row["p_holm"])) == (
        item.difference,
        item.interval.low,
        item.p_holm,
    )


def test_the_document_is_json_without_nan():
    table = invented_table(20, errors=0)
    gold = table.gold.copy()
    gold[:, 0] = 0
    found = compared((run("a"), replace(table, gold=gold)), (run("b"), replace(invented_table(20, seed=1), gold=gold)))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["against_baseline"][0]["features"][SET.ids[0]]["mcc"]["p"] is None
    assert any("of one class" in note for note in grid(found, "By feature").notes)
    assert document["arms"][0]["scores"]["undefined"] == [SET.ids[0]]


def test_one_transcript_can_be_compared():
    found = compared((run("a"), invented_table(1)), (run("b"), invented_table(1, seed=1)))
    assert found.to_dict()["against_baseline"][0]["mean"]["mcc"]["difference"] is None
    assert comparison_markdown(found)


def test_latex_escapes_what_latex_would_read():
    table = Grid(
        "50 % & more", ("Name", "Value"), (("a_b {x} #1 $ ^ ~ \\ <", "[-0.10, +0.20]"), ("qwen2.5-7b", "–")), ("p_1",)
    )
    text = latex_table(table)
    assert r"\caption{50 \% \& more}" in text
    assert (
        r"a\_b \{x\} \#1 \$ \textasciicircum{} \textasciitilde{} \textbackslash{} \textless{} & {}[$-$0.10, +0.20] \\"
        in text
    )
    assert r"qwen2.5-7b & -- \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert latex_text("two\nlines") == "two lines"
    assert text.count(r"\begin") == text.count(r"\end") == 2


def test_nothing_knows_how_many_features_there_are():
    tables = [invented_table(40, ("x", "y"), seed=i) for i in range(2)]
    found = compared(*((run(str(i), labels={}), t) for i, t in enumerate(tables)))
    assert [row[0] for row in grid(found, "By feature").rows] == ["x", "y"]
    assert np.isfinite(found.against_baseline[0].result.mean["mcc"].difference)


def test_all_transcripts_failing_in_one_arm_leaves_nothing():
    table = invented_table(10)
    failed = replace(table, state=np.full_like(table.state, ERROR))
    with pytest.raises(InputError, match="no transcript that all of them have answered"):
        compared((run("a"), table), (run("b"), failed))
