"""A run becomes a bundle: what it says, whose texts it may hold, and which runs it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from calls import IDENTITY, SET, some_calls, write_calls  # type: ignore[import-not-found]

from balin.deployment.export import export_run
from balin.errors import InputError, ProgramError, RunError
from balin.eval.scores import Scores
from balin.programs.extractor import Extractor
from balin.programs.saving import load_program, save_program
from balin.signatures.features import load_feature_set

CORPUS_DEMOS = {"program": "study", "demos": 3}


def exported(folder, **options):
    return export_run(folder, SET, **options)


def edit(folder, name, change):
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_the_manifest_says_where_it_comes_from(make_run):
    folder = make_run(format="json")
    made = exported(folder).manifest
    run = json.loads((folder / "run.json").read_text())
    assert made.run == folder.name
    assert (made.route, made.reads) == ("direct", "text")
    assert made.models["extract"].identity == IDENTITY
    assert set(made.models) == {"extract"}
    assert made.program.hash == run["program"]["hash"]
    assert (made.data.name, made.data.sha256, made.data.part, made.data.n) == (
        "calls.csv",
        run["data"]["sha256"],
        "all",
        4,
    )
    assert made.feature_set_hash == SET.hash
    assert made.tried is None
    assert made.demos == ()
    scores = Scores.from_dict(json.loads((folder / "metrics.json").read_text()))
    assert made.scores == scores.summary("false")
    assert set(made.files) == {"steps.json", "test_vector.json", "metrics.json", "MODEL_CARD.md"}


def test_a_run_exported_twice_differs_in_its_date_alone(make_run):
    folder = make_run(format="json")
    first, second = exported(folder), exported(folder)
    assert {k: v for k, v in first.files.items() if k != "manifest.json"} == {
        k: v for k, v in second.files.items() if k != "manifest.json"
    }
    assert first.manifest.model_copy(update={"created": ""}) == second.manifest.model_copy(update={"created": ""})


def test_the_translated_route_brings_its_translator(make_run):
    made = exported(make_run(route="translated", format="json"))
    kinds = [s["kind"] for s in json.loads(made.files["steps.json"])]
    assert kinds == ["translate", "extract"]
    assert (made.manifest.route, made.manifest.reads) == ("translated", "text")
    assert made.manifest.models["translate"].name == IDENTITY.name


def test_given_english_is_read_and_not_made(make_run):
    made = exported(make_run(route="translated", english="given", format="json"))
    assert [s["kind"] for s in json.loads(made.files["steps.json"])] == ["extract"]
    assert (made.manifest.route, made.manifest.reads) == ("translated", "english")
    assert "no evidence about translating" in made.files["MODEL_CARD.md"].decode()


class TestDemos:
    def test_those_of_the_corpus_pass(self, make_run):
        made = exported(make_run(**CORPUS_DEMOS))
        assert len(made.manifest.demos) == 3
        assert {d.source for d in made.manifest.demos} == {"corpus"}
        assert all(d.id.startswith("c") and d.id[1:].isdigit() for d in made.manifest.demos)

    def test_those_of_the_corpus_in_the_runs_translation_pass_while_the_store_is_there(self, make_run):
        folder = make_run(route="translated", **CORPUS_DEMOS)
        assert {d.source for d in exported(folder).manifest.demos} == {"corpus"}
        (folder.parent / "store" / "translations.jsonl").unlink()
        with pytest.raises(InputError, match="--allow-demos"):
            exported(folder)

    def test_those_of_another_file_are_refused_and_each_is_named(self, make_run, tmp_path):
        data = write_calls(tmp_path / "own.csv", [*some_calls(5, 900, part="pool"), *some_calls(4, part="dev")])
        folder = make_run(data, **CORPUS_DEMOS)
        with pytest.raises(InputError, match="--allow-demos") as error:
            exported(folder)
        ids = json.loads((folder / "run.json").read_text())["demos"]["ids"]
        assert len(ids) == 3
        assert ", ".join(ids) in str(error.value)
        assert "بیمار" not in str(error.value)
        made = exported(folder, allow_demos=True)
        assert [(d.id, d.source) for d in made.manifest.demos] == [(i, "allowed") for i in ids]
        assert "It holds texts of the data it was made with" in made.files["MODEL_CARD.md"].decode()

    def test_what_a_run_says_of_itself_is_not_believed(self, make_run, tmp_path, corpus_set):
        data = write_calls(tmp_path / "own.csv", [*some_calls(5, 900, part="pool"), *some_calls(4, part="dev")])
        folder = make_run(data, **CORPUS_DEMOS)

        def lie(run):
            run["data"] |= {"name": "corpus", "sha256": corpus_set.sha256}
            run["demos"] |= {"ids": ["c001", "c002", "c003"], "from": "pool"}

        edit(folder, "run.json", lie)
        with pytest.raises(InputError, match="c001, c002, c003"):
            exported(folder)

    def test_a_program_file_has_no_ids_so_they_are_numbered(self, make_run, tmp_path):
        data = write_calls(tmp_path / "own.csv", [*some_calls(5, 900, part="pool"), *some_calls(4, part="dev")])
        first = make_run(data, **CORPUS_DEMOS)
        again = make_run(data, program=str(first / "program.json"), demos=None, part="dev", name="again")
        with pytest.raises(InputError, match="demo 1, demo 2, demo 3"):
            exported(again)


def choice(by="optimize-one", tried=7, demos=(), score=0.412):
    """As an optimization notes it in its winner's run."""
    return {
        "by": by,
        "tried": tried,
        "objective": "mcc",
        "score": score,
        "n": 4,
        "out_of_fold": False,
        "demos": list(demos),
    }


class TestTried:
    def test_the_run_tells_how_many_and_by_what(self, make_run):
        folder = make_run(format="json")
        edit(folder, "run.json", lambda run: run.update(chosen=[choice()]))
        made = exported(folder)
        assert made.manifest.tried == 7
        assert "7 configurations (optimize-one)" in made.files["MODEL_CARD.md"].decode()
        edit(folder, "run.json", lambda run: run.update(chosen=[choice(), choice("search-two", 40)]))
        made = exported(folder).manifest
        assert made.tried == 47
        assert [(c.by, c.tried, c.objective, c.score) for c in made.chosen] == [
            ("optimize-one", 7, "mcc", 0.412),
            ("search-two", 40, "mcc", 0.412),
        ]

    def test_a_run_of_an_earlier_balin_tells_nothing(self, make_run):
        folder = make_run(format="json")
        edit(folder, "run.json", lambda run: [run.pop(k) for k in ("chosen", "dev", "bundle")])
        made = exported(folder).manifest
        assert (made.tried, made.chosen, made.dev) == (None, (), None)

    def test_it_names_the_demos_of_a_program_file(self, make_run, tmp_path):
        data = write_calls(tmp_path / "own.csv", [*some_calls(5, 900, part="pool"), *some_calls(4, part="dev")])
        folder = make_run(data, **CORPUS_DEMOS)
        edit(folder, "run.json", lambda run: run["demos"].update(ids=[]))
        edit(folder, "run.json", lambda run: run.update(chosen=[choice(demos=("x1", "x2", "x3"))]))
        with pytest.raises(InputError, match="x1, x2, x3"):
            exported(folder)

    def test_the_card_shows_dev_beside_test(self, make_run, tmp_path):
        data = write_calls(tmp_path / "own.csv", [*some_calls(4, part="dev"), *some_calls(3, 50, part="test")])
        first = make_run(data, format="json", part="dev", name="first")
        warned = "The program's thresholds were fitted on these transcripts"
        edit(first, "run.json", lambda run: run.update(chosen=[choice()], warnings=[warned]))
        program = {"program": str(first / "program.json"), "demos": None}
        made = exported(make_run(data, part="test", **program))
        card = made.files["MODEL_CARD.md"].decode()
        assert "### Dev beside test" in card
        assert "Configurations tried: 7." in card
        assert f"Of the scores on dev: {warned}" in card
        assert made.manifest.dev is not None
        assert (made.manifest.dev.run, made.manifest.dev.n) == ("first", 4)
        assert made.manifest.on_dev() == made.manifest.dev
        on_dev = exported(first).manifest
        assert on_dev.dev is None
        assert on_dev.on_dev() == made.manifest.dev


def test_what_a_run_warns_of_stands_beside_its_scores(make_run):
    folder = make_run(format="json")
    warned = "The program's thresholds were fitted on these transcripts, so these scores flatter it."
    edit(folder, "run.json", lambda run: run.update(warnings=[warned]))
    made = exported(folder)
    scores = made.files["MODEL_CARD.md"].decode().partition("## How well it does")[2].partition("## What to know")[0]
    assert f"- {warned}" in scores
    assert made.manifest.warnings == (warned,)
    assert f"the run warns: {warned}" in made.notes


class TestRefused:
    def test_no_run(self, tmp_path):
        with pytest.raises(RunError, match=r"no run\.json"):
            exported(tmp_path)

    def test_a_baseline(self, make_run):
        folder = make_run(format="json")
        edit(folder, "run.json", lambda run: run.update(trained_on={"n": 3, "part": "pool"}))
        (folder / "program.json").unlink()
        with pytest.raises(InputError, match="asks no model"):
            exported(folder)

    def test_another_feature_set(self, make_run, tmp_path):
        path = tmp_path / "own.yaml"
        path.write_text("schema: 1\nid: own\nsource_language: de\nsubject: {de: x}\nfeatures:\n"
                        "  - {id: a, label: {de: A}, definition: {de: A}}\n")  # fmt: skip
        with pytest.raises(ProgramError, match="--features"):
            export_run(make_run(), load_feature_set(path))

    def test_a_program_that_was_not_scored(self, make_run):
        one, other = make_run(format="json", name="one"), make_run(format="lines", name="other")
        (one / "program.json").write_bytes((other / "program.json").read_bytes())
        with pytest.raises(ProgramError, match="not the program that was scored"):
            exported(one)

    def test_a_translation_prompt_that_is_no_more(self, make_run):
        folder = make_run(route="translated", format="json")
        edit(folder, "run.json", lambda run: run["translator"]["program"].update(hash="0" * 64))
        with pytest.raises(ProgramError, match="translations were made with another prompt"):
            exported(folder)

    @pytest.mark.parametrize("key", ["model", "data", "route", "labels"])
    def test_a_run_that_lacks_something(self, make_run, key):
        folder = make_run(format="json")
        edit(folder, "run.json", lambda run: run.pop(key))
        with pytest.raises(RunError, match=rf"run\.json: {key}"):
            exported(folder)

    @pytest.mark.parametrize("content", ["", "[]", '{"schema": 9}', '{"schema": 1}'])
    def test_scores_that_are_none(self, make_run, content):
        folder = make_run(format="json")
        (folder / "metrics.json").write_text(content)
        with pytest.raises(RunError):
            exported(folder)
        (folder / "metrics.json").unlink()
        with pytest.raises(RunError, match=r"metrics\.json: is missing"):
            exported(folder)


def test_what_to_know_is_said(make_run):
    made = exported(make_run(format="json"))
    assert [n for n in made.notes if "the part 'all'" in n]
    assert not [n for n in made.notes if "instructions" in n]
    folder = make_run(format="json")
    rewritten = Extractor(SET, name="gepa", format="json", instructions="As Mr Smith said in his call, look for pain.")
    save_program(rewritten, folder / "program.json")
    edit(folder, "run.json", lambda run: run["program"].update(hash=rewritten.hash()))
    assert [n for n in exported(folder).notes if "instructions are not Balin's own" in n]


def test_thresholds_are_shipped(make_run, tmp_path):
    first = make_run(format="json")
    program = load_program(first / "program.json", SET)
    program.thresholds = {"fever": 0.25}
    save_program(program, tmp_path / "own.json")
    made = exported(make_run(program=str(tmp_path / "own.json"), demos=None))
    (step,) = json.loads(made.files["steps.json"])
    assert step["thresholds"] == {"fever": 0.25}
    assert "fever 0.25" in made.files["MODEL_CARD.md"].decode()


def test_the_card_says_what_it_is(make_run):
    card = exported(make_run(**CORPUS_DEMOS)).files["MODEL_CARD.md"].decode()
    for said in (SET.title, IDENTITY.digest, "3 invented ones", "Apache-2.0", "not known", "| Macro-F1", "calls.csv"):
        assert said in card
    assert "nobody should be treated" in card


def test_a_bundle_of_the_corpus_says_that_its_calls_are_invented(make_run, corpus_set):
    few = replace(corpus_set, transcripts=corpus_set.part("dev").transcripts[:3])
    card = exported(make_run(few, format="json")).files["MODEL_CARD.md"].decode()
    assert "no evidence about patients" in card
