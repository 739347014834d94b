"""`balin data check`, `split` and `synth`."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from balin.data.readers import read_dataset
from balin.data.split import read_split

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import SET, Call, some_calls, write_calls  # type: ignore[import-not-found]


def test_check_reports_what_the_file_holds(balin, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(6))
    found = balin("data", "check", data, "--json")
    assert found.code == 0
    document = found.document
    assert (document["rows"], document["usable"]) == (6, 6)
    assert document["labels"]["fever"]["positives"] == sum("fever" in c.present for c in some_calls(6))
    assert "Gastrointestinal issues" in found.err
    plain = balin("data", "check", data)
    assert plain.code == 0
    assert "Gastrointestinal issues" in plain.out


def test_check_of_the_shipped_corpus(balin):
    found = balin("data", "check", "--json")
    assert found.code == 0
    assert found.document["usable"] >= 60
    assert set(found.document["parts"]) == {"pool", "dev", "test"}


def test_rows_that_cannot_be_used_exit_1_and_are_named_without_their_text(balin, tmp_path):
    data = write_calls(tmp_path / "calls.csv", [*some_calls(12), *some_calls(12), Call("kanarienvogel")])
    text = data.read_text(encoding="utf-8").replace("True", "vielleicht", 1)
    data.write_text(text, encoding="utf-8")
    found = balin("data", "check", data, "--rejects", tmp_path / "rejects.csv", "--json")
    assert found.code == 1
    assert found.document["rows"] == 25
    rejects = list(csv.DictReader((tmp_path / "rejects.csv").open(encoding="utf-8")))
    assert len(rejects) == 25 - found.document["usable"]
    assert rejects[0]["reason"]
    assert "row 2 (id c0)" in found.err
    assert "more rows; --rejects FILE writes them all" in found.err
    assert "بیمار" not in found.out + found.err
    assert "بیمار" not in (tmp_path / "rejects.csv").read_text(encoding="utf-8")


def test_split_writes_a_file_once(balin, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(20))
    found = balin("data", "split", data, "--to", "split.json", "--split-seed", 5, "--json")
    assert found.code == 0
    document = found.document
    split = read_split(tmp_path / "split.json", read_dataset(data, SET))
    assert document == {"file": "split.json", "hash": split.hash, "parts": {k: len(v) for k, v in split.parts.items()}}
    assert split.seed == 5
    assert (tmp_path / "split.json").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "split.json").read_bytes()
    refused = balin("data", "split", data, "--to", "split.json", "--split-seed", 6)
    assert (refused.code, (tmp_path / "split.json").read_bytes()) == (2, before)
    assert "--replace" in refused.err
    assert balin("data", "split", data, "--to", "split.json", "--split-seed", 6, "--replace").code == 0
    assert (tmp_path / "split.json").read_bytes() != before
    same = balin("data", "split", data, "--to", "again.json", "--split-seed", 5, "--json").document
    assert same["hash"] == document["hash"]


def test_the_shares_of_a_split(balin, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(20))
    options = ("data", "split", data, "--to", "split.json")
    found = balin(*options, "--pool", 0.5, "--dev", 0.5, "--test", 0, "--json")
    assert found.document["parts"] == {"pool": 10, "dev": 10, "test": 0}
    wrong = balin(*options, "--pool", 0.5, "--replace")
    assert wrong.code == 2
    assert "add up to 1" in wrong.err


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_synth_says_that_it_is_for_load_tests(balin, tmp_path, ending):
    file = tmp_path / f"load.{ending}"
    found = balin("data", "synth", file, "--n", 30, "--seed", 2, "--json")
    assert found.code == 0
    assert found.document == {"file": str(file), "n": 30, "seed": 2, "purpose": "load test only"}
    assert len(read_dataset(file, SET)) == 30
    again = balin("data", "synth", tmp_path / f"again.{ending}", "--n", 30, "--seed", 2)
    assert "load test" in again.err
    assert (tmp_path / f"again.{ending}").read_bytes() == file.read_bytes()
    assert "LOAD TEST" in balin("data", "synth", "--help").out
    before = file.read_bytes()
    found = balin("data", "synth", file, "--n", 5)
    assert (found.code, file.read_bytes()) == (2, before)
    assert "is there already" in found.err


def test_an_own_feature_set_goes_through_all_three(balin, tmp_path):
    (tmp_path / "two.yaml").write_text(
        "schema: 1\nid: two\nsource_language: de\nsubject: {de: eine Notiz}\n"
        "columns: {id: [nummer], text: [notiz]}\n"
        "features:\n  - {id: pain, label: {de: Schmerz}, definition: {de: Es schmerzt.}}\n"
        "  - {id: smell, label: {de: Geruch}, definition: {de: Es riecht.}}\n",
        encoding="utf-8",
    )
    features = ("--features", "two.yaml")
    assert balin("data", "synth", "load.jsonl", "--n", 12, *features).code == 0
    rows = [json.loads(line) for line in (tmp_path / "load.jsonl").read_text().splitlines()]
    assert set(rows[0]) == {"id", "group", "text", "pain", "smell", "register"}
    lines = ["nummer,notiz,pain,smell", *(f"{r['id']},{r['text']},{r['pain']},{r['smell']}" for r in rows)]
    (tmp_path / "notizen.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = balin("data", "check", "notizen.csv", *features, "--json")
    assert (found.code, found.document["usable"]) == (0, 12)
    assert set(found.document["labels"]) == {"pain", "smell"}
    assert balin("data", "split", "notizen.csv", *features, "--to", "split.json").code == 0
