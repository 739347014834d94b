"""The run folder: whole or not there, for its owner only, and read back as it was written."""

from __future__ import annotations

import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.engines.protocol import Telemetry
from balin.errors import RunError
from balin.eval.metrics import AnswerRow, AnswerTable
from balin.eval.runs import (
    git_state,
    read_predictions,
    read_run,
    versions,
    write_json,
    write_predictions,
    write_run,
    write_transcripts,
)
from balin.programs.pipeline import Extraction
from balin.programs.translation import Translation
from balin.signatures.answers import Answer, State

FEATURES = ("pain", "fever", "smell")


def text_file(text):
    return lambda path: path.write_text(text)


def result_of(transcripts, extractions):
    """As much of an `Answered` as the writers read."""
    return SimpleNamespace(transcripts=tuple(transcripts), extractions=tuple(extractions))


def test_a_run_is_written_whole(tmp_path):
    folder = tmp_path / "runs" / "first"
    write_run(folder, {"name": "first"}, {"metrics.json": text_file("{}")})
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.json", "run.json"]
    assert read_run(folder)["name"] == "first"
    assert [p.name for p in folder.parent.iterdir()] == ["first"]


def test_only_the_owner_can_look_into_a_run(tmp_path):
    before = os.umask(0)
    try:
        write_run(tmp_path / "first", {}, {"metrics.json": text_file("{}")})
    finally:
        os.umask(before)
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "first").iterdir()} == {0o600}


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()])
def test_a_run_that_cannot_be_finished_leaves_the_older_one(tmp_path, interruption):
    def fails(path):
        path.write_text("half")
        raise interruption

    write_run(tmp_path / "first", {"take": 1}, {"metrics.json": text_file("{}")})
    with pytest.raises(type(interruption)):
        write_run(tmp_path / "first", {"take": 2}, {"metrics.json": fails})
    with pytest.raises(type(interruption)):
        write_run(tmp_path / "second", {"take": 2}, {"metrics.json": fails})
    assert [p.name for p in tmp_path.iterdir()] == ["first"]
    assert read_run(tmp_path / "first")["take"] == 1


def test_a_run_takes_the_place_of_an_older_one_with_all_its_files(tmp_path):
    write_run(tmp_path / "first", {"take": 1}, {"old.json": text_file("{}")})
    write_run(tmp_path / "first", {"take": 2}, {"new.json": text_file("{}")})
    assert sorted(p.name for p in (tmp_path / "first").iterdir()) == ["new.json", "run.json"]
    assert read_run(tmp_path / "first")["take"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["first"]


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "calls.csv").write_text("id,text\n")
    with pytest.raises(RunError, match="data"):
        write_run(tmp_path / "data", {}, {})
    assert (tmp_path / "data" / "calls.csv").read_text() == "id,text\n"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_without_nan(tmp_path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"mcc": value})


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no run\.json"):
        read_run(tmp_path)
    with pytest.raises(RunError, match=r"no run\.json"):
        read_run(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"no run\.json"):
        read_run(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[]", "schema None"),
        (b"3", "schema None"),
        (b"{}", "schema None"),
        (b'{"schema": 2}', "schema 2 is unknown; this Balin reads 1"),
        (b'{"schema": "1"}', "schema '1'"),
    ],
)
def test_a_run_of_another_version_is_refused(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path)


states = st.sampled_from(list(State))
probability = st.none() | st.floats(0, 1)
# What tables tend to read as something else: numbers, blanks, "NA".
odd_text = st.sampled_from(
    ["NA", "nan", "None", "1", "01", "1.0", "True", "بیمار ۱", " a", "a\nb", '"', "<NA>"]
) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)


@st.composite
def answered(draw):
    ids = draw(st.lists(odd_text, min_size=1, max_size=6, unique=True))
    groups = draw(st.lists(st.none() | odd_text, min_size=len(ids), max_size=len(ids)))
    rows = []
    for identifier, group in zip(ids, groups, strict=True):
        gold = {f: draw(st.none() | st.booleans()) for f in FEATURES}
        answers = {f: Answer(draw(states), draw(probability)) for f in FEATURES}
        rows.append(AnswerRow(identifier, group, gold, answers))
    return rows


@settings(max_examples=60, deadline=None)
@given(answered())
def test_predictions_come_back_as_they_were(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("run")
    transcripts = [Transcript(r.id, "text", group=r.group, labels=r.gold) for r in rows]
    write_predictions(
        folder / "predictions.parquet",
        result_of(transcripts, [Extraction(r.answers, Telemetry()) for r in rows]),
        FEATURES,
    )
    expected, found = AnswerTable.from_rows(FEATURES, rows), read_predictions(folder)
    assert (found.ids, found.groups, found.features) == (expected.ids, expected.groups, expected.features)
    np.testing.assert_array_equal(found.gold, expected.gold)
    np.testing.assert_array_equal(found.state, expected.state)
    np.testing.assert_array_equal(found.p_true, expected.p_true)


def test_predictions_that_cannot_be_read(tmp_path):
    path = tmp_path / "predictions.parquet"
    with pytest.raises(RunError, match="predictions"):
        read_predictions(tmp_path)
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(RunError, match="run `balin evaluate` again"):
        read_predictions(tmp_path)
    pd.DataFrame({"id": ["a"], "feature": ["pain"]}).to_parquet(path)
    with pytest.raises(RunError, match="predictions"):
        read_predictions(tmp_path)
    columns = {"id": "a", "group": None, "feature": "pain", "gold": True, "state": "perhaps", "p_true": 0.5}
    pd.DataFrame([columns]).to_parquet(path)
    with pytest.raises(RunError, match="predictions"):
        read_predictions(tmp_path)


def test_costs_and_failures_of_each_transcript_without_its_text(tmp_path):
    path = tmp_path / "transcripts.parquet"
    cost = Telemetry(2, 1, 120, None, 7, 0.5, 0.25)
    made = Translation("the English text", Telemetry(), 1.5, warnings=("length", "numbers"))
    failed = Translation(None, Telemetry(), failure="timeout")
    write_transcripts(
        path,
        result_of(
            [Transcript("a", "متن"), Transcript("b", "متن")],
            [
                Extraction({}, cost, 0.75, stored=True, translation=made),
                Extraction({}, Telemetry(), failure="timeout", translation=failed),
            ],
        ),
    )
    first, second = pd.read_parquet(path).to_dict("records")
    assert (first["id"], first["seconds"], first["engine_seconds"], first["stored"]) == ("a", 0.75, 0.75, True)
    assert (first["prompt_tokens"], first["generated_tokens"], first["retries"]) == (120, 7, 1)
    assert pd.isna(first["cached_tokens"])
    assert pd.isna(first["failure"])
    assert (first["translation_seconds"], first["translation_warnings"]) == (1.5, "length,numbers")
    assert (second["failure"], second["translation_failure"]) == ("timeout", "timeout")
    raw = path.read_bytes()
    assert b"the English text" not in raw
    assert "متن".encode() not in raw


def test_versions_and_state_of_the_code():
    assert {"balin", "dspy", "pandas"} <= set(versions())
    state = git_state()
    assert state is None or (len(state["commit"]) == 40 and isinstance(state["dirty"], bool))
    assert json.dumps([versions(), state])


def test_without_git_the_state_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() is None
