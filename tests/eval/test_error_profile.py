"""Errors by group: every error is counted once in each grouping, and nothing that was not scored is counted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Dataset, Transcript
from balin.errors import RunError
from balin.eval.error_profile import ErrorCount, GroupErrors, count_errors, error_profile
from balin.eval.error_tables import error_grids
from balin.eval.metrics import AnswerTable
from balin.eval.shown import select

sys.path.append(str(Path(__file__).parent))
from invented_arms import invented_run, invented_selection, invented_table  # type: ignore[import-not-found]


def dataset(count: int, **extra: list[object]) -> Dataset:
    """Transcripts c00000, … of 1, 2, 3, … words, with these columns."""
    rows = tuple(
        Transcript(f"c{i:05}", " ".join(["w"] * (i + 1)), extra={k: v[i % len(v)] for k, v in extra.items()})
        for i in range(count)
    )
    return Dataset("calls.jsonl", "e" * 64, "palliative13", rows)


def of(profile: list[GroupErrors], kind: str) -> dict[str, GroupErrors]:
    return {item.group.name: item for item in profile if item.group.kind == kind}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 3)), min_size=1, max_size=12))
def test_counts_are_those_of_a_loop(cells: list[tuple[int, int]]) -> None:
    gold = np.array([[g] for g, _ in cells], dtype=np.int8)
    state = np.array([[s] for _, s in cells], dtype=np.int8)
    ids = tuple(f"c{i}" for i in range(len(cells)))
    table = AnswerTable(ids, (None,) * len(ids), ("pain",), gold, state, np.full(gold.shape, np.nan))
    found = count_errors(table, range(len(ids)))["pain"]
    scored = [(g, s) for g, s in cells if g >= 0 and s != 3]
    assert found == ErrorCount(
        positives=sum(g == 1 for g, _ in scored),
        negatives=sum(g == 0 for g, _ in scored),
        fn=sum(g == 1 and s != 1 for g, s in scored),
        fp=sum(g == 0 and s == 1 for g, s in scored),
        missing=sum(s == 2 for _, s in scored),
    )


def test_groups_of_one_value_each_add_up_to_all() -> None:
    selection = invented_selection(2, 30, resamples=0)
    profile = error_profile(selection, dataset(30, register=["letter", "dialogue"]))
    everything = profile[0]
    assert everything.group.name == "all"
    for kind in ("register", "length"):
        groups = of(profile, kind).values()
        for arm in range(2):
            assert sum((g.total(arm) for g in groups), ErrorCount()) == everything.total(arm)
    assert list(of(profile, "length")) == ["1–10 words", "11–20 words", "21–30 words"]


def test_a_call_with_several_phenomena_is_in_each_and_one_without_in_none_named() -> None:
    data = dataset(4, phenomena=[["negation", "resolved"], "negation; idiom", [], None])
    profile = error_profile(invented_selection(1, 4, resamples=0), data)
    groups = {name: item.group.rows for name, item in of(profile, "phenomenon").items()}
    assert groups == {"negation": (0, 1), "idiom": (1,), "resolved": (0,), "(none named)": (2, 3)}
    assert list(groups)[-1] == "(none named)"


def test_data_without_such_columns_give_length_alone() -> None:
    profile = error_profile(invented_selection(1, 6, resamples=0), dataset(6))
    assert {item.group.kind for item in profile} == {"all", "length"}


def test_calls_of_one_length_are_one_group() -> None:
    rows = tuple(Transcript(f"c{i:05}", "three words here") for i in range(6))
    profile = error_profile(
        invented_selection(1, 6, resamples=0), Dataset("calls.jsonl", "e" * 64, "palliative13", rows)
    )
    assert list(of(profile, "length")) == ["3–3 words"]


def test_a_transcript_that_the_data_lack_is_named() -> None:
    with pytest.raises(RunError, match=r"1 transcripts of the run \(c00005\) are not in calls.jsonl"):
        error_profile(invented_selection(1, 6, resamples=0), dataset(5))


def test_failed_calls_of_one_arm_are_not_scored() -> None:
    selection = select([(invented_run(), invented_table(10, errors=4))], resamples=0)
    assert error_profile(selection, dataset(10))[0].total(0).n == 6 * 13


def test_the_short_tables_say_what_they_leave_out_and_the_wide_ones_leave_out_nothing() -> None:
    selection = invented_selection(2, 40, resamples=0)
    profile = error_profile(selection, dataset(40, phenomena=[["negation"], ["resolved"]]))
    short, wide = error_grids(selection, profile), error_grids(selection, profile, wide=True)
    title = "Errors by feature and phenomenon, the most first"
    (few,) = [g for g in short if g.title == title]
    (all_,) = [g for g in wide if g.title == title]
    assert few.rows == all_.rows[:15]
    assert few.notes[0].startswith(f"{len(all_.rows) - 15} further pairs")
    assert not all_.notes
    for grid in wide:
        assert all(len(row) == len(grid.columns) for row in grid.rows)
        grid.markdown()
