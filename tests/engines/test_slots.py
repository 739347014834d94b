"""Work over many items: as many at once as the engine has slots, results in order, and the first error stops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from balin.engines.slots import SharedClock, each, seconds
from balin.errors import EngineUnavailable
from balin.signatures.private_dspy import dspy

HERE: ContextVar[str] = ContextVar("HERE", default="nothing")


def engine(slots: int) -> Any:
    return SimpleNamespace(slots=slots)


def ignore(*_: int) -> None:
    """No progress wanted."""


@pytest.mark.parametrize("slots", [1, 2, 5])
class TestWithAnyNumberOfSlots:
    def test_results_are_in_the_items_order(self, slots):
        def work(item: int) -> int:
            time.sleep(0.002 * (7 - item % 7))
            return item * 10

        assert each(engine(slots), list(range(12)), work, ignore) == [n * 10 for n in range(12)]

    def test_each_item_is_worked_on_once(self, slots):
        seen: list[int] = []
        each(engine(slots), list(range(30)), seen.append, ignore)
        assert sorted(seen) == list(range(30))

    def test_progress_counts_from_nothing_to_all(self, slots):
        told: list[tuple[int, int]] = []
        each(engine(slots), "abc", str.upper, lambda done, of: told.append((done, of)))
        assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]

    def test_nothing_to_do(self, slots):
        told: list[tuple[int, int]] = []
        assert each(engine(slots), [], str, lambda done, of: told.append((done, of))) == []
        assert told == [(0, 0)]

    def test_an_error_passes_as_it_is(self, slots):
        def work(item: int) -> int:
            if item == 3:
                raise EngineUnavailable("gone")
            return item

        with pytest.raises(EngineUnavailable, match="gone"):
            each(engine(slots), list(range(6)), work, ignore)

    def test_ctrl_c_passes_and_stops_the_rest(self, slots):
        begun: list[int] = []

        def work(item: int) -> None:
            begun.append(item)
            time.sleep(0.01)

        def advance(done: int, _: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            each(engine(slots), list(range(60)), work, advance)
        assert len(begun) < 60

    def test_the_callers_context_is_there(self, slots):
        token = HERE.set("the caller's")
        try:
            assert set(each(engine(slots), range(4), lambda _: HERE.get(), ignore)) == {"the caller's"}
        finally:
            HERE.reset(token)

    def test_dspys_settings_are_there(self, slots):
        with dspy.context(lm="mine"):
            assert set(each(engine(slots), range(4), lambda _: dspy.settings.lm, ignore)) == {"mine"}


def most_at_once(slots: int, items: int) -> int:
    """How many items were worked on at the same time, where each waits until `slots` are, or a while."""
    running, most = 0, 0
    changed = threading.Condition()

    def work(_: int) -> None:
        nonlocal running, most
        with changed:
            running += 1
            most = max(most, running)
            changed.notify_all()
            changed.wait_for(lambda: most >= slots, timeout=5)
            running -= 1

    each(engine(slots), range(items), work, ignore)
    return most


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_as_many_at_once_as_there_are_slots(slots):
    assert most_at_once(slots, 12) == slots


def test_with_one_slot_the_work_is_done_in_the_callers_thread_and_stops_at_the_error():
    seen: list[int] = []
    assert set(each(engine(1), range(3), lambda _: threading.get_ident(), ignore)) == {threading.get_ident()}

    def work(item: int) -> None:
        seen.append(item)
        if item == 2:
            raise EngineUnavailable("gone")

    with pytest.raises(EngineUnavailable):
        each(engine(1), range(9), work, ignore)
    assert seen == [0, 1, 2]


def stops_at_an_error(slow_first: bool) -> tuple[list[int], list[int]]:
    """Items begun and items finished, where item 1 fails; if `slow_first`, while item 0 is still at work."""
    begun: list[int] = []
    finished: list[int] = []
    changed = threading.Condition()

    def work(item: int) -> None:
        with changed:
            begun.append(item)
            changed.notify_all()
            if item == 0 and slow_first:
                changed.wait_for(lambda: len(begun) >= 20, timeout=1.5)
        if item == 1:
            raise EngineUnavailable("gone")
        if item > 1:
            time.sleep(0.02)
        finished.append(item)

    with pytest.raises(EngineUnavailable, match="gone"):
        each(engine(2), range(200), work, ignore)
    return begun, finished


@pytest.mark.parametrize("slow_first", [False, True], ids=["in order", "while an earlier one runs"])
def test_the_first_error_stops_the_rest_and_waits_for_what_is_running(slow_first):
    begun, finished = stops_at_an_error(slow_first)
    assert len(begun) < 20
    assert sorted(finished) == sorted(i for i in begun if i != 1)


def test_it_is_typed_for_any_item_and_result():
    upper: Callable[[str], str] = str.upper
    assert each(engine(3), ("a", "b"), upper, ignore) == ["A", "B"]


class TestSharedTime:
    def test_while_two_are_at_work_each_is_charged_half(self):
        now = [100.0]
        clock = SharedClock(lambda: now[0])
        with clock.working():
            began = clock()
            now[0] += 4
            with clock.working():
                second = clock()
                now[0] += 6
                assert clock() - second == 3
            now[0] += 1
            assert clock() - began == 4 + 3 + 1

    def test_nobody_at_work_is_as_one(self):
        now = [0.0]
        clock = SharedClock(lambda: now[0])
        now[0] = 5.0
        assert clock() == 5.0

    def test_work_beside_others_reads_the_shared_clock(self):
        together = threading.Barrier(2)

        def work(_: int) -> float:
            together.wait(timeout=10)
            began, real = seconds(), time.perf_counter()
            time.sleep(0.05)
            together.wait(timeout=10)
            return (seconds() - began) / (time.perf_counter() - real)

        shares = each(engine(2), [0, 1], work, ignore)
        assert all(0.3 < share < 0.8 for share in shares)

    def test_afterwards_the_clock_is_the_real_one_again(self):
        each(engine(2), [0, 1, 2], str, ignore)
        began, real = seconds(), time.perf_counter()
        assert abs((seconds() - began) - (time.perf_counter() - real)) < 1
