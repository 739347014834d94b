"""The shipped corpus keeps its own rules."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from importlib import resources
from itertools import combinations
from typing import Any

import pytest

from balin.data.checks import check_dataset, personal_data_in
from balin.data.corpus import FILE, read_corpus, read_second_labels
from balin.data.persian import normalise
from balin.data.transcripts import PARTS, Dataset
from balin.errors import DataError
from balin.signatures.features import FeatureSet


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    text = resources.files("balin.data.corpus").joinpath(FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def corpus(palliative: FeatureSet) -> Dataset:
    return read_corpus(palliative)


def test_every_line_is_read(corpus: Dataset, rows: list[dict[str, Any]], palliative: FeatureSet) -> None:
    assert len(corpus) == len(rows) == 300
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


def test_sizes_of_the_parts(corpus: Dataset) -> None:
    assert {part: len(corpus.part(part)) for part in PARTS} == {"pool": 80, "dev": 90, "test": 130}


def test_every_feature_has_positives_enough_to_be_scored(corpus: Dataset, palliative: FeatureSet) -> None:
    least = {"pool": 5, "dev": 8, "test": 8}
    for part, wanted in least.items():
        positives = {i: sum(t.labels[i] is True for t in corpus.part(part)) for i in palliative.ids}
        assert {i: n for i, n in positives.items() if n < wanted} == {}, part


def test_parts_have_the_same_shares(corpus: Dataset, palliative: FeatureSet) -> None:
    for identifier in palliative.ids:
        share = sum(t.labels[identifier] is True for t in corpus) / len(corpus)
        for part in PARTS:
            chosen = corpus.part(part)
            assert abs(sum(t.labels[identifier] is True for t in chosen) / len(chosen) - share) < 0.06, (
                identifier,
                part,
            )


def test_calls_without_any_feature_and_with_many(rows: list[dict[str, Any]], palliative: FeatureSet) -> None:
    counts = [sum(row[i] for i in palliative.ids) for row in rows]
    assert counts.count(0) >= 12
    assert max(counts) <= 8


def test_groups_call_up_to_four_times(rows: list[dict[str, Any]]) -> None:
    calls = Counter(row["group"] for row in rows)
    assert len(calls) >= 220
    assert set(calls.values()) == {1, 2, 3, 4}


def test_most_calls_are_hard_and_each_hard_phenomenon_occurs_often(rows: list[dict[str, Any]]) -> None:
    kinds = Counter(kind for row in rows for kind in row["phenomena"])
    assert len(kinds) == 13
    assert min(kinds.values()) >= 10
    assert sum(bool(row["phenomena"]) for row in rows) >= 150


@pytest.mark.parametrize("language", ["fa", "en"])
def test_second_readings_are_of_every_call_and_feature(language: str, corpus: Dataset, palliative: FeatureSet) -> None:
    second = read_second_labels(palliative, language)
    assert list(second) == [t.id for t in corpus]
    assert all(tuple(labels) == palliative.ids for labels in second.values())
    assert all(type(label) is bool for labels in second.values() for label in labels.values())


def test_a_second_reading_that_is_not_there(palliative: FeatureSet) -> None:
    with pytest.raises(DataError, match="no second reading of its 'de' texts"):
        read_second_labels(palliative, "de")


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
