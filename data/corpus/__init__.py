"""The shipped corpus: invented calls to a palliative-care centre in Persian, with English texts and 13 labels.

palliative13.jsonl       one transcript a line: id, group, part, text, text_en, the 13 features, phenomena, register
second_labels_fa.jsonl   a second, blind reading of all texts: id and the 13 features
second_labels_en.jsonl   another one, of the English translations alone
README.md                how it was made, its rules and its limits
"""

from __future__ import annotations

import json
from importlib import resources

from ...errors import DataError
from ...signatures.features import FeatureSet
from ..readers import read_bytes
from ..transcripts import Dataset

NAME = "corpus"
FILE = "palliative13.jsonl"


def read_corpus(feature_set: FeatureSet) -> Dataset:
    """The shipped corpus, named "corpus"; `labelled` has those of the feature set's features that it is labelled for.

    Raises:
        DataError: The installation is damaged: the file is missing, or a row of it cannot be used.
    """
    try:
        data = resources.files(__package__).joinpath(FILE).read_bytes()
    except FileNotFoundError:
        raise DataError(f"the shipped corpus ({FILE}) is missing; install Balin again") from None
    dataset = read_bytes(data, ".jsonl", NAME, feature_set)
    if dataset.rejects:
        first = dataset.rejects[0]
        raise DataError(
            f"the shipped corpus ({FILE}) is damaged at line {first.row}: {first.reason}; install Balin again"
        )
    return dataset


def read_second_labels(feature_set: FeatureSet, language: str) -> dict[str, dict[str, bool]]:
    """The labels of a second, blind reading of the shipped corpus: id to label by feature.

    Args:
        feature_set: A feature that was not read is absent from the result.
        language: Which texts were read: "fa", the calls themselves, or "en", their reference translations.

    Raises:
        DataError: There is no such reading, or the installation is damaged.
    """
    try:
        lines = resources.files(__package__).joinpath(f"second_labels_{language}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in lines.splitlines()]
    except (FileNotFoundError, ValueError):
        raise DataError(
            f"the shipped corpus has no second reading of its {language!r} texts; install Balin again"
        ) from None
    return {row["id"]: {i: row[i] for i in feature_set.ids if i in row} for row in rows}
