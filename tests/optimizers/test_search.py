"""The search's own loop, on answers that are known beforehand: pruning, limits, two objectives, draws."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from balin.optimizers.budget import Budget
from balin.optimizers.goals import Goals, front
from balin.optimizers.importance import importances
from balin.optimizers.search import _Elsewhere
from balin.optimizers.search_report import trial_rows
from balin.optimizers.space import Choices, Space, key
from balin.optimizers.study import DROPPED, PRUNED, SCORED, outcome, quietly, result, tried
from balin.optimizers.trial import Scored

sys.path.append(str(Path(__file__).parent))
from replay import Known, gold, search  # type: ignore[import-not-found]

GOLD = gold(60)
SPACE = Space(("good", "bad"), formats=("lines",), strategies=("random",), demos=(4,), draws=2)
ALL = set(range(60))


def by_model(wrong: set[int]) -> Known:
    return Known(GOLD, lambda chosen: wrong if chosen["model"] == "bad" else set(range(0, 60, 10)))


def test_what_is_clearly_worse_ends_at_the_first_look_and_its_score_is_never_the_best(tmp_path: Path) -> None:
    found = search(tmp_path, SPACE, by_model(ALL))
    trials = tried(found.keeper.trials())
    assert len(trials) == 2 * 5
    for trial in trials:
        bad = trial.user_attrs["asked"]["model"] == "bad"
        assert outcome(trial) == (PRUNED if bad else SCORED)
        assert result(trial)["n"] == (24 if bad else 60)
        assert trial.intermediate_values == ({24: result(trial)["score"]} if bad else {})
    best = found.best()
    assert best is not None
    assert best.user_attrs["asked"]["model"] == "good"


def test_nothing_is_pruned_where_it_is_ahead_or_not_wanted(tmp_path: Path) -> None:
    # At the first two looks the bad model is ahead, and only after the last behind.
    late = by_model(set(range(40, 60)))
    assert {outcome(t) for t in tried(search(tmp_path, SPACE, late).keeper.trials())} == {SCORED}
    assert {outcome(t) for t in tried(search(tmp_path, SPACE, by_model(ALL), prune=False).keeper.trials())} == {SCORED}


def test_a_baseline_is_scored_on_all_transcripts_however_bad_it_is(tmp_path: Path) -> None:
    known = Known(GOLD, lambda chosen: ALL if chosen["strategy"] == "study" else set(range(0, 60, 10)))
    made = {key(t.user_attrs["asked"]): t for t in tried(search(tmp_path, SPACE, known).keeper.trials())}
    scored = [c for c in SPACE.configurations() if c["strategy"] == "study" and outcome(made[key(c)]) == SCORED]
    # What the winner is compared with; other draws and other models of the study end early.
    assert scored == [c for c in SPACE.baselines() if c["strategy"] == "study"]


def test_trials_with_thresholds_see_all_transcripts(tmp_path: Path) -> None:
    space = Space(("good", "bad"), formats=("json",), strategies=("random",), demos=(4,), draws=1, thresholds="on")
    for trial in tried(search(tmp_path, space, by_model(ALL)).keeper.trials()):
        if trial.user_attrs["asked"].get("thresholds"):
            assert (outcome(trial), result(trial)["n"]) == (SCORED, 60)


def test_a_trial_whose_answers_are_there_is_not_pruned(tmp_path: Path) -> None:
    space = Space(("good", "bad"), formats=("json",), strategies=("random",), demos=(4,), draws=2, thresholds="search")
    free = paid = 0
    for seed in range(6):
        made = tried(search(tmp_path / str(seed), space, by_model(ALL), seed=seed).keeper.trials())
        done = [t.user_attrs["asked"] for t in made if outcome(t) == SCORED]
        for trial in made:
            chosen = trial.user_attrs["asked"]
            if chosen["model"] == "bad" and chosen.get("thresholds") is False:
                # Where the trial with thresholds came later, nobody could know.
                twin = [t.number for t in made if t.user_attrs["asked"] == chosen | {"thresholds": True}]
                if twin[0] < trial.number:
                    assert chosen in done
                    free += 1
                else:
                    assert outcome(trial) == PRUNED
                    paid += 1
    assert free
    assert paid


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_pruned_trial_is_behind_at_the_look_that_ended_it(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = {key(c): set(np.flatnonzero(rng.random(60) < rng.uniform(0, 0.6))) for c in SPACE.configurations()}
    found = search(tmp_path, SPACE, Known(GOLD, lambda chosen: table[key(chosen)]), budget=Budget(trials=8))
    whole = {key(t.user_attrs["asked"]): t for t in tried(found.keeper.trials())}
    best = max(result(t)["score"] for t in whole.values() if outcome(t) == SCORED)
    for trial in whole.values():
        if outcome(trial) == PRUNED:
            assert result(trial)["n"] in (24, 40)
            assert result(trial)["score"] < 1
    top = found.best()
    assert top is not None
    assert result(top)["score"] == best


def test_equals_are_hardly_ever_pruned(tmp_path: Path) -> None:
    """Each configuration errs at random with the same probability: at most 5 % of trials may end early, in the long run."""
    ended = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        table = {key(c): set(np.flatnonzero(rng.random(60) < 0.3)) for c in SPACE.configurations()}
        found = search(tmp_path, SPACE, Known(GOLD, lambda chosen, table=table: table[key(chosen)]))
        # Against the best of several, a trial is worse than an equal more often than 5 %; the first two are against one.
        ended += [outcome(t) == PRUNED for t in tried(found.keeper.trials())[1:3]]
    assert np.mean(ended) <= 0.1


def test_a_trial_that_another_worker_ended_is_tried_again(tmp_path: Path) -> None:
    known = by_model(set())
    ended: list[int] = []

    def look(chosen: Choices, count: int) -> Scored:
        if not ended:
            (trial,) = (t for t in found.keeper.trials() if t.state == TrialState.RUNNING)
            found.keeper.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            ended.append(trial.number)
        return Known.look(known, chosen, count)

    found = search(tmp_path, SPACE, replace(known), run=False)
    found.examiner = SimpleNamespace(look=look, facts=known.facts)
    with quietly():
        found.run()
    trials = tried(found.keeper.trials())
    assert ended == [0]
    assert len(trials) == len({key(t.user_attrs["asked"]) for t in trials}) == 10


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_an_error_of_a_trial_ends_the_search_and_is_not_tried_for_ever(tmp_path: Path, kind: type[Exception]) -> None:
    known = by_model(set())
    looks: list[int] = []

    def look(chosen: Choices, count: int) -> Scored:
        looks.append(count)
        if len(looks) > 4:
            raise kind("a fault of Balin's own")
        return Known.look(known, chosen, count)

    found = search(tmp_path, SPACE, replace(known), run=False)
    found.examiner = SimpleNamespace(look=look, facts=known.facts)
    with quietly(), pytest.raises(kind, match="of Balin's own"):
        found.run()
    assert len(looks) == 5
    assert len(tried(found.keeper.trials())) == 1


def test_what_was_dropped_for_the_budget_s_sake_is_tried_when_there_is_more(tmp_path: Path) -> None:
    known = by_model(set())
    found = search(tmp_path, SPACE, known, budget=Budget(trials=1), run=False)
    # Another worker is at the last of the budget when this one begins the second baseline.
    with quietly(), suppress(_Elsewhere):
        other = found.keeper.study.ask()
        found.keeper.study.optimize(found._trial, n_trials=1)
    assert [outcome(t) for t in found.keeper.trials()] == [None, DROPPED]
    with quietly():
        found.keeper.study.tell(other.number, state=TrialState.FAIL)
    found.task = replace(found.task, budget=Budget(trials=None))
    with quietly():
        assert found.run() == "every configuration has been tried"
    assert sorted(key(t.user_attrs["asked"]) for t in tried(found.keeper.trials())) == sorted(
        map(key, SPACE.configurations())
    )


def test_limits_make_the_best_one_that_keeps_them_and_optuna_is_told(tmp_path: Path) -> None:
    slow = Known(
        GOLD,
        lambda c: set() if c["model"] == "good" else {0, 1, 2},
        seconds=lambda c: 9.0 if c["model"] == "good" else 1.0,
    )
    found = search(tmp_path, SPACE, slow, goals=Goals(max_latency=2.0, max_missing=0.1))
    best = found.best()
    assert best is not None
    assert best.user_attrs["asked"]["model"] == "bad"
    for trial in tried(found.keeper.trials()):
        assert dict(trial.constraints) == result(trial)["excess"]
        assert (trial.constraints["latency"] > 0) == (trial.user_attrs["asked"]["model"] == "good")
    assert found.keeper.study.best_trial.user_attrs["asked"]["model"] == "bad"


def test_two_objectives_give_two_values_and_nothing_is_pruned(tmp_path: Path) -> None:
    goals = Goals(pareto=True)
    found = search(tmp_path, SPACE, by_model(ALL), goals=goals, prune=False)
    for trial in tried(found.keeper.trials()):
        assert outcome(trial) == SCORED
        assert trial.values == [result(trial)["score"], 1.0]


ROWS = st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 9)), max_size=12)


@given(ROWS)
def test_the_front_is_what_nothing_beats(rows: list[tuple[float, float]]) -> None:
    made = [{"score": s, "latency": t, "i": i} for i, (s, t) in enumerate(rows)]
    kept = {row["i"] for row in front(made)}

    def beats(a: dict[str, float], b: dict[str, float]) -> bool:
        return (
            a["score"] >= b["score"]
            and a["latency"] <= b["latency"]
            and (a["score"], a["latency"]) != (b["score"], b["latency"])
        )

    for row in made:
        beaten = any(beats(other, row) for other in made)
        twin = any(o["i"] < row["i"] and (o["score"], o["latency"]) == (row["score"], row["latency"]) for o in made)
        assert (row["i"] in kept) == (not beaten and not twin)


def test_what_matters_is_found_and_with_few_trials_nothing_is_said(tmp_path: Path) -> None:
    space = Space(
        ("good", "bad"), formats=("lines", "json"), strategies=("random",), demos=(4, 8), draws=2, thresholds="off"
    )

    def wrong(chosen: Choices) -> set[int]:
        return set(range(0, 60, 2)) if chosen["model"] == "bad" else {0} if chosen.get("format") == "json" else set()

    rows = trial_rows(search(tmp_path, space, Known(GOLD, wrong), prune=False).keeper.trials())
    shares = importances(rows, space, 0)
    assert next(iter(shares)) == "model"
    assert shares["model"] > 0.8
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert importances(rows, space, 0) == shares
    assert importances(rows[:9], space, 0) == {}
