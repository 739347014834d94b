"""The shipped corpus: invented calls to a palliative-care centre in Persian, with English texts and 13 labels.

palliative13.jsonl   one transcript a line: id, group, part, text, text_en, the 13 features, phenomena, register
README.md            how it was made, its rules and its limits
"""

from __future__ import annotations

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
