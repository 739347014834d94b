"""The recorded store: whole, of the shipped corpus, and what the recorded table was computed from."""

from __future__ import annotations

import pandas as pd
import pytest

from balin.data.corpus import read_corpus
from balin.eval.metrics import over_features, rates, tally, under
from balin.eval.recorded import recorded_predictions, recorded_results
from balin.eval.runs import answer_table
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return recorded_predictions()


def test_every_arm_answers_dev_and_all_of_the_pool_but_what_the_demos_leak_into(answers: pd.DataFrame) -> None:
    corpus = read_corpus(SET)
    pool = {t.id for t in corpus.part("pool")}
    for _, rows in answers.groupby("arm", observed=True):
        parts = {part: set(rows[rows["part"] == part]["id"]) for part in ("dev", "pool")}
        assert parts["dev"] == {t.id for t in corpus.part("dev")}
        assert parts["pool"] < pool
        assert len(pool - parts["pool"]) < 8
        assert len(rows) == len(SET) * sum(map(len, parts.values()))
        assert set(rows["part"]) == {"dev", "pool"}, "the test part stays locked"


def test_its_labels_are_the_corpuss(answers: pd.DataFrame) -> None:
    labels = {(t.id, name): value for t in read_corpus(SET) for name, value in t.labels.items()}
    for row in answers.itertuples():
        assert row.gold == labels[row.id, row.feature]


def test_the_recorded_table_follows_from_it(answers: pd.DataFrame) -> None:
    shown = {arm["name"]: arm["scores"]["mcc"]["mean"] for arm in recorded_results()["arms"]}
    assert set(shown) == set(answers["arm"])
    for name, mean in shown.items():
        table = answer_table(answers[(answers["arm"] == name) & (answers["part"] == "dev")])
        assert over_features(rates(under("false", tally(table)))["mcc"])[0] == pytest.approx(mean)
