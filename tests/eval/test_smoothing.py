"""Pseudo-counts: half an answer a cell, the same for the same arm, and nothing where a class is lost."""

from __future__ import annotations

import numpy as np
import pytest

from balin.eval.metrics import AnswerTable
from balin.eval.smoothing import pseudo_counts, smoothed


def a_table(state: np.ndarray, order: list[int] | None = None) -> AnswerTable:
    n, k = state.shape
    rows = list(range(n)) if order is None else order
    ids, gold = tuple(f"t{i}" for i in rows), np.zeros((n, k), dtype=np.int8)
    return AnswerTable(
        ids, (None,) * n, tuple(f"f{j}" for j in range(k)), gold, state[rows].astype(np.int8), np.full((n, k), np.nan)
    )


def some_state(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, size=(30, 3))


def test_each_cell_has_the_mean_and_the_variance_of_half_an_answer():
    found = pseudo_counts(a_table(some_state()), 20_000, 0).confusion
    assert found.shape == (20_000, 3, 4)
    assert found.mean(axis=(0, 1)) == pytest.approx([0.5] * 4, abs=0.02)
    assert found.var(axis=(0, 1)) == pytest.approx([0.5] * 4, abs=0.03)
    assert np.corrcoef(found[:, 0].T) == pytest.approx(np.eye(4), abs=0.04)


def test_the_same_arm_has_the_same_and_another_arm_others():
    state = some_state()
    one = pseudo_counts(a_table(state), 50, 4)
    turned = pseudo_counts(a_table(state, list(range(30))[::-1]), 50, 4)
    assert (one.confusion == turned.confusion).all(), "the order of rows does not matter"
    other = pseudo_counts(a_table(some_state(1)), 50, 4)
    assert (one.confusion != other.confusion).any()
    # What a gold class gets is the labels' and so the same for all arms; only what is right of it differs.
    assert one.confusion[..., [0, 2]].sum(axis=-1) == pytest.approx(other.confusion[..., [0, 2]].sum(axis=-1))
    assert (one.confusion[:20] == pseudo_counts(a_table(state), 20, 4).confusion).all()


def test_a_lost_class_stays_lost():
    counts = np.array([[[3.0, 1, 2, 9], [0, 1, 0, 9], [3, 0, 2, 0]]])
    found = smoothed(counts, np.full((1, 3, 4), 0.5))
    assert found.tolist() == [[[3.5, 1.5, 2.5, 9.5], [0, 1, 0, 9], [3, 0, 2, 0]]]
