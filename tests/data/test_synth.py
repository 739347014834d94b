from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from balin.data.checks import check_dataset
from balin.data.readers import read_dataset
from balin.data.synth import MARK, REGISTER, generate, write_synthetic
from balin.errors import DataError, InputError
from balin.signatures.features import FeatureSet, load_feature_set


def test_rows_say_what_they_are_and_labels_fit_the_text(palliative: FeatureSet) -> None:
    rows = list(generate(300, palliative, 5))
    assert len({row["id"] for row in rows}) == 300
    for row in rows:
        assert row["register"] == REGISTER
        for column, language in (("text", "fa"), ("text_en", "en")):
            assert row[column].startswith(MARK)
            assert 25 <= len(row[column].split()) <= 140
            for feature in palliative:
                if row[feature.id]:
                    assert feature.short[language] in row[column]
    for feature in palliative:
        assert 0 < sum(row[feature.id] for row in rows) < 300
    groups = Counter(row["group"] for row in rows)
    assert len(groups) < 300
    assert max(groups.values()) > 1


def test_negatives_are_not_told(palliative: FeatureSet) -> None:
    for row in generate(100, palliative, 1):
        for identifier, phrase in (
            ("seizures", "تشنج"),
            ("loss_of_appetite", "بی‌اشتهایی"),
            ("sleep_disorders", "اختلال خواب"),
        ):
            assert (phrase in row["text"]) == row[identifier]


def test_seeded_and_fewer_rows_are_the_beginning_of_more(palliative: FeatureSet) -> None:
    assert list(generate(20, palliative, 0)) == list(islice(generate(10**9, palliative, 0), 20))
    assert list(generate(20, palliative, 0)) != list(generate(20, palliative, 1))


def test_any_feature_set(german: FeatureSet, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "g.csv", 50, german, 2)
    data = read_dataset(tmp_path / "g.csv", german)
    assert len(data) == 50
    assert data.labelled == german.ids
    assert all(t.english is None for t in data)


def test_many_long_labels_stay_within_the_limit(tmp_path: Path) -> None:
    features = "\n".join(
        f"  - {{id: f{i}, label: {{en: 'a very long label of a feature {i}', fa: 'ویژگی {i}'}}, definition: {{en: d, fa: d}}}}"
        for i in range(90)
    )
    path = tmp_path / "long.yaml"
    path.write_text(
        f"schema: 1\nid: long\nsource_language: ar\nsubject: {{en: a call, fa: تماس}}\nfeatures:\n{features}\n",
        encoding="utf-8",
    )
    long = load_feature_set(path)
    for row in generate(50, long, 3):
        assert max(len(row["text"].split()), len(row["text_en"].split())) <= 140
        assert all((f"a very long label of a feature {i} " in row["text"] + " ") == row[f"f{i}"] for i in range(90))


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_files_read_back(palliative: FeatureSet, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"load{ending}"
    write_synthetic(path, 40, palliative, 9)
    data = read_dataset(path, palliative)
    assert [t.id for t in data] == [row["id"] for row in generate(40, palliative, 9)]
    assert data.rejects == ()
    assert {t.extra["register"] for t in data} == {REGISTER}
    assert check_dataset(data, palliative).duplicates == ()


def test_wrong_use(palliative: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="are written as"):
        write_synthetic(tmp_path / "a.xlsx", 1, palliative, 1)
    with pytest.raises(DataError, match="at least 1"):
        write_synthetic(tmp_path / "a.csv", 0, palliative, 1)
    with pytest.raises(InputError):
        write_synthetic(tmp_path / "none" / "a.csv", 1, palliative, 1)
    assert list(tmp_path.iterdir()) == []
