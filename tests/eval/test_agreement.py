"""Agreement of two readings, against scikit-learn and by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from balin.errors import InputError
from balin.eval.agreement import Agreement, agreement

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_kappa_is_scikit_learns(pairs: list[tuple[bool, bool]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    found = agreement(first, second)
    if len({*first, *second}) == 1:
        assert found.kappa is None
    else:
        assert math.isclose(found.kappa or 0.0, cohen_kappa_score(first, second), abs_tol=1e-12)


@given(PAIRS)
def test_the_order_of_the_readings_does_not_matter(pairs: list[tuple[bool, bool]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    one, other = agreement(first, second), agreement(second, first)
    assert (one.raw, one.ac1, one.first_only) == (other.raw, other.ac1, other.second_only)


@given(PAIRS)
def test_bounds(pairs: list[tuple[bool, bool]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    found = agreement(first, second)
    assert found.n == len(pairs)
    assert found.ac1 is not None
    assert -1 <= found.ac1 <= found.raw <= 1
    assert (found.ac1 == 1) == (first == second)


def test_where_kappa_misleads() -> None:
    """118 of 125 labels agree, nearly all of one class: kappa is below zero, AC1 is not."""
    found = Agreement(both=118, first_only=5, second_only=2, neither=0)
    assert found.raw == pytest.approx(0.944)
    assert found.kappa == pytest.approx(-0.0234, abs=1e-4)
    assert found.ac1 == pytest.approx(0.9407, abs=1e-4)


def test_readings_of_different_length_are_refused() -> None:
    with pytest.raises(InputError, match="not of 1 and 2"):
        agreement([True], [True, False])
    with pytest.raises(InputError):
        agreement([], [])
