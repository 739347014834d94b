"""A bundle on labelled data: answered by its own steps, and a run like any other."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from calls import (  # type: ignore[import-not-found]
    IDENTITY,
    SET,
    WordEngine,
    job,
    some_calls,
    take,
    texts_asked,
    write_calls,
)

from balin.data.split import count_scorings
from balin.deployment.bundle import read_bundle, write_bundle
from balin.deployment.export import export_run
from balin.deployment.scoring import check_feature_set, demo_texts, names_bundle, score_bundle, settings_of
from balin.errors import InputError, ModelChanged
from balin.eval.choice import Choice, record_choice
from balin.eval.comparison import read_comparison
from balin.eval.job import run_evaluation
from balin.eval.runs import read_predictions
from balin.eval.shown import read_selection
from balin.eval.tables import report_markdown
from balin.eval.translation_quality import stored_translations
from balin.programs.saving import load_program, save_program
from balin.programs.translator import Translator
from balin.programs.translator_file import save_translator
from balin.programs.votes import Votes


@pytest.fixture
def parts(tmp_path):
    """Calls of one's own in all three parts."""
    some = [
        *some_calls(5, 900, part="pool"),
        *some_calls(4, part="dev"),
        *some_calls(3, 50, part="test"),
    ]
    return write_calls(tmp_path / "own.csv", some)


@pytest.fixture
def on_dev(make_run, parts):
    """The run on dev of a program with three of these calls as demos."""
    return make_run(parts, program="study", demos=3, part="dev", name="dev")


def bundle_of(folder, tmp_path, name="own.balin"):
    write_bundle(tmp_path / name, export_run(folder, SET, allow_demos=True).files)
    return read_bundle(tmp_path / name)


def score(bundle, data, tmp_path, out="scored", **fields):
    made = replace(job(tmp_path, data, **fields), arm=settings_of(bundle, {}), out=tmp_path / out)
    return score_bundle(bundle, made)


def answers(folder):
    table = read_predictions(folder)
    return table.ids, table.state.tolist(), table.gold.tolist()


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "lines", "program": "study", "demos": 3},
        {"format": "probe"},
        {"format": "json", "route": "translated"},
        {"format": "json", "route": "translated", "english": "given"},
    ],
    ids=lambda f: f"{f['format']}-{f.get('route', 'direct')}-{f.get('english', 'model')}",
)
def test_a_bundle_gives_the_answers_of_its_program(make_run, tmp_path, fields):
    data = write_calls(tmp_path / "new.csv", some_calls(4, 300))
    folder = make_run(**fields)
    bundle = bundle_of(folder, tmp_path)
    arm = {k: v for k, v in fields.items() if k in ("route", "english")}
    by_program = run_evaluation(
        job(tmp_path, data, program=str(folder / "program.json"), demos=None, out=tmp_path / "other", **arm)
    )
    by_bundle = score(bundle, data, tmp_path)
    assert answers(by_bundle.folder) == answers(by_program.folder)
    assert by_bundle.scores == by_program.scores
    one, other = by_bundle.run, by_program.run
    for key in ("route", "english", "format", "model", "feature_set", "labels"):
        assert one[key] == other[key]
    assert one["program"]["hash"] == other["program"]["hash"]
    assert one["demos"]["n"] == other["demos"]["n"]
    assert one["bundle"] == {"path": str(bundle.path), "sha256": bundle.hash, "run": folder.name}
    assert (one["translator"] is None) == (other["translator"] is None)
    assert set(one) == set(other)
    assert not (by_bundle.folder / "program.json").exists()


def test_votes_are_taken_and_told(make_run, tmp_path):
    data = write_calls(tmp_path / "new.csv", some_calls(3, 300))
    program = load_program(make_run(format="json") / "program.json", SET)
    program.votes = Votes(3, 0.5)
    save_program(program, tmp_path / "votes.json")
    folder = make_run(data, program=str(tmp_path / "votes.json"), demos=None, name="votes")
    made = score(bundle_of(folder, tmp_path), data, tmp_path)
    assert made.run["program"]["votes"] == {"n": 3, "temperature": 0.5}
    assert answers(made.folder) == answers(folder)


def test_nothing_is_asked_twice(make_bundle, tmp_path, monkeypatch):
    bundle = make_bundle(format="json", route="translated")
    data = write_calls(tmp_path / "new.csv", some_calls(4, 300))
    first = score(bundle, data, tmp_path)
    engine = WordEngine(deaf={"pain"})
    take(monkeypatch, engine)
    again = score(bundle, data, tmp_path)
    assert engine.asked == []
    assert again.folder == first.folder
    assert again.run["cost"]["stored"] == 4
    assert again.run["cost"]["seconds_per_transcript"] == first.run["cost"]["seconds_per_transcript"] is not None


def test_reports_read_such_a_run(make_run, tmp_path):
    folder = make_run(format="json", route="translated")
    bundle = bundle_of(folder, tmp_path)
    data = write_calls(tmp_path / "new.csv", some_calls(4, 300))
    by_program = run_evaluation(
        job(
            tmp_path, data, program=str(folder / "program.json"), demos=None, route="translated", out=tmp_path / "other"
        )
    )
    made = score(bundle, data, tmp_path)
    selection = read_selection([made.folder], resamples=0)
    assert "| Bundle |" in report_markdown(made.run, selection.arms[0].scores, made.run["labels"])
    comparison = read_comparison([by_program.folder, made.folder], resamples=0)
    assert comparison.against_baseline[0].result.mean["mcc"].difference == 0
    # `balin errors` looks for the translations in the store beside the run.
    dataset = job(tmp_path, data).dataset
    assert set(stored_translations(made.run, made.folder.parent / "store", dataset)) == {t.id for t in dataset}


class TestDevBesideTest:
    def chosen(self, folder, scores, tried=7, by="optimize-own"):
        record_choice(folder, scores, Choice(by, tried, "mcc", 0.4, 4, True, ("c900", "c901", "c902")))

    def test_a_program_file_finds_its_run_on_dev(self, on_dev, parts, tmp_path):
        scores = read_selection([on_dev]).arms[0].scores
        self.chosen(on_dev, scores)
        self.chosen(on_dev, scores, 5, "search-own")
        self.chosen(on_dev, scores, 6, "search-own")
        assert "13 configurations" in (on_dev / "report.md").read_text()
        made = run_evaluation(
            # Another folder of runs than the program's.
            job(
                tmp_path,
                parts,
                program=str(on_dev / "program.json"),
                demos=None,
                part="test",
                out=tmp_path / "elsewhere",
            )
        )
        assert made.run["dev"]["run"] == "dev"
        assert made.run["dev"]["scores"] == scores.summary("false")
        document = made.document()
        assert (document["tried"], document["dev"]["n"]) == (13, 4)
        assert "Dev beside test" in made.report
        assert "Configurations tried: 13" in made.report
        assert "mean MCC 0.400 on 4 transcripts of dev, decided out of fold" in made.report

    def test_a_run_of_the_same_name_keeps_how_it_was_chosen(self, on_dev, parts, make_run):
        self.chosen(on_dev, read_selection([on_dev]).arms[0].scores)
        again = make_run(parts, program="study", demos=3, part="dev", name="dev")
        run = json.loads((again / "run.json").read_text())
        assert again == on_dev
        assert [c["tried"] for c in run["chosen"]] == [7]
        assert run["dev"] is None

    def test_another_model_or_program_is_not_taken_for_it(self, on_dev, parts, tmp_path, monkeypatch):
        self.chosen(on_dev, read_selection([on_dev]).arms[0].scores)
        other = run_evaluation(job(tmp_path, parts, program="study", demos=2, part="test"))
        assert (other.run["chosen"], other.run["dev"]) == ([], None)
        assert other.document()["tried"] is None
        take(monkeypatch, WordEngine(identity=replace(IDENTITY, digest="sha256:" + "b" * 64)))
        changed = run_evaluation(
            job(
                tmp_path, parts, program=str(on_dev / "program.json"), demos=None, part="test", accept_model_change=True
            )
        )
        assert (changed.run["chosen"], changed.run["dev"]) == ([], None)

    @pytest.mark.parametrize("content", ["", "[]", '{"schema": 9}', '{"schema": 1}', '{"schema": 1, "program": []}'])
    def test_what_is_no_run_tells_nothing(self, on_dev, parts, tmp_path, content):
        (on_dev / "run.json").write_text(content)
        made = run_evaluation(
            job(tmp_path, parts, program=str(on_dev / "program.json"), demos=None, part="test", name="after")
        )
        assert (made.run["chosen"], made.run["dev"]) == ([], None)

    def test_a_bundle_brings_it_along(self, on_dev, parts, tmp_path):
        scores = read_selection([on_dev]).arms[0].scores
        self.chosen(on_dev, scores)
        made = score(bundle_of(on_dev, tmp_path), parts, tmp_path, part="test")
        assert made.run["dev"]["scores"] == scores.summary("false")
        assert made.document()["tried"] == 7
        assert "Dev beside test" in made.report
        assert count_scorings(Path(made.run["data"]["split"])) == 1
        other_site = write_calls(tmp_path / "site.csv", some_calls(4, 300))
        assert "of own.csv, which is another file" in score(bundle_of(on_dev, tmp_path), other_site, tmp_path).report

    def test_another_translating_program_is_not_taken_for_it(self, make_run, parts, tmp_path):
        folder = make_run(parts, format="json", route="translated", part="dev", name="plain")
        taught = Translator(SET)
        taught.set_demos([("Invented.", "Made up.")])
        save_translator(taught, tmp_path / "taught.json")
        again = {"program": str(folder / "program.json"), "demos": None, "part": "test", "route": "translated"}
        assert run_evaluation(job(tmp_path, parts, **again)).run["dev"]["run"] == "plain"
        other = run_evaluation(job(tmp_path, parts, translator_program=str(tmp_path / "taught.json"), **again))
        assert other.run["dev"] is None

    def test_a_split_that_differs_is_said(self, make_run, parts, tmp_path):
        folder = make_run(parts, format="json", part="dev", name="plain")
        again = {"program": str(folder / "program.json"), "demos": None, "part": "test"}
        assert "On dev: the run plain." in run_evaluation(job(tmp_path, parts, **again)).report
        other = run_evaluation(job(tmp_path, parts, split_seed=3, **again))
        assert "On dev of another split, so transcripts scored here may have helped to choose" in other.report


class TestLeaks:
    def test_the_demos_text_is_not_scored(self, on_dev, parts, tmp_path):
        bundle = bundle_of(on_dev, tmp_path)
        engine_texts = demo_texts(bundle.extraction)
        dataset = job(tmp_path, parts).dataset
        assert set(engine_texts) <= {t.text for t in dataset.part("pool")}
        for part in ("pool", "all"):
            with pytest.raises(InputError, match="share id, group or text with 3 transcripts") as error:
                score(bundle, parts, tmp_path, part=part)
            assert "بیمار" not in str(error.value)
        # The same calls under other ids, in another file.
        renamed = write_calls(tmp_path / "renamed.csv", some_calls(5, 900))
        renamed.write_text(renamed.read_text().replace("\nc", "\nx"))
        with pytest.raises(InputError, match=r"share id, group or text with 3 transcripts .*x90"):
            score(bundle, renamed, tmp_path)

    def test_nor_its_patient(self, make_run, tmp_path):
        some = [*some_calls(3, 900, part="pool"), *some_calls(4, part="dev"), *some_calls(2, 50, part="test")]
        some[-1] = replace(some[-1], group="patient")
        some[0] = replace(some[0], group="patient")
        data = write_calls(tmp_path / "own.csv", some)
        folder = make_run(data, program="study", demos=3, part="dev")
        with pytest.raises(InputError, match=r"share id, group or text with 1 transcripts .*c51"):
            score(bundle_of(folder, tmp_path), data, tmp_path, part="test")

    def test_nor_what_its_translating_program_shows(self, make_run, parts, tmp_path):
        shown = job(tmp_path, parts).dataset.part("test").transcripts[0]
        site = write_calls(tmp_path / "site.csv", some_calls(3, 300))
        for number, pair in enumerate(((shown.text, "Invented."), ("Invented.", shown.english))):
            taught = Translator(SET, name="taught")
            taught.set_demos([pair])
            save_translator(taught, tmp_path / "taught.json")
            fields = {"route": "translated", "translator_program": str(tmp_path / "taught.json"), "name": f"t{number}"}
            bundle = bundle_of(make_run(parts, format="json", part="dev", **fields), tmp_path, f"t{number}.balin")
            with pytest.raises(InputError, match=f"with 1 transcripts .*{shown.id}"):
                score(bundle, parts, tmp_path, part="test")
            made = score(bundle, site, tmp_path)
            assert (made.run["translator"]["program"]["demos"], made.run["demos"]["n"]) == (1, 0)
            assert made.run["demos"]["ids"] == []
            assert not (made.folder / "translator.json").exists()

    def test_an_equal_id_at_another_site_is_another_call(self, on_dev, tmp_path):
        bundle = bundle_of(on_dev, tmp_path)
        ids = [d.id for d in bundle.manifest.demos]
        calls = [replace(c, id=i) for c, i in zip(some_calls(3, 400, remark="elsewhere"), ids, strict=True)]
        made = score(bundle, write_calls(tmp_path / "site.csv", calls), tmp_path)
        assert made.scores.n == 3
        assert [w for w in made.run["warnings"] if "3 of the transcripts have the id of a demo" in w]

    def test_nothing_is_asked_before(self, on_dev, parts, tmp_path, monkeypatch):
        bundle, engine = bundle_of(on_dev, tmp_path), WordEngine()
        opened = take(monkeypatch, engine)
        with pytest.raises(InputError):
            score(bundle, parts, tmp_path, part="pool")
        assert (opened, texts_asked(engine)) == ([], [])


class TestWhatContradicts:
    @pytest.mark.parametrize(
        ("option", "value", "has"),
        [
            ("model", "qwen2.5-coder:1.5b", "smollm2:135m"),
            ("route", "translated", "direct"),
            ("format", "probe", "json"),
            ("language", "fa", "en"),
            ("demos", 3, "0"),
            ("translator", "smollm2:135m", "none"),
            ("english", "given", "model"),
            ("translator-program", "t.json", "none"),
        ],
    )
    def test_an_option_beside_a_bundle(self, make_bundle, option, value, has):
        with pytest.raises(InputError, match=rf"--{option} {value} contradicts the bundle .*, which has {has}\."):
            settings_of(make_bundle(format="json"), {option.replace("-", "_"): value})

    def test_a_translating_program_beside_one_that_brings_its_own(self, make_bundle):
        bundle = make_bundle(format="json", route="translated")
        with pytest.raises(InputError, match=r"--translator-program t\.json contradicts .*, which has one of its own"):
            settings_of(bundle, {"translator_program": "t.json"})

    def test_what_the_bundle_says_too_is_taken(self, make_bundle):
        bundle = make_bundle(format="json")
        given = {"model": "SmolLM2:135m", "route": "direct", "format": "json", "language": "en", "demos": 0}
        assert asdict(settings_of(bundle, given)) == asdict(settings_of(bundle, {}))
        with pytest.raises(InputError, match="--seed: a bundle draws nothing"):
            settings_of(bundle, {"seed": 3})

    def test_another_feature_set(self, make_bundle):
        bundle = make_bundle(format="json")
        check_feature_set(bundle, SET)
        with pytest.raises(InputError, match="leave --features out"):
            check_feature_set(bundle, replace(SET, id="other"))

    def test_demos_from(self, make_bundle, parts, tmp_path):
        with pytest.raises(InputError, match="--demos-from"):
            score(make_bundle(format="json"), parts, tmp_path, demos_from=job(tmp_path, parts).dataset)

    def test_another_model_of_that_name(self, make_bundle, tmp_path, monkeypatch):
        bundle = make_bundle(format="json")
        data = write_calls(tmp_path / "new.csv", some_calls(3, 300))
        take(monkeypatch, WordEngine(identity=replace(IDENTITY, digest="sha256:" + "b" * 64)))
        with pytest.raises(ModelChanged, match="is not the model of the bundle"):
            score(bundle, data, tmp_path)
        made = score(bundle, data, tmp_path, accept_model_change=True)
        assert [w for w in made.run["warnings"] if "the scores of the bundle's prompt with this model" in w]

    def test_the_scores_on_dev_are_not_another_models(self, on_dev, parts, tmp_path, monkeypatch):
        bundle = bundle_of(on_dev, tmp_path)
        assert score(bundle, parts, tmp_path, part="test").run["dev"] is not None
        take(monkeypatch, WordEngine(identity=replace(IDENTITY, digest="sha256:" + "b" * 64)))
        assert score(bundle, parts, tmp_path, part="test", accept_model_change=True).run["dev"] is None


def test_what_is_a_bundle(make_bundle, make_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = make_run(format="json")
    assert names_bundle(str(make_bundle("one.balin", format="json").path))
    assert names_bundle(str(make_bundle("two", format="json").path))
    assert not names_bundle(str(folder / "program.json"))
    assert not names_bundle("study")
    (tmp_path / "study").mkdir()
    assert not names_bundle("study")
    with pytest.raises(InputError, match=r"is the folder of a run; give its program file, .*program\.json"):
        names_bundle(str(folder))


def test_a_bundles_run_is_not_exported(make_bundle, tmp_path):
    bundle = make_bundle(format="json")
    made = score(bundle, write_calls(tmp_path / "new.csv", some_calls(3, 300)), tmp_path)
    with pytest.raises(InputError, match="a bundle cannot be taken apart") as error:
        export_run(made.folder, SET)
    assert f"of the run {bundle.manifest.run}" in str(error.value)
