"""Trying again: how often, how long, and how it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.retry import Backoff, TryAgain
from balin.errors import CallError, EngineUnavailable


def gives_up(attempts: int, seconds: float) -> EngineUnavailable:
    assert seconds >= 0
    return EngineUnavailable(f"{attempts} attempts")


def failing(times: int, limit: int | None = None) -> tuple[list[int], object]:
    calls: list[int] = []

    def attempt() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise TryAgain(gives_up, limit=limit)
        return "done"

    return calls, attempt


def test_first_success_ends_it() -> None:
    naps: list[float] = []
    calls, attempt = failing(2)
    assert Backoff(retries=3, sleep=naps.append).run(attempt) == ("done", 2)
    assert (len(calls), len(naps)) == (3, 2)


@given(st.integers(0, 6))
def test_it_gives_up_after_the_retries_and_says_how_many(retries: int) -> None:
    naps: list[float] = []
    calls, attempt = failing(100)
    with pytest.raises(EngineUnavailable, match=f"^{retries + 1} attempts$"):
        Backoff(retries=retries, sleep=naps.append).run(attempt)
    assert (len(calls), len(naps)) == (retries + 1, retries)


def test_a_kind_of_failure_can_be_worth_fewer_attempts() -> None:
    calls, attempt = failing(100, limit=1)
    with pytest.raises(EngineUnavailable, match=r"^2 attempts$"):
        Backoff(retries=5, sleep=lambda _: None).run(attempt)
    assert len(calls) == 2


def test_other_errors_pass_at_once() -> None:
    def attempt() -> str:
        raise CallError("no")

    with pytest.raises(CallError, match="no"):
        Backoff(sleep=pytest.fail).run(attempt)


def test_the_error_carries_no_trace_of_the_attempts() -> None:
    _, attempt = failing(100)
    with pytest.raises(EngineUnavailable) as caught:
        Backoff(retries=1, sleep=lambda _: None).run(attempt)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 60), st.floats(0.01, 5), st.floats(5, 60))
def test_pauses_double_up_to_a_ceiling_and_keep_half_of_it(
    jitter: float, failures: int, first: float, longest: float
) -> None:
    backoff = Backoff(first=first, longest=longest, jitter=lambda: jitter)
    ceiling = min(first * 2.0 ** (failures - 1), longest)
    assert 0.5 * ceiling * (1 - 1e-9) <= backoff.pause(failures) <= ceiling * (1 + 1e-9)
    assert backoff.pause(failures) <= backoff.pause(failures + 1)
