"""Baselines: what they learn, what they leave, and that nothing of what is scored is learnt from."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.split import count_scorings
from balin.data.transcripts import Dataset, Transcript
from balin.errors import InputError
from balin.eval.baseline_runs import run_baseline
from balin.eval.baselines import KINDS, Majority, train
from balin.eval.comparison import read_comparison
from balin.eval.learning_curve import curve_grid, curve_sizes, learning_curve
from balin.eval.runs import read_predictions, read_run
from balin.eval.shown import read_selection
from balin.signatures.answers import MISSING, Answer

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import job, some_calls, write_calls  # type: ignore[import-not-found]
from scripted import WordEmbedder, take_embedder  # type: ignore[import-not-found]


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted: the real one is slow on a busy machine, and has tests of its own."""
    take_embedder(monkeypatch, WordEmbedder())


IDS = ("pain", "fever")


def call(name: str, text: str, *labels: bool | None, group: str | None = None) -> Transcript:
    return Transcript(name, text, group=group, labels=dict(zip(IDS, labels, strict=True)))


@settings(max_examples=50)
@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=9))
def test_the_majority_is_that_of_the_labels(labels: list[bool | None]) -> None:
    (answer,) = Majority([call(str(i), "text", label, None) for i, label in enumerate(labels)], IDS).answer(["new"])
    known = [label for label in labels if label is not None]
    share = known.count(True) / len(known) if known else None
    assert answer["pain"] == (MISSING if share is None else Answer.of(share > 0.5, share))
    assert answer["fever"] == MISSING


def test_characters_are_learnt_and_a_feature_of_one_class_or_none_is_constant() -> None:
    calls = [call(f"a{i}", f"her leg aches, day {i}", True, False) for i in range(6)]
    calls += [call(f"b{i}", f"slept and ate, day {i}", False, False) for i in range(6)]
    baseline = train("tfidf", calls, (*IDS, "smell"))
    aches, slept = baseline.answer(["the LEG aches again", "she slept and ate"])
    assert (aches["pain"].value, slept["pain"].value) == (True, False)
    assert aches["pain"].p_true is not None
    assert slept["pain"].p_true is not None
    assert aches["pain"].p_true > 0.5 > slept["pain"].p_true
    assert aches["fever"] == slept["fever"] == Answer.of(False, 0.0)
    assert aches["smell"] == MISSING


def test_embeddings_are_learnt_and_what_all_texts_share_does_not_count() -> None:
    calls = [call(f"a{i}", f"the call of day {i} was about her leg aches", True, False) for i in range(6)]
    calls += [call(f"b{i}", f"the call of day {i} was about sleep", False, False) for i in range(6)]
    baseline = train("embeddings", calls, (*IDS, "smell"), WordEmbedder())
    aches, slept = baseline.answer(["the call was about leg aches", "the call was about sleep"])
    assert aches["pain"].p_true > 0.5 > slept["pain"].p_true
    assert (aches["pain"].value, slept["pain"].value) == (True, False)
    assert aches["fever"] == Answer.of(False, 0.0)
    assert aches["smell"] == MISSING
    with pytest.raises(InputError, match="needs an embedder"):
        train("embeddings", calls, IDS)


def test_one_call_is_enough_to_train_on() -> None:
    assert train("tfidf", [call("a", "x", True, False)], IDS).answer(["y"]) == [
        {"pain": Answer.of(True, 1.0), "fever": Answer.of(False, 0.0)}
    ]


def test_an_unknown_kind_and_nothing_to_learn_from_are_refused() -> None:
    with pytest.raises(InputError, match="there is no baseline 'oracle'; there are: majority, tfidf"):
        train("oracle", [call("a", "x", True, False)], IDS)
    with pytest.raises(InputError, match="no transcripts to learn from"):
        train("tfidf", [], IDS)


@given(st.integers(1, 5000))
def test_sizes_double_up_to_all(available: int) -> None:
    sizes = curve_sizes(available)
    assert sizes[-1] == available
    assert sizes == sorted(set(sizes))
    assert all(size == 10 * 2**i for i, size in enumerate(sizes[:-1]))


def test_the_curve_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    pool = [
        call(f"a{i}", f"{'aches' if i % 3 else 'slept'} {i}", i % 3 > 0, i % 2 > 0, group=f"p{i // 2}")
        for i in range(24)
    ]
    scored = [call("s1", "aches", True, False), call("s2", "slept", False, True)]
    first = learning_curve("tfidf", pool, scored, IDS, draws=3, seed=1)
    assert first == learning_curve("tfidf", pool[::-1], scored, IDS, draws=3, seed=1)
    assert [(p.transcripts, p.draws) for p in first] == [(10, 3), (20, 3), (24, 1)]
    assert [row[0] for row in curve_grid("tfidf", first).rows] == ["10", "20", "24"]
    one_class = [replace(t, labels={"pain": True, "fever": True}) for t in scored]
    undefined = learning_curve("tfidf", pool, one_class, IDS, draws=1, seed=1)
    assert undefined[0].scores["mcc"] == (None,)
    assert curve_grid("tfidf", undefined).rows[0][2:] == ("–", "–", "–", "–")
    json.dumps([p.to_dict() for p in undefined], allow_nan=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve calls in the pool, six in dev, six in test; a call of the pool is of a patient of dev."""
    pool = some_calls(12, part="pool")
    pool[0] = replace(pool[0], group="shared")
    dev = some_calls(6, begin=20, part="dev")
    dev[0] = replace(dev[0], group="shared")
    return write_calls(tmp_path / "calls.csv", [*pool, *dev, *some_calls(6, begin=40, part="test")])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_left_that_is_read_like_any_other(tmp_path: Path, data: Path, kind: str) -> None:
    outcome = run_baseline(kind, job(tmp_path, data), draws=2)
    files = {f.name for f in outcome.folder.iterdir()}
    usual = {"run.json", "predictions.parquet", "transcripts.parquet", "metrics.json", "report.md"}
    assert files == usual | ({"learning_curve.json"} if kind != "majority" else set())
    run = read_run(outcome.folder)
    assert run.get("embedder") == (WordEmbedder.identity.to_dict() if kind == "embeddings" else None)
    assert (run["data"]["part"], run["data"]["n"], run["trained_on"]["n"]) == ("dev", 6, 11)
    table = read_predictions(outcome.folder)
    assert table.ids == tuple(f"c{i}" for i in range(20, 26))
    assert read_selection([outcome.folder], resamples=0).arms[0].name == f"{kind}, direct"
    frame = pd.read_parquet(outcome.folder / "transcripts.parquet")
    assert set(frame["generated_tokens"]) == {0}
    assert run_baseline(kind, job(tmp_path, data), draws=2).folder == outcome.folder


def test_baselines_are_compared_with_each_other_like_models(tmp_path: Path, data: Path) -> None:
    folders = [run_baseline(kind, job(tmp_path, data), draws=1).folder for kind in KINDS]
    comparison = read_comparison(folders, resamples=20)
    assert [arm.name for arm in comparison.arms] == ["majority, direct", "tfidf, direct", "embeddings, direct"]
    # The words of these invented calls name their features, so characters and words must find them.
    majority, *learnt = [arm.scores.summary()["mcc"]["mean"] for arm in comparison.arms]
    assert min(learnt) > majority


def test_scoring_the_test_part_is_logged(tmp_path: Path, data: Path) -> None:
    outcome = run_baseline("majority", job(tmp_path, data, part="test"))
    assert outcome.run["data"]["test_scored"] == 1
    assert count_scorings(Path(outcome.run["data"]["split"])) == 1


def test_data_without_a_pool_or_with_nothing_apart_from_the_part_are_refused(tmp_path: Path, data: Path) -> None:
    whole = write_calls(tmp_path / "whole.csv", some_calls(6))
    with pytest.raises(InputError, match="no pool to learn from"):
        run_baseline("majority", job(tmp_path, whole))
    shared = write_calls(
        tmp_path / "shared.csv",
        [*some_calls(4, part="pool", group="p"), *some_calls(2, begin=9, part="dev", group="p")],
    )
    with pytest.raises(InputError, match="nothing is left to learn from"):
        run_baseline("majority", job(tmp_path, shared))


def test_the_figures_on_the_corpus_are_those_of_its_data_card(tmp_path: Path, corpus: Dataset) -> None:
    outcome = run_baseline("tfidf", job(tmp_path, corpus), draws=1)
    card = (Path(__file__).parents[2] / "data" / "corpus" / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in card.splitlines() if line.startswith("| TF-IDF and logistic regression, Persian")]
    f1, mcc = (outcome.scores.summary()[m]["mean"] for m in ("macro_f1", "mcc"))
    assert row.split("|")[-3:-1] == [f" {f1:.3f} ", f" {mcc:.3f} "]
    assert [p.transcripts for p in outcome.curve] == [10, 20, 40, 80]
