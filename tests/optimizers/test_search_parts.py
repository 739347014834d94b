"""The parts of a search: its space, budgets, pruning, study file, and places of trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.errors import InputError
from balin.eval.metrics import AnswerTable
from balin.optimizers.budget import Budget, Halt, Halted, Meter, Spent, estimate
from balin.optimizers.pruning import hopeless, worse
from balin.optimizers.space import WITH_P, Space, Switch, key
from balin.optimizers.study_file import read_study_file
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")


def table(gold: list[int], state: list[int], groups: list[str] | None = None) -> AnswerTable:
    n = len(gold)
    return AnswerTable(
        tuple(f"t{i}" for i in range(n)),
        tuple(groups) if groups else (None,) * n,
        ("pain",),
        np.array(gold, dtype=np.int8)[:, None],
        np.array(state, dtype=np.int8)[:, None],
        np.full((n, 1), np.nan),
    )


def test_the_formats_with_thresholds_are_those_that_give_p_true() -> None:
    def takes(name: str) -> bool:
        try:
            Extractor(SET, name="x", format=name).thresholds = {SET.ids[0]: 0.5}
        except InputError:
            return False
        return True

    assert {name for name in FORMATS if takes(name)} == set(WITH_P)


def test_configurations_are_distinct_and_hold_only_what_applies() -> None:
    space = Space(("a", "b"), ("direct", "translated"), translators=("x", "y"), languages=("en", "fa"), demos=(2, 4))
    found = list(space.configurations())
    assert len({key(c) for c in found}) == len(found)
    for chosen in found:
        assert ("translator" in chosen) == (chosen["route"] == "translated")
        assert ("format" in chosen) == (chosen["strategy"] != "study")
        assert ("demos" in chosen) == (chosen["strategy"] not in ("study", "zero-shot"))
        assert ("thresholds" in chosen) == (chosen.get("format") in WITH_P)
    assert [c["strategy"] for c in space.baselines()] == ["zero-shot", "study"]
    assert {key(c) for c in space.baselines()} <= {key(c) for c in found}


def test_votes_go_with_written_formats_and_give_thresholds_a_p_true() -> None:
    space = Space(
        ("a",), formats=("probe", "lines"), votes=(1, 5), instructions=("default", "terse", "mine"), texts={"mine": "x"}
    )
    space.check(SET)
    for chosen in space.configurations():
        assert ("votes" in chosen) == (chosen.get("format") == "lines")
        assert ("thresholds" in chosen) == (chosen.get("format") == "probe" or chosen.get("votes") == 5)
        assert ("instructions" in chosen) == (chosen["strategy"] != "study")
    for wrong, said in (
        (replace(space, formats=("probe",)), "--votes"),
        (replace(space, temperature=0.0), "temperature"),
        (replace(space, votes=(1,), temperature=0.3), "--temperature"),
        (replace(space, instructions=("nobody's",)), "--instructions"),
    ):
        with pytest.raises(InputError, match=said):
            wrong.check(SET)


@pytest.mark.parametrize(("wanted", "choices"), [("on", {None}), ("off", {False}), ("search", {True, False})])
def test_definitions_are_a_choice_of_all_but_the_study(wanted: Switch, choices: set[bool | None]) -> None:
    space = Space(("a",), definitions=wanted)
    for strategy in {str(c["strategy"]) for c in space.configurations()}:
        found = {c.get("definitions") for c in space.configurations() if c["strategy"] == strategy}
        assert found == ({None} if strategy == "study" else choices)


def test_an_answer_counts_once_for_the_trial_that_needed_it_first() -> None:
    meter = Meter()
    meter.begin(["a"])
    for name in ("a", "b", "b", "c"):
        meter.add(name, 2, 5)
    assert (meter.calls, meter.tokens, sorted(meter.charged)) == (4, 10, ["b", "c"])


def test_budgets_and_the_clock(tmp_path: Path) -> None:
    assert Budget(trials=3).used_up(Spent(2, 10**6, 10**6)) is None
    assert "3 configurations" in str(Budget(trials=3).used_up(Spent(3)))
    assert "9 calls" in str(Budget(calls=9).used_up(Spent(1, 9)))
    assert "9 generated" in str(Budget(tokens=9).used_up(Spent(1, 1, 10)))
    with pytest.raises(InputError, match="max-calls"):
        Budget(calls=0).check()
    now = [0.0]
    halt = Halt(5, tmp_path / "STOP", clock=lambda: now[0])
    halt.check()
    now[0] = 5.0
    with pytest.raises(Halted, match="5 seconds"):
        halt.check()
    space = Space(("a",), formats=("probe",), draws=50)
    assert "at most 480 answers, 6240 calls" in estimate(Budget(trials=8), 60, 60, 13, space)
    voted = estimate(Budget(trials=8), 60, 70, 13, replace(space, formats=("lines",), votes=(1, 5)))
    assert "at most 480 answers, 2400 calls (up to 5 votes)" in voted
    assert "the other 10 transcripts" in voted


def test_what_is_clearly_worse_is_hopeless_and_what_is_ahead_never() -> None:
    gold = [1, 0] * 12
    right, wrong = table(gold, gold), table(gold, [1 - g for g in gold])
    assert hopeless(wrong, right, "mcc", 2)
    assert not hopeless(right, wrong, "mcc", 2)
    assert not hopeless(right, right, "mcc", 2)
    almost = table(gold, [0, 0, 0, 0, *gold[4:]])
    assert not hopeless(almost, right, "mcc", 2)
    # One patient is one piece of evidence, however many transcripts.
    groups = ["same"] * 24
    assert not hopeless(table(gold, [1 - g for g in gold], groups), table(gold, gold, groups), "mcc", 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=8))
def test_the_p_value_is_that_of_all_changes_of_sign(differences: list[float]) -> None:
    kept = np.array([d for d in differences if d])
    if len(kept) < 2:
        return
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(kept))).reshape(len(kept), -1)
    exact = float(((signs * kept[:, None]).sum(axis=0) <= kept.sum() + 1e-9).mean())
    assert worse(np.array(differences)) == pytest.approx(exact)


def test_a_study_file_gives_the_options(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "model: a\nstrategy: [random]\ndemos: [4, 8]\nthresholds: off\ndefinitions: on\nout: x\nmax_seconds: 60\n"
    )
    assert read_study_file(path) == {
        "models": ["a"],
        "strategies": ["random"],
        "demos": [4, 8],
        "thresholds": "off",
        "definitions": "on",
        "out": Path("x"),
        "max_seconds": 60.0,
    }


def test_a_study_file_names_instructions_or_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("instructions:\n  default:\n  mine: Say what is there.\n")
    assert read_study_file(path) == {"instructions": ["default", "mine"], "texts": {"mine": "Say what is there."}}
    path.write_text("instructions: [terse]\n")
    assert read_study_file(path) == {"instructions": ["terse"], "texts": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: a\ncolour: red\n", "line 2: colour: unknown key; allowed: data"),
        ("model: a\nmodel: b\n", "line 2: model: given twice"),
        ("seed: 1\ndemos:\n  - 4\n  - none\n", "line 4: demos"),
        ("seed: 1\nroute: sideways\n", "line 2: route"),
        ("limit: 0\n", "line 1: limit"),
        ("seed: 1\nformat: [json, prob]\n", "line 2: format: there is no 'prob'; there are: lines, json"),
        ("seed: 1\nstrategy: mipro\n", "line 2: strategy: there is no 'mipro'; there are: random, labeled"),
        ("seed: 1\ninstructions: [terse, nobodys]\n", "line 2: instructions"),
        ("seed: 1\ninstructions:\n  terse: Mine.\n", "give yours another name"),
        ("seed: 1\nmax_missing: 1.5\n", "line 2: max_missing"),
        ("max_trials: many\n", "line 1: max_trials"),
        ("model: [a\n", "not valid YAML"),
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_what_is_wrong_in_a_study_file_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_study_file(path)
    assert said in str(caught.value)
    assert "s.yaml" in str(caught.value)
