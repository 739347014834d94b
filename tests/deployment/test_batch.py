"""The batch job: every row answered once, whatever happens on the way; nothing of DSPy or Optuna is needed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from calls import IDENTITY, SET, WordEngine, some_calls, take, texts_asked, write_calls  # type: ignore[import-not-found]

from balin.data.readers import read_dataset
from balin.deployment.batch import Batch, run_batch
from balin.errors import CallTimeout, DataError, EngineUnavailable, InputError, ModelChanged


@pytest.fixture
def bundle(make_bundle):
    return make_bundle(format="json")


@pytest.fixture
def data(tmp_path):
    return write_calls(tmp_path / "new.csv", some_calls(6, 100))


@pytest.fixture
def fresh(monkeypatch):
    """`fresh(before=…)`: another engine of the same model."""

    def make(**options):
        made = WordEngine(deaf={"pain"}, **options)
        take(monkeypatch, made)
        return made

    return make


def batch(bundle, data, tmp_path, **options):
    return Batch(bundle=bundle, file=data, out=tmp_path / "out" / "answers.jsonl", **options)


def rows(made):
    return [json.loads(line) for line in made.batch.out.read_text(encoding="utf-8").splitlines()]


def test_every_row_is_answered(bundle, data, tmp_path, fresh):
    engine, told = fresh(), []
    made = run_batch(batch(bundle, data, tmp_path, advance=lambda *a: told.append(a)))
    found = rows(made)
    assert [r["id"] for r in found] == [f"c{n}" for n in range(100, 106)]
    for row, transcript in zip(found, read_dataset(data, SET), strict=True):
        for feature in SET.ids:
            expected = bool(transcript.labels[feature]) and feature != "pain"
            assert (row[feature], row[f"{feature}_state"]) == (expected, str(expected).lower())
    assert told[0] == ("extract", 0, 6)
    assert told[-1] == ("extract", 6, 6)
    assert engine.closed == 1
    document = made.document()
    assert (document["n"], document["stored"], document["failures"]) == (6, 0, {})
    assert sum(document["answers"].values()) == 6 * 13
    assert document["models"]["extract"]["changed"] is False


def test_answers_are_kept_by_the_ids_they_were_asked_under(bundle, data, tmp_path, fresh):
    """Two feature sets with the same words ask the same, and what one was answered is not the other's."""
    fresh()
    first = rows(run_batch(batch(bundle, data, tmp_path)))
    one, two, *rest = bundle.feature_set.features
    exchanged = replace(
        bundle,
        feature_set=replace(bundle.feature_set, features=(replace(one, id=two.id), replace(two, id=one.id), *rest)),
    )
    assert exchanged.extraction.hash == bundle.extraction.hash
    engine = fresh()
    run_batch(batch(exchanged, data, tmp_path))
    assert engine.requests == 6
    again = fresh()
    assert rows(run_batch(batch(bundle, data, tmp_path))) == first
    assert again.requests == 0


def test_what_could_not_be_written_or_read_is_told_before_anything_is_asked(bundle, tmp_path, fresh, make_bundle):
    reads_english = make_bundle("english.balin", route="translated", english="given", format="json")
    folder = make_bundle("folder")
    engine = fresh()
    odd = write_calls(tmp_path / "odd.csv", [*some_calls(1), replace(some_calls(1)[0], id="c\x01")])
    with pytest.raises(InputError, match=r"--out .*: the id of transcript 2 cannot stand in a cell of \.xlsx"):
        run_batch(Batch(bundle=bundle, file=odd, out=tmp_path / "out" / "answers.xlsx"))
    without = write_calls(tmp_path / "fa.csv", [replace(c, english=False) for c in some_calls(3)])
    with pytest.raises(InputError, match="none of these columns has one: text_en, medical_history_en"):
        run_batch(batch(reads_english, without, tmp_path))
    with pytest.raises(InputError, match="is in the bundle's own folder"):
        run_batch(Batch(bundle=folder, file=odd, out=tmp_path / "folder" / "answers.csv"))
    assert engine.requests == 0


def test_the_files_are_the_owners(bundle, data, tmp_path, fresh):
    fresh()
    made = run_batch(batch(bundle, data, tmp_path))
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in made.batch.out.parent.iterdir()}
    assert modes == {"answers.jsonl": 0o600, "answers.jsonl.rejects.csv": 0o600, "answers.jsonl.store": 0o700}
    assert "بیمار" not in "".join(p.read_text() for p in made.batch.out.parent.rglob("*") if p.is_file())


def test_an_outage_keeps_the_work_and_the_same_call_goes_on(bundle, data, tmp_path, fresh):
    def dies(number):
        if number == 4:
            raise EngineUnavailable("the server is gone")

    fresh(before=dies)
    with pytest.raises(EngineUnavailable):
        run_batch(batch(bundle, data, tmp_path))
    assert not (tmp_path / "out" / "answers.jsonl").exists()
    engine = fresh()
    made = run_batch(batch(bundle, data, tmp_path))
    assert engine.requests == 3
    assert made.document()["stored"] == 3
    whole = rows(made)
    again = fresh()
    assert rows(run_batch(batch(bundle, data, tmp_path))) == whole
    assert again.requests == 0


def test_a_failed_call_is_an_error_and_is_asked_again(bundle, data, tmp_path, fresh):
    def fails(number):
        if number == 2:
            raise CallTimeout("no answer")

    fresh(before=fails)
    made = run_batch(batch(bundle, data, tmp_path))
    assert made.failures == {"timeout": 1}
    assert made.too_many_errors
    assert [r["pain_state"] for r in rows(made)] == ["false", "error", *["false"] * 4]
    assert rows(made)[1]["pain"] is None
    engine = fresh()
    made = run_batch(batch(bundle, data, tmp_path))
    assert engine.requests == 1
    assert not made.too_many_errors


def test_two_of_a_hundred_may_fail(bundle, data, tmp_path, fresh):
    fresh()
    made = run_batch(batch(bundle, data, tmp_path))
    good, bad = made.read[0], replace(made.read[0], failure="timeout")
    assert not replace(made, read=(bad,) * 2 + (good,) * 98).too_many_errors
    assert replace(made, read=(bad,) * 3 + (good,) * 97).too_many_errors


def test_all_is_translated_before_anything_is_read(make_bundle, data, tmp_path, fresh):
    bundle = make_bundle(route="translated", format="json")
    engine, told = fresh(), []
    made = run_batch(batch(bundle, data, tmp_path, advance=lambda phase, *_: told.append(phase)))
    assert told == ["translate"] * 7 + ["extract"] * 7
    assert engine.translations() == 6
    assert all(t.startswith("The patient") for t in texts_asked(engine))
    assert set(made.document()["models"]) == {"translate", "extract"}
    assert rows(made)[0]["fever_state"] in ("true", "false")
    again = fresh()
    assert rows(run_batch(batch(bundle, data, tmp_path))) == rows(made)
    assert again.requests == 0


def test_a_failed_translation_is_an_error(make_bundle, data, tmp_path, fresh):
    bundle = make_bundle(route="translated", format="json")

    def fails(number):
        if number == 1:
            raise CallTimeout("no answer")

    fresh(before=fails)
    made = run_batch(batch(bundle, data, tmp_path))
    assert made.failures == {"timeout": 1}
    assert rows(made)[0]["pain_state"] == "error"


def test_given_english_is_read_where_there_is_some(make_bundle, tmp_path, fresh):
    bundle = make_bundle(route="translated", english="given", format="json")
    engine = fresh()
    data = write_calls(tmp_path / "new.csv", [*some_calls(2), *some_calls(1, 50, english=False)])
    made = run_batch(batch(bundle, data, tmp_path))
    assert made.failures == {"no_english_text": 1}
    assert engine.translations() == 0
    assert len(texts_asked(engine)) == 2


class TestTheModel:
    def test_another_digest_is_refused_before_anything_is_asked(self, bundle, data, tmp_path, fresh):
        engine = fresh(identity=replace(IDENTITY, digest="sha256:" + "b" * 64))
        with pytest.raises(ModelChanged, match="--accept-model-change"):
            run_batch(batch(bundle, data, tmp_path))
        assert (engine.requests, engine.closed) == (0, 1)
        said = []
        made = run_batch(batch(bundle, data, tmp_path, accept_model_change=True, say=said.append))
        assert made.document()["models"]["extract"]["changed"] is True
        assert any("scores do not hold" in s for s in said)

    def test_answers_of_one_model_are_not_taken_for_anothers(self, bundle, data, tmp_path, fresh):
        fresh()
        run_batch(batch(bundle, data, tmp_path))
        engine = fresh(identity=replace(IDENTITY, digest="sha256:" + "b" * 64))
        run_batch(batch(bundle, data, tmp_path, accept_model_change=True))
        assert engine.requests == 6

    def test_engine_and_context_are_the_bundles_unless_told_otherwise(self, bundle, data, tmp_path, fresh, monkeypatch):
        from balin.deployment import batch as module
        from balin.engines.opening import EngineSettings

        engine, opened = fresh(), []

        def open_engine(model, settings, say):
            opened.append((model, settings))
            return engine

        monkeypatch.setattr(module, "open_engine", open_engine)
        run_batch(batch(bundle, data, tmp_path))
        run_batch(batch(bundle, data, tmp_path, engines=EngineSettings(choice="ollama", num_ctx=8192)))
        assert [(m, s.choice, s.num_ctx) for m, s in opened] == [
            (IDENTITY.name, "embedded", 4096),
            (IDENTITY.name, "ollama", 8192),
        ]


class TestTheFile:
    def test_labels_are_not_needed_and_columns_like_them_do_no_harm(self, bundle, tmp_path, fresh):
        fresh()
        data = tmp_path / "new.csv"
        data.write_text("id,text,pain,part\n1,A call.,very strong,left leg\n2,Another call.,,\n", encoding="utf-8")
        made = run_batch(batch(bundle, data, tmp_path))
        assert [r["id"] for r in rows(made)] == ["1", "2"]
        assert not made.dataset.rejects

    def test_rows_that_cannot_be_used_are_kept_apart(self, bundle, tmp_path, fresh):
        fresh()
        data = tmp_path / "new.csv"
        data.write_text("id,text\n1,A call.\n,No id.\n1,Twice.\n3,\n", encoding="utf-8")
        made = run_batch(batch(bundle, data, tmp_path))
        assert [r["id"] for r in rows(made)] == ["1"]
        assert made.document()["rejects"] == 3
        assert len(made.batch.rejects.read_text(encoding="utf-8").splitlines()) == 4
        assert "Twice." not in made.batch.rejects.read_text(encoding="utf-8")

    def test_it_is_not_overwritten(self, bundle, data, tmp_path, fresh):
        engine, before = fresh(), data.read_bytes()
        with pytest.raises(InputError, match="is the data file itself"):
            run_batch(Batch(bundle=bundle, file=data, out=data))
        assert (data.read_bytes(), engine.requests) == (before, 0)

    def test_what_is_wrong_is_said_before_anything_is_asked(self, bundle, data, tmp_path, fresh):
        engine = fresh()
        with pytest.raises(InputError, match="its ending must be"):
            run_batch(Batch(bundle=bundle, file=data, out=tmp_path / "out.doc"))
        with pytest.raises(DataError, match="no such file"):
            run_batch(batch(bundle, tmp_path / "nothing.csv", tmp_path))
        assert engine.requests == 0


WITHOUT = """
import sys
for name in ("dspy", "litellm", "optuna"):
    sys.modules[name] = None  # importing it is then an error
from pathlib import Path
from balin.deployment.batch import Batch, run_batch
from balin.deployment.bundle import read_bundle
from balin.engines import opening
from balin.engines.protocol import Completion

class Says:
    slots = 1
    identity = read_bundle(Path({bundle!r})).manifest.models["extract"].identity
    def chat(self, request):
        return Completion('{{"pain": true}}', "stop")
    def close(self):
        pass

opening._embedded = lambda *_: Says()
done = run_batch(Batch(read_bundle(Path({bundle!r})), Path({data!r}), Path({out!r})))
print(len(done.read), sorted(m for m in sys.modules if m.split(".")[0] in ("dspy", "litellm", "optuna") and sys.modules[m]))
"""


def test_it_needs_neither_dspy_nor_optuna(bundle, data, tmp_path):
    out = tmp_path / "answers.csv"
    code = WITHOUT.format(bundle=str(bundle.path), data=str(data), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "6 []"
    assert out.read_text().splitlines()[1].startswith("c100,")


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
import pytest
from pathlib import Path
from calls import WordEngine, take
from balin.deployment.batch import Batch, run_batch
from balin.deployment.bundle import read_bundle

def dies(number):
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)

take(pytest.MonkeyPatch(), WordEngine(deaf={{"pain"}}, before=dies))
run_batch(Batch(bundle=read_bundle(Path({bundle!r})), file=Path({data!r}), out=Path({out!r})))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_job_goes_on_and_asks_nothing_again(bundle, data, tmp_path, fresh):
    made = batch(bundle, data, tmp_path)
    paths = [p for p in sys.path if p.endswith(("/tests/eval", "/tests/engines"))]
    code = KILLED.format(paths=paths, bundle=str(bundle.path), data=str(data), out=str(made.out))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -9
    assert not made.out.exists()
    engine = fresh()
    done = run_batch(made)
    assert (engine.requests, done.document()["stored"]) == (3, 3)
    assert [r["id"] for r in rows(done)] == [f"c{n}" for n in range(100, 106)]
