"""`balin translate`: translations once, checked, in the store and in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from balin.data.store import Store
from balin.errors import IncompleteAnswer

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import some_calls, to_english, write_calls  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")


@pytest.fixture
def data(tmp_path):
    return write_calls(tmp_path / "calls.csv", some_calls(4))


def test_translations_in_a_file_and_in_the_store_that_evaluate_reads(balin, engine, data, tmp_path):
    found = balin("translate", data, *EMBEDDED, "--json")
    assert found.code == 0, found.err
    assert found.out.count("\n") == 1
    document = found.document
    assert document == document | {
        "file": "runs/translations-calls-smollm2_135m.jsonl",
        "model": "smollm2:135m",
        "n": 4,
        "failed": 0,
        "stored": 0,
        "checked_clean": 4,
        "warnings": {},
    }
    file = tmp_path / document["file"]
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [r["id"] for r in rows] == ["c0", "c1", "c2", "c3"]
    assert [r["text_en"] for r in rows] == [to_english(c.text("fa")) for c in some_calls(4)]
    assert file.stat().st_mode & 0o777 == 0o600
    assert Store(tmp_path / "runs" / "store").count("translations") == 4
    assert engine.translations() == 4
    evaluated = balin("evaluate", "--data", data, *EMBEDDED, "--route", "translated", "--demos", 0, "--json")
    assert evaluated.code == 0
    assert engine.translations() == 4
    assert balin("translate", data, *EMBEDDED, "--json").document["stored"] == 4


def test_the_data_file_is_not_overwritten_and_rejects_are_told(balin, engine, data):
    before = data.read_bytes()
    found = balin("translate", data, *EMBEDDED, "--to", data)
    assert found.code == 2
    assert "is the data file itself" in found.err
    assert (data.read_bytes(), engine.requests) == (before, 0)
    data.write_bytes(before + b"x,,,,," + b"," * 12 + b"\n")
    found = balin("translate", data, *EMBEDDED)
    assert "1 rows of" in found.err


def test_what_looks_wrong_is_named(balin, engine, data, tmp_path):
    engine.english = lambda text: text if "c1" in text else "I'm sorry, I can't." if "c2" in text else to_english(text)
    found = balin("translate", data, *EMBEDDED, "--to", tmp_path / "en.jsonl", "--json")
    assert found.code == 0
    assert found.document["checked_clean"] == 2
    assert found.document["warnings"]["untranslated"] == 1
    assert found.document["warnings"]["refusal"] == 1
    rows = [json.loads(line) for line in (tmp_path / "en.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [bool(r["warnings"]) for r in rows] == [False, True, True, False]
    assert "check not passed: refusal" in balin("translate", data, *EMBEDDED).out


def test_failed_translations_are_1_and_are_asked_again(balin, engine, data):
    def second_fails(number):
        if number == 2:
            raise IncompleteAnswer("cut")

    engine.before = second_fails
    found = balin("translate", data, *EMBEDDED, "--json")
    assert found.code == 1
    assert (found.document["failed"], found.document["n"]) == (1, 4)
    again = balin("translate", data, *EMBEDDED, "--json")
    assert (again.code, again.document["failed"], again.document["stored"]) == (0, 0, 3)
    assert engine.translations() == 5


def test_when_all_fail_the_figures_are_null(balin, engine, data):
    def fails(number):
        raise IncompleteAnswer("cut")

    engine.before = fails
    found = balin("translate", data, *EMBEDDED, "--json")
    assert (found.code, found.document["failed"]) == (1, 4)
    assert found.document["seconds_per_transcript"] is None


def test_part_and_limit(balin, engine):
    found = balin("translate", *EMBEDDED, "--part", "pool", "--limit", 2, "--json")
    assert (found.code, found.document["n"]) == (0, 2)
    assert engine.translations() == 2


def test_interrupted_it_goes_on(balin, engine, data):
    def third_stops(number):
        if number == 3:
            raise KeyboardInterrupt

    engine.before = third_stops
    assert balin("translate", data, *EMBEDDED).code == 130
    assert balin("translate", data, *EMBEDDED).code == 0
    assert engine.requests == 5


def test_a_models_odd_name_makes_a_plain_file_name(balin, engine, data, tmp_path):
    found = balin("translate", data, "--engine", "embedded", "--model", "hf.co/some one/model:Q4\\K*", "--json")
    assert found.code == 0, found.err
    name = Path(found.document["file"]).name
    assert all(c.isalnum() or c in "._-" for c in name), name
    assert (tmp_path / "runs" / name).exists()
