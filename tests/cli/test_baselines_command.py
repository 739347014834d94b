"""`balin baselines`: runs, a table and a learning curve, without a model."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]


def test_both_baselines_are_scored_and_shown(balin, tmp_path: Path) -> None:
    calls = [*some_calls(15, part="pool"), *some_calls(6, begin=20, part="dev")]
    write_calls(tmp_path / "calls.csv", calls)
    called = balin("baselines", "--data", "calls.csv", "--draws", 2, "--json")
    assert called.code == 0, called.err
    majority, tfidf = called.document["runs"]
    assert (majority["kind"], tfidf["kind"]) == ("majority", "tfidf")
    assert majority["learning_curve"] == []
    assert [p["transcripts"] for p in tfidf["learning_curve"]] == [10, 15]
    assert balin("report", tfidf["run"]).code == 0
    assert balin("report", majority["run"], tfidf["run"], "--markdown").code == 0
    assert balin("errors", majority["run"], tfidf["run"]).code == 0


def test_one_kind_can_be_asked_for_and_data_without_a_pool_are_refused(balin, tmp_path: Path) -> None:
    write_calls(tmp_path / "calls.csv", some_calls(6))
    called = balin("baselines", "--data", "calls.csv", "--kind", "majority")
    assert called.code == 2
    assert "no pool to learn from" in called.err
    called = balin("baselines", "--data", "calls.csv", "--kind", "majority", "--split-seed", 1)
    assert called.code == 0, called.err
    assert "majority" in called.out
    assert "tfidf" not in called.out + called.err
