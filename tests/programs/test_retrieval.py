"""Demos chosen for each text: who is chosen, who never is, and that a saved program asks the same."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.data.store import Store
from balin.data.transcripts import Transcript
from balin.engines.lm import language_model
from balin.errors import CallError, InputError, ModelChanged, ProgramError
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS, Demo
from balin.programs.pipeline import Pipeline, answer_key
from balin.programs.retrieval import DemoIndex, Neighbours, marks_of
from balin.programs.saving import load_program, save_program
from balin.signatures.features import load_feature_set
from balin.signatures.wording import INPUT

sys.path.append(str(Path(__file__).parents[1] / "engines"))
sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import WordEngine  # type: ignore[import-not-found]
from scripted import WordEmbedder  # type: ignore[import-not-found]

SET = load_feature_set("palliative13")
TEXTS = ["fever and cough since Monday", "no fever at all", "pain in the leg", "سرفه‌ی شدید دارد", "sleeps well"]


def neighbours(texts: Any = TEXTS, **fields: Any) -> Neighbours:
    made = {
        "vectors": WordEmbedder().embed(texts),
        "costs": tuple(len(t) for t in texts),
        "shows": (frozenset(),) * len(texts),
        "marks": tuple(marks_of([t], f"n{i}", f"p{i // 2}") for i, t in enumerate(texts)),
        "count": 2,
        "balance": 0.0,
        "room": 10_000,
        "rate": 1.0,
    }
    return Neighbours(**(made | fields))


def direction(text: str) -> Any:
    return WordEmbedder().embed([text])[0]


def program(name: str = "lines", embedder: Any = None, **fields: Any) -> Extractor:
    made = Extractor(SET, name="nearest", format=name)
    demos = tuple(Demo(t, {f: (i + j) % 2 == 0 for j, f in enumerate(SET.ids)}) for i, t in enumerate(TEXTS))
    made.set_index(DemoIndex(demos, neighbours(**fields), WordEmbedder.identity))
    made.use_embedder(embedder or WordEmbedder())
    return made


def prompt(extractor: Extractor, text: str) -> Any:
    return extractor.adapter.prompt(extractor.predict.signature, extractor.demos_for(text), {INPUT: text})


# The choice


def test_the_nearest_are_chosen_and_the_very_nearest_stands_last() -> None:
    text = "fever and cough since Tuesday"
    found = neighbours(count=5).choose(text, direction(text), ())
    cosines = neighbours().vectors[list(found)] @ direction(text)
    assert found[-1] == 0
    assert list(cosines) == sorted(cosines)
    assert neighbours().choose(text, direction(text), ()) == found[-2:]


def test_balance_brings_in_what_is_rare() -> None:
    shows = tuple(frozenset(s) for s in (["+fever"], ["+fever"], ["+fever", "-pain"], ["+pain"], ["+fever"]))
    text = TEXTS[0]
    plain = neighbours(shows=shows, count=2).choose(text, direction(text), ())
    balanced = neighbours(shows=shows, count=2, balance=2.0).choose(text, direction(text), ())
    assert plain == (1, 0)
    # What four of five show is worth little; a hard negative and a positive of pain are shown by one each.
    assert set(balanced) == {2, 3}


def test_a_demo_without_room_is_passed_over_for_a_shorter_one_and_a_long_text_gets_none() -> None:
    text = TEXTS[0]
    assert neighbours(count=5, room=len(text) + 15).choose(text, direction(text), ()) == (1,)
    assert neighbours(count=5, room=len(text) + 10).choose(text, direction(text), ()) == ()
    long = text * 100
    assert neighbours(room=200).choose(long, direction(long), ()) == ()


@given(st.data())
def test_whatever_the_index_no_more_than_wanted_none_withheld_none_twice(data: Any) -> None:
    n = data.draw(st.integers(1, 7))
    texts = data.draw(st.lists(st.text("ab ", max_size=6), min_size=n, max_size=n))
    shows = data.draw(st.lists(st.frozensets(st.sampled_from("abc")), min_size=n, max_size=n))
    index = neighbours(
        texts,
        shows=tuple(shows),
        count=data.draw(st.integers(1, 8)),
        balance=data.draw(st.floats(0, 3)),
        room=data.draw(st.integers(-5, 40)),
    )
    text = data.draw(st.text("ab ", max_size=8))
    withheld = data.draw(st.frozensets(st.integers(0, n - 1)))
    found = index.choose(text, direction(text), withheld)
    assert len(set(found)) == len(found) <= index.count
    assert not withheld & set(found)
    assert not found or len(text) + sum(index.costs[i] for i in found) <= index.room
    assert found == index.choose(text, direction(text), withheld)
    left = [i for i in range(n) if i not in withheld and i not in found]
    spent = len(text) + sum(index.costs[i] for i in found)
    assert len(found) == index.count or not any(index.costs[i] + spent <= index.room for i in left)


def test_id_group_or_normalised_text_withholds() -> None:
    index = neighbours()
    assert index.withheld(marks_of(["other"], "n2")) == (2,)
    assert index.withheld(marks_of(["other"], "x", "p0")) == (0, 1)
    assert index.withheld(marks_of(["NO  fever, at all!"])) == (1,)
    assert index.withheld(marks_of(["other", None, "سرفه ي شديد دارد."])) == (3,)
    assert index.withheld(marks_of(["other"], "x", "y")) == ()
    assert not any("n2" in mark or "p0" in mark for mark in marks_of(["t"], "n2", "p0"))


# The program


@pytest.mark.parametrize("name", FORMATS)
def test_a_saved_program_asks_the_same_byte_for_byte(name: str, tmp_path: Path) -> None:
    made = program(name, balance=0.5, shows=tuple(frozenset({f"+{i}"}) for i in SET.ids[:5]))
    save_program(made, tmp_path / "p.json")
    loaded = load_program(tmp_path / "p.json", SET)
    loaded.use_embedder(WordEmbedder())
    assert loaded.hash() == made.hash()
    for text in (*TEXTS, "cough", "", "x" * 300):
        assert prompt(loaded, text) == prompt(made, text)
    assert json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))["schema"] == 3
    save_program(loaded, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "p.json").read_bytes()


def test_thresholds_go_with_an_index(tmp_path: Path) -> None:
    made = program("probe")
    made.thresholds = {"pain": 0.25}
    save_program(made, tmp_path / "p.json")
    assert load_program(tmp_path / "p.json", SET).thresholds == {"pain": 0.25}


def test_the_hash_covers_all_that_decides_the_demos() -> None:
    hashes = [
        program(**fields).asking_hash()
        for fields in ({}, {"count": 3}, {"balance": 0.1}, {"room": 9_999}, {"rate": 2.0}, {"costs": (1, 2, 3, 4, 5)})
    ]
    plain = program()
    assert plain.index is not None
    other = Extractor(SET, name="nearest", format="lines")
    other.set_index(replace(plain.index, embedder=replace(WordEmbedder.identity, version="2")))
    moved = Extractor(SET, name="nearest", format="lines")
    moved.set_index(replace(plain.index, neighbours=neighbours(vectors=WordEmbedder().embed([*TEXTS[:4], "else"]))))
    static = Extractor(SET, name="nearest", format="lines")
    hashes += [e.asking_hash() for e in (other, moved, static)]
    assert len(set(hashes)) == len(hashes)
    assert program().asking_hash() == hashes[0]


def test_another_embedder_or_none_is_refused() -> None:
    made = program()
    with pytest.raises(ModelChanged, match="optimize again"):
        made.use_embedder(type("Other", (), {"identity": replace(WordEmbedder.identity, sha256="f" * 64)})())
    assert made.index is not None
    made.set_index(made.index)
    with pytest.raises(InputError, match="no embedder"):
        made.demos_for("text")
    with pytest.raises(InputError, match="needs no embedder"):
        Extractor(SET, name="plain").use_embedder(WordEmbedder())
    with pytest.raises(InputError, match="its own format"):
        made.set_format("json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["index"].update(count=3), "index or thresholds are not those"),
        (lambda c: c["index"].update(method="other"), "index"),
        (lambda c: c["index"].update(vectors="AAAA"), "index"),
        (lambda c: c["index"].update(costs=c["index"]["costs"][:4]), "index"),
        (lambda c: c["demos"].pop(), "it is of 5 demos, and there are 4"),
        (lambda c: c.pop("index"), "index: missing"),
        (lambda c: c.update(schema=1), "index: extra_forbidden"),
    ],
)
def test_a_changed_index_is_refused_without_its_texts(change: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save_program(program(), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ProgramError, match=words) as caught:
        load_program(path, SET)
    assert not any(text in str(caught.value) for text in TEXTS)


# At work


def test_a_transcript_never_sees_itself_its_patient_or_its_text(tmp_path: Path) -> None:
    engine = WordEngine()
    made = program(count=5)
    made.set_lm(language_model(engine))
    pipeline = Pipeline(made, store=Store(tmp_path / "store"))
    for call, unseen in (
        (Transcript("n2", "a leg"), {2}),
        (Transcript("x", "a fever", group="p0"), {0, 1}),
        (Transcript("y", "Pain, in the LEG"), {2}),
        (Transcript("z", "other", english="sleeps well"), {4}),
        (Transcript("w", "other"), set()),
    ):
        pipeline.extract(call, None)
        shown = " ".join(m.content for m in engine.asked[-1][:-1])
        assert {i for i, text in enumerate(TEXTS) if text not in shown} == unseen


def test_the_stores_key_tells_apart_who_saw_other_demos(tmp_path: Path) -> None:
    engine = WordEngine()
    made = program(count=5)
    made.set_lm(language_model(engine))
    pipeline = Pipeline(made, store=Store(tmp_path / "store"))
    first, patient = Transcript("x", "a fever"), Transcript("y", "a fever", group="p0")
    assert not pipeline.extract(first, None).stored
    assert pipeline.extract(replace(first, id="w"), None).stored
    assert not pipeline.extract(patient, None).stored
    assert pipeline.is_stored(patient)
    assert engine.requests == 2
    static = Extractor(SET, name="nearest", format="lines")
    static.set_lm(language_model(engine))
    assert answer_key(static, "a", ()) == answer_key(static, "a")


def test_a_text_that_cannot_be_embedded_is_a_failed_call_and_not_stored(tmp_path: Path) -> None:
    class Deaf(WordEmbedder):  # type: ignore[misc]
        def embed(self, texts: Any) -> Any:
            raise CallError("a text is too long")

    made = program(embedder=Deaf())
    made.set_lm(language_model(WordEngine()))
    store = Store(tmp_path / "store")
    found = Pipeline(made, store=store).extract(Transcript("x", "a fever"), None)
    assert (found.failure, found.detail) == ("call_failed", "a text is too long")
    assert len(store) == 0


def test_a_prediction_takes_one_call_and_forward_decides_by_text_alone() -> None:
    engine = WordEngine()
    made = program()
    made.set_lm(language_model(engine))
    made(transcript=TEXTS[0])
    assert engine.requests == 1
    assert TEXTS[0] not in " ".join(m.content for m in engine.asked[0][:-1])
    assert np.isfinite(made.direction("x")).all()
