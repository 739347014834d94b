"""The study's keeper: what a dead worker leaves comes back in the order in which it was drawn, wherever it died."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError

from balin.errors import InputError
from balin.optimizers.study import Keeper, is_lost, open_study, quietly
from balin.optimizers.workers import Worker

CONFIGURATIONS = [{"strategy": name} for name in ("zero-shot", "study", "random")]


class Killed(BaseException):
    """Stands for `kill -9`: nothing after it is done."""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    with quietly(), Worker(tmp_path / "workers") as worker:
        yield Keeper(open_study("s", tmp_path, None, 0), worker, shared=True)


def dead(keeper: Keeper) -> None:
    """The next trial, begun by a worker that is no more."""
    trial = keeper.study.ask()
    trial.set_user_attr("owner", "nobody")


def waiting(keeper: Keeper) -> list[dict[str, str]]:
    return [t.user_attrs["asked"] for t in keeper.trials() if t.state == TrialState.WAITING]


def test_two_workers_may_make_one_database_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, met = optuna.create_study, []

    def meets_another(**options: object) -> optuna.Study:
        if len(met) < 2:
            met.append(options)
            raise IntegrityError("CREATE TABLE", {}, Exception("exists"))
        return own(**options)

    monkeypatch.setattr(optuna, "create_study", meets_another)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert open_study("s", tmp_path, None, 0).study_name == "s"
    assert len(met) == 2


def test_a_database_that_stays_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(**_: object) -> None:
        raise IntegrityError("CREATE TABLE", {}, Exception("exists"))

    monkeypatch.setattr(optuna, "create_study", breaks)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(InputError, match="cannot be opened"):
        open_study("s", tmp_path, None, 0)


def test_half_a_line_of_a_journal_is_cut_off_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    with quietly():
        open_study("s", tmp_path, str(path), 0).enqueue_trial({"a": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    with quietly():
        again = open_study("s", tmp_path, str(path), 0)
        again.enqueue_trial({"a": 2})
        assert len(open_study("s", tmp_path, str(path), 0).get_trials()) == 2
    assert path.read_bytes().startswith(whole)
    path.write_bytes(whole + b"{half\n" + whole)
    with pytest.raises(InputError, match="a line of it is damaged"):
        open_study("s", tmp_path, str(path), 0)


def test_what_was_lost_comes_before_what_still_waits(keeper: Keeper) -> None:
    for chosen in CONFIGURATIONS:
        keeper.enqueue(chosen)
    dead(keeper)
    keeper.tidy()
    assert waiting(keeper) == CONFIGURATIONS
    before = len(keeper.trials())
    keeper.tidy()
    assert len(keeper.trials()) == before


@pytest.mark.parametrize("writes", range(1, 8))
def test_killed_between_any_two_writes_of_tidying_the_order_is_the_same_in_the_end(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    for chosen in CONFIGURATIONS:
        keeper.enqueue(chosen)
    dead(keeper)
    storage, left = keeper.study._storage, [writes]
    for name in ("set_trial_state_values", "create_new_trial"):

        def counted(*args: object, original: object = getattr(storage, name), **kwargs: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(storage, name, counted)
    try:
        keeper.tidy()
    except Killed:
        left[0] = 1_000
        keeper.tidy()
    assert waiting(keeper) == CONFIGURATIONS
    assert all(is_lost(t) for t in keeper.trials() if t.state != TrialState.WAITING)
