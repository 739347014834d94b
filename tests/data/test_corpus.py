"""The shipped corpus keeps its own rules."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib import resources
from itertools import combinations
from typing import Any

import pytest

from balin.data.checks import check_dataset, personal_data_in
from balin.data.corpus import FILE, read_corpus
from balin.data.persian import normalise
from balin.data.transcripts import PARTS, Dataset
from balin.signatures.features import FeatureSet


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    text = resources.files("balin.data.corpus").joinpath(FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def corpus(palliative: FeatureSet) -> Dataset:
    return read_corpus(palliative)


def test_every_line_is_read(corpus: Dataset, rows: list[dict[str, Any]], palliative: FeatureSet) -> None:
    assert len(corpus) == len(rows) >= 60
    assert corpus.name == "corpus"
    assert corpus.labelled == palliative.ids
    assert [t.text for t in corpus] == [row["text"] for row in rows]


def test_columns_and_labels(rows: list[dict[str, Any]], palliative: FeatureSet) -> None:
    expected = {"id", "group", "part", "text", "text_en", "phenomena", "register", *palliative.ids}
    for row in rows:
        assert set(row) == expected, row["id"]
        assert all(type(row[i]) is bool for i in palliative.ids), row["id"]
        assert isinstance(row["group"], str), row["id"]
        assert row["group"].strip(), row["id"]
        assert isinstance(row["phenomena"], list), row["id"]
        assert row["text_en"].strip(), row["id"]
        assert isinstance(row["register"], str), row["id"]
        assert row["register"].strip(), row["id"]
        assert row["register"] != "synthetic_load"


def test_ids_and_texts_are_unique(rows: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({normalise(row["text"]) for row in rows}) == len(rows)


def test_lengths(rows: list[dict[str, Any]]) -> None:
    wrong = {row["id"]: words for row in rows if not 25 <= (words := len(row["text"].split())) <= 140}
    assert wrong == {}


def test_all_parts_occur_and_no_group_crosses_them(rows: list[dict[str, Any]]) -> None:
    assert {row["part"] for row in rows} == set(PARTS)
    parts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        parts[row["group"]].add(row["part"])
    assert {group: found for group, found in parts.items() if len(found) > 1} == {}


def test_the_pool_has_demos_of_every_feature(corpus: Dataset, palliative: FeatureSet) -> None:
    pool = corpus.part("pool")
    positives = {i: sum(t.labels[i] is True for t in pool) for i in palliative.ids}
    assert {i: n for i, n in positives.items() if n < 2} == {}


def test_every_feature_has_both_classes_in_dev(corpus: Dataset, palliative: FeatureSet) -> None:
    for identifier in palliative.ids:
        assert {t.labels[identifier] for t in corpus.part("dev")} == {True, False}, identifier


def grams(text: str) -> set[str]:
    plain = normalise(text)
    return {plain[i : i + 5] for i in range(len(plain) - 4)}


def test_no_near_duplicates_across_parts(rows: list[dict[str, Any]]) -> None:
    sets = [(row["id"], row["part"], grams(row["text"])) for row in rows]
    near = [
        (a, b) for (a, pa, ga), (b, pb, gb) in combinations(sets, 2) if pa != pb and len(ga & gb) > 0.6 * len(ga | gb)
    ]
    assert near == []


def test_no_personal_data(rows: list[dict[str, Any]]) -> None:
    found = {row["id"]: kinds for row in rows if (kinds := list(personal_data_in(f"{row['text']}\n{row['text_en']}")))}
    assert found == {}


def test_arabic_and_persian_letter_forms_occur(rows: list[dict[str, Any]]) -> None:
    whole = "".join(row["text"] for row in rows)
    for pair in ("يی", "كک"):
        assert all(letter in whole for letter in pair), pair
    assert any(digit in whole for digit in "۰۱۲۳۴۵۶۷۸۹")
    assert "\u200c" in whole


def test_the_report_finds_nothing_grave(corpus: Dataset, palliative: FeatureSet) -> None:
    report = check_dataset(corpus, palliative)
    assert report.duplicates == ()
    assert report.groups_across_parts == 0
    assert report.scripts["arabic"] > 0.9
    assert report.english == len(corpus)
    assert all(hint.count == 0 for hint in report.personal_data.values())
