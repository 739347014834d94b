"""Translators as files: the same prompts after a round trip, and nothing in them that the signature does not name."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.errors import InputError, ProgramError
from balin.programs.demos import refuse_scored_demos
from balin.programs.translator import Translator
from balin.programs.translator_file import load_translator, save_translator, translator_of
from balin.signatures.features import FeatureSet, load_feature_set
from balin.signatures.private_dspy import dspy
from balin.signatures.translate import INPUT, instruction_wordings

SET = load_feature_set("palliative13")
SECRET = "خانم رضایی ۰۹۱۲"


def messages(translator: Translator, text: str = "Ein Text.\n«متن»") -> Any:
    return translator.adapter.messages(translator.predict.signature, translator.predict.demos, {INPUT: text})


def built(feature_set: FeatureSet = SET, **options: Any) -> Translator:
    translator = Translator(feature_set, **({"name": "mine"} | options))
    translator.set_demos([(f"{SECRET} \u200c«1»\r\n\t\\n", "Mrs R., 0912"), ("تب ندارد 😀", " No fever.\n")])
    return translator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "translator.json"


@pytest.fixture
def saved(path: Path) -> dict[str, Any]:
    """The content of a saved translator; its file is at `path`."""
    save_translator(built(), path)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target": "fr"},
        {"instructions": "Eins.\n\n Zwei \u200c {x} %s"},
        {"max_tokens": 77},
        {"repeat_penalty": 1},
        {"repeat_penalty": 1.1 + 0.2},
    ],
    ids=str,
)
def test_a_round_trip_keeps_every_byte_of_the_prompts_and_every_option(path, tmp_path, options):
    translator = built(**options)
    save_translator(translator, path)
    loaded = load_translator(path, SET)
    assert messages(loaded) == messages(translator)
    assert (loaded.state(), loaded.hash(), loaded.name) == (translator.state(), translator.hash(), "mine")
    assert loaded.adapter.repeat_penalty == translator.adapter.repeat_penalty
    save_translator(loaded, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@settings(max_examples=15)
@given(instructions=st.text(min_size=1, max_size=60), source=st.text(max_size=60), translation=st.text(max_size=60))
def test_any_text(tmp_path_factory, instructions, source, translation):
    file = tmp_path_factory.getbasetemp() / "any-translator.json"
    translator = Translator(SET, instructions=instructions)
    translator.set_demos([(source, translation)])
    save_translator(translator, file)
    assert messages(load_translator(file, SET)) == messages(translator)


def test_only_the_signatures_fields_of_a_demo_are_in_it_and_only_its_owner_can_read_it(path, scripted):
    rows = [
        dspy.Example(source=f"متن {n}", translation=f"text {n}", patient_name="RAHIMI").with_inputs("source")
        for n in range(3)
    ]
    compiled = dspy.LabeledFewShot(k=2).compile(Translator(SET), trainset=rows)
    compiled.set_lm(scripted(name="secret-model").lm())
    save_translator(compiled, path)
    text = path.read_text(encoding="utf-8")
    assert [set(d) for d in json.loads(text)["demos"]] == [{"source", "translation"}] * 2
    assert not [word for word in ("RAHIMI", "patient_name", "secret-model") if word in text]
    assert "متن" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert messages(load_translator(path, SET)) == messages(compiled)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2 is unknown"),
        ({"kind": "extract"}, "kind"),
        ({"repeat_penalty": 1.2}, "not those it was saved with"),
        ({"room": 1}, "not those it was saved with"),
        ({"instructions": "Other."}, "not those it was saved with"),
        ({"instructions": ""}, "instructions"),
        ({"repeat_penalty": 0.5}, "repeat_penalty"),
        ({"demos": [{"source": SECRET}]}, "demos.0.translation: missing"),
        ({"demos": [{"source": SECRET, "translation": "x", "phone": SECRET}]}, "extra_forbidden"),
        ({"demos": [{"source": "\ud800" + SECRET, "translation": "x"}]}, "half a character"),
        ({"lm": "x"}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_was_changed_is_refused_without_a_text(path, saved, change, said):
    path.write_text(json.dumps(saved | change), encoding="utf-8")
    with pytest.raises(ProgramError, match=said) as error:
        load_translator(path, SET)
    assert SECRET not in str(error.value)
    assert str(path) in str(error.value)


def test_a_name_decides_nothing(path, saved):
    path.write_text(json.dumps(saved | {"name": "other"}), encoding="utf-8")
    assert load_translator(path, SET).hash() == built().hash()


def test_other_questions_in_the_same_language_need_no_other_translator_and_another_language_does(path, german):
    save_translator(built(), path)
    with pytest.raises(ProgramError, match=r"from Persian.*are in German"):
        load_translator(path, german)
    save_translator(built(german), path)
    assert messages(load_translator(path, german)) == messages(built(german))


def test_no_file_is_said_and_no_name_is_the_default(path):
    with pytest.raises(ProgramError, match="--translator-program"):
        translator_of(str(path), SET)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ProgramError, match="not JSON"):
        load_translator(path, SET)
    assert translator_of(None, SET).hash() == Translator(SET).hash()


def test_the_wordings_differ_and_the_first_is_the_default(german):
    for feature_set in (SET, german):
        wordings = instruction_wordings(feature_set)
        assert len(set(wordings.values())) == len(wordings) == 3
        assert Translator(feature_set).predict.signature.instructions == next(iter(wordings.values()))
        assert {"Persian", "German"} & set(" ".join(wordings.values()).split())


def test_demos_that_are_scored_are_refused_by_id_and_not_by_text():
    scored = [("a", "تب ندارد"), ("b", SECRET), ("b", "Mrs R."), ("c", "x")]
    refuse_scored_demos("t.json", ["درد دارد"], scored)
    refuse_scored_demos("t.json", [], [("a", "")])
    with pytest.raises(
        InputError, match=r"t.json: its demos hold the text of 2 transcripts to be scored \(a, b\)"
    ) as error:
        refuse_scored_demos("t.json", ["تب ندارد", "Mrs R."], scored)
    assert SECRET not in str(error.value)
