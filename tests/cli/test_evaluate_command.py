"""`balin evaluate`: from options to a run and a last line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from balin.data.corpus import read_corpus
from balin.errors import CallTimeout
from balin.eval.runs import read_predictions, read_run

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import (  # type: ignore[import-not-found]
    SET,
    WordEngine,
    demo_texts,
    some_calls,
    take,
    texts_asked,
    write_calls,
)
from ollama_server import serve  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")


@pytest.fixture
def data(tmp_path):
    return write_calls(tmp_path / "calls.csv", some_calls(5))


def test_a_seed_for_which_nothing_is_drawn_is_refused(balin, engine, data):
    for others in (("--program", "zero-shot"), ("--demos", 0)):
        found = balin("evaluate", "--data", data, *EMBEDDED, *others, "--seed", 3)
        assert found.code == 2
        assert "draws no demos here, so it would have no effect" in found.err
    assert engine.requests == 0


def test_one_json_document_is_the_whole_output(balin, engine, data):
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json")
    assert found.code == 0
    assert found.out.count("\n") == 1
    document = found.document
    run = Path(document["run"])
    assert run.parent == Path("runs")
    assert document == document | {
        "n": 5,
        "model": "smollm2:135m",
        "engine": "embedded",
        "route": "direct",
        "english": None,
        "program": "study",
        "format": "lines",
        "demos": 0,
    }
    for metric in ("macro_f1", "mcc"):
        assert isinstance(document["scores"][metric]["mean"], float)
        assert isinstance(document["scores"][metric]["median"], float)
    for metric in ("sensitivity", "specificity"):
        assert document["scores"][metric]["median"] == 1.0
    assert set(document["answers"]) == {"true", "false", "missing", "error"}
    for name in ("seconds_per_transcript", "engine_seconds_per_transcript"):
        assert document[name] >= 0
    assert document["translation_seconds_per_transcript"] is None
    assert set(document["tokens"]) == {"prompt", "cached", "generated"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert document["scores"] == metrics["missing_as_false"]
    assert document["answers"] == metrics["answers"]
    assert "By feature" in found.err
    assert f"run: {run}" in found.err


def test_without_json_the_tables_are_the_output(balin, engine, data):
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0)
    assert found.code == 0
    assert "All answers pooled" in found.out
    assert "Macro-F1" in found.out
    assert "{" not in found.out
    assert "run: runs/" in found.err
    assert "extracting 5/5" in found.err


def test_progress_where_there_is_a_terminal(balin, engine, data, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--route", "translated", "--json")
    assert found.code == 0
    assert found.document["n"] == 5
    assert "translating" in found.err
    assert "5/5" in found.err


def test_all_options_reach_the_run(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(40))
    demos = write_calls(tmp_path / "demos.csv", some_calls(6, 100))
    found = balin(
        "evaluate", "--data", data, "--features", "palliative13", *EMBEDDED, "--route", "translated",
        "--translator", "qwen2.5-coder:1.5b", "--program", "few-shot", "--format", "json", "--demos", 2, "--demos-from", demos,
        "--part", "test", "--split-seed", 4, "--limit", 3, "--seed", 9, "--language", "fa", "--name", "mine",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    run = read_run(tmp_path / "out" / "mine")
    assert found.document["run"] == str(tmp_path / "out" / "mine")
    assert run["settings"] == {
        "model": "smollm2:135m",
        "program": "few-shot",
        "route": "translated",
        "english": "model",
        "translator": "qwen2.5-coder:1.5b",
        "translator_program": None,
        "format": "json",
        "language": "fa",
        "demos": 2,
        "seed": 9,
        "part": "test",
        "limit": 3,
    }
    assert (run["seeds"]["split"], run["seeds"]["demos"]) == (4, 9)
    assert (run["program"]["language"], run["format"]) == ("fa", "json")
    assert run["data"]["test_scored"] == 1
    assert run["demos"]["from"] == str(demos)
    assert found.document["translator"] == engine.identity.name


def test_the_command_that_was_given_is_in_the_run(balin, engine, data):
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json")
    run = read_run(Path(found.document["run"]))
    assert run["command"].split()[:4] == ["balin", "evaluate", "--data", str(data)]


def test_the_shipped_corpus_is_the_default_and_its_dev_part_is_scored(balin, engine):
    found = balin("evaluate", *EMBEDDED, "--limit", 3, "--json")
    assert found.code == 0, found.err
    run = read_run(Path(found.document["run"]))
    corpus = read_corpus(SET)
    assert (run["data"]["name"], run["data"]["part"]) == ("corpus", "dev")
    assert set(read_predictions(Path(found.document["run"])).ids) <= set(corpus.part("dev").by_id)
    assert set(run["demos"]["ids"]) <= set(corpus.part("pool").by_id)
    assert len(run["demos"]["ids"]) == 3


def test_run_again_it_asks_nothing(balin, engine, data):
    first = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json").document
    asked = engine.requests
    second = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json").document
    assert engine.requests == asked == 5
    assert second == first | {"stored": 5}


def test_too_many_errors_exit_1_with_everything_written(balin, engine, data):
    def second_fails(number):
        if number == 2:
            raise CallTimeout("slow")

    engine.before = second_fails
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json")
    assert found.code == 1
    assert found.document["errors_exceeded"]
    assert "timeout 1" in found.err
    assert read_run(Path(found.document["run"]))["failures"] == {"timeout": 1}
    again = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json")
    assert (again.code, engine.requests) == (0, 6)


def test_a_changed_model_is_3_and_can_be_accepted(balin, engine, data):
    assert balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0).code == 0
    engine.identity = replace(engine.identity, digest="sha256:" + "c" * 64)
    refused = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0)
    assert refused.code == 3
    assert "--accept-model-change" in refused.err
    assert engine.requests == 5
    assert balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--accept-model-change").code == 0
    assert engine.requests == 10


def test_rows_that_cannot_be_used_are_told_and_written(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", [*some_calls(3), *some_calls(1)])
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--rejects", tmp_path / "rejects.csv", "--json")
    assert found.code == 0
    assert "cannot be used; see" in found.err
    assert "c0" in (tmp_path / "rejects.csv").read_text()
    assert found.document["n"] + read_run(Path(found.document["run"]))["data"]["rejects"] == 4


def test_the_test_part_is_counted_in_the_report(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(20))
    assert balin("data", "split", data, "--to", "split.json", "--split-seed", 1).code == 0
    options = ("--data", data, *EMBEDDED, "--split", "split.json", "--part", "test", "--demos", 1, "--json")
    for seed, times in ((0, "1"), (1, "2")):
        found = balin("evaluate", *options, "--seed", seed)
        assert found.code == 0
        report = balin("report", found.document["run"], "--markdown").out
        assert any("test part" in line.casefold() and times in line for line in report.splitlines()), report
    lines = (tmp_path / "split.json.log.jsonl").read_text().splitlines()
    assert [json.loads(line)["part"] for line in lines] == ["test", "test"]


def test_the_winner_is_run_again_from_its_file(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(20))
    options = ("--data", data, *EMBEDDED, "--split-seed", 2, "--json")
    first = balin("evaluate", *options, "--demos", 2, "--format", "probe").document
    asked = engine.requests
    program = Path(first["run"]) / "program.json"
    second = balin("evaluate", *options, "--program", program).document
    assert engine.requests == asked
    assert second["scores"] == first["scores"]
    refused = balin("evaluate", *options, "--program", program, "--part", "pool")
    assert refused.code == 2
    assert "its demos hold the text of 2 transcripts" in refused.err
    other = balin("evaluate", *options, "--program", program, "--format", "json")
    assert (other.code, other.document["format"]) == (0, "json")
    assert demo_texts(engine)


def test_two_routes_and_the_files_own_english(balin, engine, data):
    documents = [
        balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--json", *more).document
        for more in ((), ("--route", "translated"), ("--route", "translated", "--english", "given"))
    ]
    assert [(d["route"], d["english"]) for d in documents] == [
        ("direct", None),
        ("translated", "model"),
        ("translated", "given"),
    ]
    assert len({d["run"] for d in documents}) == 3
    assert engine.translations() == 5
    assert documents[1]["translation_seconds_per_transcript"] is not None


@pytest.mark.parametrize("options", [("--translator", "aya-expanse:8b"), ("--english", "given")])
def test_an_option_of_the_translated_route_is_not_silently_ignored_on_the_direct_one(balin, engine, data, options):
    found = balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, *options)
    assert found.code == 2
    assert options[0] in found.err
    assert "--route translated" in found.err


def test_auto_takes_ollama_where_it_has_the_model_and_says_so(balin, engine, data):
    behind = WordEngine()
    with serve(behind) as server:
        options = ("--data", data, "--model", "smollm2:135m", "--demos", 0, "--host", server.url, "--json")
        found = balin("evaluate", *options)
        assert found.code == 0, found.err
        assert "engine: Ollama 0.33.0" in found.err
        assert (found.document["engine"], behind.requests, engine.requests) == ("ollama", 5, 0)
        assert "Ollama 0.33.0" in read_run(Path(found.document["run"]))["engine_note"]
        found = balin("evaluate", *options, "--engine", "embedded")
        assert (found.document["engine"], engine.requests) == ("embedded", 5)
        server.model = "another:1b"
        found = balin("evaluate", *options, "--out", "elsewhere")
        assert (found.code, found.document["engine"]) == (0, "embedded")
        assert "engine: embedded llama.cpp (Ollama at" in found.err
    found = balin("evaluate", *options, "--out", "third")
    assert "engine: embedded llama.cpp (Ollama does not answer" in found.err


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("answer_format", ["lines", "json", "present", "probe"])
def test_behind_ollama_the_answers_are_the_same(balin, data, slots, answer_format):
    behind = WordEngine(deaf={"pain"})
    with serve(behind) as server:
        found = balin(
            "evaluate", "--data", data, "--model", "smollm2:135m", "--engine", "ollama", "--host", server.url,
            "--slots", slots, "--format", answer_format, "--demos", 0, "--route", "translated", "--json",
        )  # fmt: skip
    assert found.code == 0, found.err
    assert found.document["scores"]["mcc"]["mean"] == pytest.approx(12 / 13)
    assert found.document["tokens"]["cached"] is None
    assert behind.requests == 5 + 5 * (13 if answer_format == "probe" else 1)


def test_another_feature_set_in_another_language(balin, tmp_path, monkeypatch):
    """Nine other features and German notes: nothing knows the number 13, Persian, or the shipped corpus."""
    features = [f"  - {{id: f{i}, label: {{de: Merkmal{i}}}, definition: {{de: Merkmal {i}.}}}}" for i in range(9)]
    (tmp_path / "neun.yaml").write_text(
        "schema: 1\nid: neun\nsource_language: de\nsubject: {de: eine Notiz}\n"
        "columns: {id: [nummer], text: [notiz]}\nfeatures:\n" + "\n".join(features) + "\n",
        encoding="utf-8",
    )
    rows = ["nummer,notiz," + ",".join(f"f{i}" for i in range(9))]
    rows += [f"n{j},Notiz {j}," + ",".join(str((i + j) % 2) for i in range(9)) for j in range(6)]
    (tmp_path / "notizen.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    class German(WordEngine):  # type: ignore[misc]
        def chat(self, request):
            self._count(request.messages)
            return self._said("\n".join(f"Merkmal{i}: True" for i in range(9)), "")

    engine = German()
    take(monkeypatch, engine)
    options = ("--features", "neun.yaml", "--data", "notizen.csv", *EMBEDDED, "--language", "de", "--json")
    found = balin("evaluate", *options, "--demos", 0)
    assert found.code == 0, found.err
    assert found.document["answers"] == {"true": 54, "false": 0, "missing": 0, "error": 0}
    assert found.document["scores"]["mcc"]["mean"] == 0.0
    found = balin("evaluate", *options)
    assert found.code == 2
    assert "3 demos were asked for" in found.err
    assert texts_asked(engine)


class TestBundle:
    @pytest.fixture
    def bundle(self, balin, engine, tmp_path):
        data = write_calls(tmp_path / "calls.csv", some_calls(4))
        made = ("--data", data, *EMBEDDED, "--demos", 0, "--format", "json", "--name", "mine")
        assert balin("evaluate", *made).code == 0
        assert balin("export", "runs/mine", "--to", "mine.balin").code == 0
        return "mine.balin"

    def test_a_bundle_is_scored(self, balin, bundle, tmp_path):
        data = write_calls(tmp_path / "site.csv", some_calls(3, 300))
        found = balin("evaluate", "--data", data, "--program", bundle, "--name", "site", "--json")
        assert found.code == 0, found.err
        document = found.document
        assert (document["n"], document["format"], document["engine"], document["model"]) == (
            3,
            "json",
            "embedded",
            "smollm2:135m",
        )
        assert document["bundle"]["path"] == bundle
        run = json.loads((tmp_path / "runs/site/run.json").read_text())
        assert run["command"].endswith(f"--program {bundle} --name site --json")
        assert balin("evaluate", "--data", "calls.csv", "--program", bundle, "--name", "same").code == 0
        for command in (("report", "runs/site"), ("errors", "runs/site"), ("compare", "runs/mine", "runs/same")):
            assert balin(*command).code == 0
        assert "bundle cannot be taken apart" in balin("export", "runs/site", "--to", "again.balin").err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--format", "probe"), "--format probe contradicts"),
            (("--model", "qwen2.5-coder:1.5b"), "--model qwen2.5-coder:1.5b contradicts"),
            (("--demos", 3), "--demos 3 contradicts"),
            (("--language", "fa"), "--language fa contradicts"),
            (("--route", "translated"), "--route translated contradicts"),
            (("--translator-program", "t.json"), "--translator-program t.json contradicts"),
            (("--seed", 1), "--seed: a bundle draws nothing"),
        ],
    )
    def test_what_contradicts_it_is_refused(self, balin, bundle, options, said):
        found = balin("evaluate", "--data", "calls.csv", "--program", bundle, *options)
        assert found.code == 2
        assert said in found.err

    def test_what_is_none(self, balin, bundle):
        found = balin("evaluate", "--data", "calls.csv", "--program", "none.balin")
        assert (found.code, "there is no such bundle" in found.err) == (2, True)
        found = balin("evaluate", "--data", "calls.csv", "--program", "runs/mine")
        assert found.code == 2
        assert "runs/mine/program.json" in found.err
