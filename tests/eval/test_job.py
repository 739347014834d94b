"""One evaluation from a data file to a run folder, with an engine that answers at once."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from balin.data.corpus import read_corpus
from balin.data.readers import read_dataset
from balin.data.split import count_scorings, log_path, make_split, write_split
from balin.data.store import Store
from balin.errors import CallTimeout, DataError, InputError, ModelChanged
from balin.eval.evaluation import evaluate_answers
from balin.eval.job import run_evaluation
from balin.eval.runs import read_predictions, read_run

sys.path.append(str(Path(__file__).parent))
from calls import (  # type: ignore[import-not-found]
    SET,
    Call,
    WordEngine,
    calls_file,
    demo_texts,
    job,
    some_calls,
    take,
    texts_asked,
    write_calls,
)

MODEL = "smollm2:135m"
FILES = ["metrics.json", "predictions.parquet", "program.json", "report.md", "run.json", "transcripts.parquet"]
DOCUMENT = {
    "run",
    "n",
    "model",
    "route",
    "english",
    "program",
    "format",
    "scores",
    "answers",
    "seconds_per_transcript",
    "engine_seconds_per_transcript",
    "translation_seconds_per_transcript",
    "tokens",
}


@pytest.fixture
def engine(monkeypatch):
    made = WordEngine(deaf={"pain"})
    take(monkeypatch, made)
    return made


def in_parts(pool, dev, test):
    parts = ["pool"] * pool + ["dev"] * dev + ["test"] * test
    return [replace(call, part=part) for call, part in zip(some_calls(len(parts)), parts, strict=True)]


def test_what_a_run_leaves(tmp_path, engine):
    pool = read_dataset(write_calls(tmp_path / "pool.csv", some_calls(2, 50)), SET)
    made = job(tmp_path, calls_file(tmp_path), demos=1, demos_from=pool, command=("balin", "evaluate", "--demos", "1"))
    outcome = run_evaluation(made)
    assert sorted(p.name for p in outcome.folder.iterdir()) == FILES
    assert outcome.folder.parent == tmp_path / "runs"
    assert sorted(p.name for p in outcome.folder.parent.iterdir()) == sorted(
        [outcome.folder.name, "models.json", "store"]
    )
    run = read_run(outcome.folder)
    assert run == {"schema": 1, **json.loads(json.dumps(outcome.run))}
    assert run["command"] == "balin evaluate --demos 1"
    assert run["data"] | {"name": ""} == {
        "name": "",
        "sha256": made.dataset.sha256,
        "part": "all",
        "n": 4,
        "rejects": 0,
        "split": None,
        "split_sha256": None,
        "test_scored": None,
    }
    assert run["model"]["digest"] == engine.identity.digest
    assert run["demos"]["n"] == 1
    assert run["demos"]["ids"][0] in ("c50", "c51")
    assert run["feature_set"] == {"id": "palliative13", "hash": SET.hash, "n": 13}
    assert run["program"]["hash"] == json.loads((outcome.folder / "program.json").read_text())["hash"]
    assert {"started", "finished", "seconds", "versions", "git", "seeds"} <= set(run)
    assert (outcome.folder / "report.md").read_text(encoding="utf-8") == outcome.report


def test_only_the_owner_can_read_what_a_run_leaves(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path), route="translated"))
    for folder in (tmp_path / "runs", outcome.folder, tmp_path / "runs" / "store"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for file in (*outcome.folder.iterdir(), *(tmp_path / "runs" / "store").iterdir()):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert sorted(p.name for p in (tmp_path / "runs" / "store").iterdir()) == [
        "predictions.jsonl",
        "translations.jsonl",
    ]


@pytest.mark.parametrize("route", ["direct", "translated"])
@pytest.mark.parametrize("answer_format", ["lines", "json", "present", "probe"])
def test_the_scores_are_those_of_the_answers(tmp_path, engine, route, answer_format):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path, 6), route=route, format=answer_format))
    pain, fever = outcome.scores.features["pain"], outcome.scores.features["fever"]
    assert (pain.values["sensitivity"], pain.values["mcc"]) == (0.0, 0.0)
    assert (fever.values["sensitivity"], fever.values["specificity"], fever.values["mcc"]) == (1.0, 1.0, 1.0)
    assert outcome.scores.answers["true"] + outcome.scores.answers["false"] == 6 * 13
    assert (fever.values["auc"] is not None) == (answer_format == "probe")
    written = json.loads((outcome.folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(outcome.scores.to_dict()))
    assert evaluate_answers(read_predictions(outcome.folder)) == outcome.scores


def test_the_document_holds_all_that_issue_2_names(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path, 3), route="translated"))
    document = json.loads(json.dumps(outcome.document(), allow_nan=False))
    assert set(document) >= DOCUMENT
    assert (document["n"], document["model"], document["route"]) == (3, MODEL, "translated")
    assert (document["english"], document["program"], document["format"]) == ("model", "study", "lines")
    assert document["run"] == str(outcome.folder)
    for metric in ("macro_f1", "mcc"):
        assert {"mean", "median"} <= set(document["scores"][metric])
    assert document["scores"]["mcc"]["mean"] == pytest.approx(12 / 13)
    assert document["scores"]["sensitivity"]["median"] == document["scores"]["specificity"]["median"] == 1.0
    assert set(document["answers"]) == {"true", "false", "missing", "error"}
    assert sum(document["answers"].values()) == 3 * 13
    assert set(document["tokens"]) == {"prompt", "cached", "generated"}
    assert document["tokens"]["prompt"] > 100
    assert document["tokens"]["cached"] == 90
    assert document["engine_seconds_per_transcript"] == 0.375
    assert 0 <= document["seconds_per_transcript"] < 1
    assert 0 <= document["translation_seconds_per_transcript"] < 1


def test_the_direct_route_has_no_figures_of_a_translation(tmp_path, engine):
    document = run_evaluation(job(tmp_path, calls_file(tmp_path))).document()
    assert document["english"] is document["translator"] is document["translation_seconds_per_transcript"] is None


def test_run_again_nothing_is_asked_and_all_figures_are_the_same(tmp_path, engine):
    data = calls_file(tmp_path)
    first = run_evaluation(job(tmp_path, data, route="translated"))
    asked = engine.requests
    second = run_evaluation(job(tmp_path, data, route="translated"))
    assert engine.requests == asked == 8
    assert second.folder == first.folder
    assert second.scores == first.scores
    assert second.document() == first.document() | {"stored": 4}
    assert first.document()["stored"] == 0


def test_stopped_in_the_middle_no_half_run_is_left_and_it_goes_on(tmp_path, engine):
    def stops(number):
        if number == 3:
            raise KeyboardInterrupt

    engine.before = stops
    data = calls_file(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_evaluation(job(tmp_path, data))
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["models.json", "store"]
    outcome = run_evaluation(job(tmp_path, data))
    assert engine.requests == 5
    assert outcome.document()["stored"] == 2


def test_a_larger_limit_asks_only_for_what_is_new(tmp_path, engine):
    data = calls_file(tmp_path, 6)
    first = run_evaluation(job(tmp_path, data, limit=2))
    assert [t["id"] for t in pd.read_parquet(first.folder / "transcripts.parquet").to_dict("records")] == ["c0", "c1"]
    second = run_evaluation(job(tmp_path, data, limit=5))
    assert engine.requests == 5
    assert (first.scores.n, second.scores.n) == (2, 5)
    assert first.folder != second.folder


def test_too_many_errors_are_flagged_and_none_is_stored(tmp_path, engine):
    def sometimes(number):
        if number == 2:
            raise CallTimeout("slow")

    engine.before = sometimes
    data = calls_file(tmp_path, 50)
    outcome = run_evaluation(job(tmp_path, data))
    assert outcome.document()["answers"]["error"] == 13
    assert not outcome.document()["errors_exceeded"]  # 1 of 50 is 2 %, and not over it
    outcome = run_evaluation(job(tmp_path, data, limit=49))
    assert not outcome.document()["errors_exceeded"]
    assert engine.requests == 51
    engine.before = lambda number: sometimes(2)
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path / "more", 51), limit=51))
    assert (outcome.document()["errors_exceeded"], outcome.document()["answers"]["error"]) == (False, 13)
    outcome = run_evaluation(job(tmp_path, write_calls(tmp_path / "new.csv", some_calls(49, 2)), limit=49))
    assert outcome.run["failures"] == {"timeout": 1}
    assert outcome.document()["errors_exceeded"]
    assert "over the limit of 2 %" in outcome.report


def test_where_every_call_fails_the_figures_are_null_and_the_run_is_written(tmp_path, engine):
    def fails(number):
        raise CallTimeout("slow")

    engine.before = fails
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path, 3), route="translated"))
    document = json.loads(json.dumps(outcome.document(), allow_nan=False))
    assert document["errors_exceeded"]
    assert document["scores"]["mcc"] == {"mean": None, "median": None, "mean_interval": None, "median_interval": None}
    assert document["answers"]["error"] == 39
    for name in ("seconds_per_transcript", "engine_seconds_per_transcript", "translation_seconds_per_transcript"):
        assert document[name] is None
    assert document["tokens"] == {"prompt": None, "cached": None, "generated": None}
    assert evaluate_answers(read_predictions(outcome.folder)) == outcome.scores


def test_tokens_are_null_where_the_engine_does_not_say(tmp_path, engine, monkeypatch):
    cost = engine._cost
    monkeypatch.setattr(engine, "_cost", lambda *a: replace(cost(*a), cached_tokens=None))
    document = run_evaluation(job(tmp_path, calls_file(tmp_path))).document()
    assert document["tokens"]["cached"] is None
    assert document["tokens"]["prompt"] > 100


def test_without_parts_all_is_scored_and_with_parts_the_dev_part(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path)))
    assert (outcome.run["data"]["part"], outcome.scores.n) == ("all", 4)
    assert not (tmp_path / "runs" / "splits").exists()
    own = write_calls(tmp_path / "own.csv", in_parts(2, 3, 4))
    outcome = run_evaluation(job(tmp_path, own, demos=1))
    assert (outcome.run["data"]["part"], outcome.scores.n) == ("dev", 3)
    assert set(outcome.run["demos"]["ids"]) <= {"c0", "c1"}
    assert Path(outcome.run["data"]["split"]).parent == tmp_path / "runs" / "splits"
    assert len(outcome.run["data"]["split_sha256"]) == 64


def test_a_split_seed_splits_and_the_split_is_kept(tmp_path, engine):
    data = calls_file(tmp_path, 20)
    first = run_evaluation(job(tmp_path, data, split_seed=3, demos=2))
    files = sorted(p.name for p in (tmp_path / "runs" / "splits").iterdir())
    assert files == [f"calls-{read_dataset(data, SET).sha256[:8]}-seed3.json"]
    assert first.run["data"]["part"] == "dev"
    split = json.loads((tmp_path / "runs" / "splits" / files[0]).read_text())
    assert set(first.run["demos"]["ids"]) <= set(split["parts"]["pool"])
    again = run_evaluation(job(tmp_path, data, split_seed=3, demos=2))
    assert again.run["data"]["split_sha256"] == first.run["data"]["split_sha256"]
    other = run_evaluation(job(tmp_path, data, split_seed=4, demos=2))
    assert other.run["data"]["split_sha256"] != first.run["data"]["split_sha256"]


def test_a_split_file_is_followed(tmp_path, engine):
    dataset = read_dataset(calls_file(tmp_path, 20), SET)
    split = make_split(dataset, SET, seed=7)
    write_split(split, tmp_path / "split.json")
    outcome = run_evaluation(job(tmp_path, dataset, split=tmp_path / "split.json", part="test", demos=2))
    assert set(read_predictions(outcome.folder).ids) == set(split.parts["test"])
    assert set(outcome.run["demos"]["ids"]) <= set(split.parts["pool"])
    with pytest.raises(InputError, match="give one of them"):
        run_evaluation(job(tmp_path, dataset, split=tmp_path / "split.json", split_seed=7))
    with pytest.raises(DataError, match="no such split file"):
        run_evaluation(job(tmp_path, dataset, split=tmp_path / "none.json"))


@pytest.mark.parametrize(("part", "counts"), [("pool", 0), ("dev", 0), ("test", 1), ("all", 1)])
def test_scoring_the_test_part_is_logged_and_every_report_shows_the_count(tmp_path, engine, part, counts):
    dataset = read_dataset(write_calls(tmp_path / "own.csv", in_parts(3, 3, 3)), SET)
    write_split(make_split(dataset, SET, seed=0), tmp_path / "split.json")
    outcome = run_evaluation(job(tmp_path, dataset, split=tmp_path / "split.json", part=part))
    assert outcome.run["data"]["test_scored"] == count_scorings(tmp_path / "split.json") == counts
    if not counts:
        return
    entry = json.loads(log_path(tmp_path / "split.json").read_text())
    assert entry["run"] == outcome.folder.name
    assert entry["n"] == outcome.scores.n
    assert entry["program"].startswith("study@")
    later = run_evaluation(job(tmp_path, dataset, split=tmp_path / "split.json", part="dev"))
    assert later.run["data"]["test_scored"] == 1
    for report in (outcome.report, later.report):
        assert any("test part" in line.casefold() and "1" in line for line in report.splitlines()), report


def test_the_corpus_lends_its_pool_where_the_data_have_none(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path), demos=2))
    pool = read_corpus(SET).part("pool")
    assert set(outcome.run["demos"]["ids"]) <= set(pool.by_id)
    assert demo_texts(engine) == {pool.by_id[i].text for i in outcome.run["demos"]["ids"]}


def test_demos_from_another_file(tmp_path, engine):
    other = read_dataset(write_calls(tmp_path / "other.csv", some_calls(3, 50)), SET)
    own = write_calls(tmp_path / "own.csv", in_parts(3, 3, 0))
    outcome = run_evaluation(job(tmp_path, own, demos=3, demos_from=other))
    assert sorted(outcome.run["demos"]["ids"]) == ["c50", "c51", "c52"]
    assert outcome.run["demos"]["from"] == str(tmp_path / "other.csv")


def test_demos_from_a_file_with_parts_come_from_its_pool(tmp_path, engine):
    other = read_dataset(write_calls(tmp_path / "other.csv", in_parts(2, 8, 8)), SET)
    scored = write_calls(tmp_path / "own.csv", some_calls(2, 50))
    outcome = run_evaluation(job(tmp_path, scored, demos=2, demos_from=other))
    assert sorted(outcome.run["demos"]["ids"]) == ["c0", "c1"]


def test_given_english_labels_the_run_and_asks_no_translator(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path), route="translated", english="given"))
    assert engine.translations() == 0
    document = outcome.document()
    assert (document["route"], document["english"], document["translator"]) == ("translated", "given", None)
    assert document["translation_seconds_per_transcript"] is None
    assert "given" in outcome.folder.name
    assert "given" in outcome.report
    assert all(text.startswith("The patient") for text in texts_asked(engine))


def test_the_routes_share_no_run_and_no_answer(tmp_path, engine):
    engine.english = lambda text: "Translated: " + text
    data = calls_file(tmp_path)
    folders = [
        run_evaluation(job(tmp_path, data, route=route, english=english)).folder
        for route, english in (("direct", "model"), ("translated", "model"), ("translated", "given"))
    ]
    assert len(set(folders)) == 3
    assert Store(tmp_path / "runs" / "store").count("predictions") == 12


def test_a_program_file_gives_the_same_scores_and_is_not_scored_on_its_demos(tmp_path, engine):
    own = write_calls(tmp_path / "own.csv", in_parts(3, 4, 2))
    first = run_evaluation(job(tmp_path, own, demos=2))
    asked = engine.requests
    path = str(first.folder / "program.json")
    second = run_evaluation(job(tmp_path, own, program=path, demos=None))
    assert engine.requests == asked
    assert second.scores == first.scores
    assert second.run["program"] == first.run["program"]
    assert second.document()["demos"] == 2
    program = (first.folder / "program.json").read_bytes()
    assert (second.folder / "program.json").read_bytes() == program
    with pytest.raises(InputError, match="its demos hold the text of 2 transcripts"):
        run_evaluation(job(tmp_path, own, program=path, demos=None, part="pool"))
    assert engine.requests == asked


def test_a_changed_model_is_refused_unless_accepted(tmp_path, engine):
    data = calls_file(tmp_path)
    run_evaluation(job(tmp_path, data))
    engine.identity = replace(engine.identity, digest="sha256:" + "c" * 64)
    with pytest.raises(ModelChanged, match="use another --out, or --accept-model-change"):
        run_evaluation(job(tmp_path, data))
    run_evaluation(job(tmp_path, data, out=tmp_path / "other"))
    accepted = run_evaluation(job(tmp_path, data, accept_model_change=True))
    assert accepted.run["model"]["digest"].endswith("c" * 64)
    assert engine.requests == 12


def test_the_numbers_of_a_report_and_of_its_warnings(tmp_path, engine):
    own = write_calls(tmp_path / "own.csv", in_parts(4, 3, 0))
    outcome = run_evaluation(job(tmp_path, own, part="pool", demos=1))
    assert outcome.run["demos"]["held_out"] == 1
    assert outcome.scores.n == outcome.run["data"]["n"] == 3
    assert any(w.startswith("1 transcripts of the part are not scored") for w in outcome.run["warnings"])
    assert "1 transcripts of the part are not scored" in outcome.report


def test_rejected_rows_are_counted(tmp_path, engine):
    data = write_calls(tmp_path / "calls.csv", [*some_calls(3), *some_calls(1)])
    outcome = run_evaluation(job(tmp_path, data))
    assert (outcome.run["data"]["rejects"], outcome.scores.n) == (
        len(read_dataset(data, SET).rejects),
        outcome.scores.n,
    )
    assert outcome.run["data"]["rejects"] > 0


def test_one_call_is_enough(tmp_path, engine):
    outcome = run_evaluation(job(tmp_path, write_calls(tmp_path / "one.csv", [Call("only", frozenset({"fever"}))])))
    assert outcome.scores.n == 1
    assert len(outcome.scores.undefined) == 13
    assert json.dumps(outcome.document(), allow_nan=False)
