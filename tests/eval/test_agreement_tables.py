"""Agreement of arms and people with the labels, as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

sys.path.append(str(Path(__file__).parent))
from invented_arms import SET, invented_run, invented_selection, invented_table  # type: ignore[import-not-found]

from balin.eval.agreement_tables import agreement_grid
from balin.eval.metrics import TRUE
from balin.eval.shown import select


def test_kappa_is_scikit_learns_and_the_last_row_is_the_mean():
    selection = invented_selection(2, 80, resamples=5)
    table = agreement_grid(selection)
    assert table.columns == ("Feature", "κ\nA", "AC1\nA", "κ\nB", "AC1\nB")
    arm = selection.arms[1].table
    kappas = [cohen_kappa_score(arm.gold[:, j] == 1, arm.state[:, j] == TRUE) for j in range(len(SET))]
    assert [float(row[3]) for row in table.rows[:-1]] == pytest.approx(kappas, abs=0.006)
    assert float(table.rows[-1][3]) == pytest.approx(np.mean(kappas), abs=0.006)


def test_a_second_persons_labels_stand_beside_the_arms():
    table = invented_table(30)
    selection = select([(invented_run(), table)], resamples=5)
    same: dict[str, dict[str, bool | None]] = {
        i: {f: bool(table.gold[r, j]) for j, f in enumerate(SET.ids)} for r, i in enumerate(table.ids[:20])
    }
    same["unknown"] = dict.fromkeys(SET.ids, True)
    same["c00000"][SET.ids[-1]] = None
    found = agreement_grid(selection, same)
    assert found.columns[1:3] == ("κ\n2nd labels", "AC1\n2nd labels")
    assert {row[2] for row in found.rows} == {"1.00"}, "AC1 of a reading with itself"
    assert any("20 of the 30 transcripts" in note for note in found.notes)
    assert agreement_grid(selection, {}).rows[0][1:3] == ("–", "–")
