"""The data that runs read, read again: by the name that `run.json` holds, and only if it is the same file still."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ..data.corpus import FILE, NAME, read_corpus
from ..data.readers import read_dataset
from ..data.transcripts import Dataset
from ..errors import InputError, RunError
from ..signatures.features import FeatureSet
from .shown import Run


def data_bytes(name: str) -> tuple[bytes, str]:
    """The bytes of a data file ("corpus" is the shipped one) and its ending, in lower case, with its dot.

    Raises:
        InputError: It cannot be read.
    """
    if name == NAME:
        return resources.files("balin.data.corpus").joinpath(FILE).read_bytes(), Path(FILE).suffix
    try:
        return Path(name).read_bytes(), Path(name).suffix.casefold()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


def read_data_file(name: str, feature_set: FeatureSet) -> Dataset:
    """A data file by its name; "corpus" is the shipped one.

    Raises:
        DataError: It is missing or cannot be used.
    """
    return read_corpus(feature_set) if name == NAME else read_dataset(name, feature_set)


def read_run_data(runs: Sequence[Run], feature_set: FeatureSet, *, data: str | None = None) -> Dataset:
    """The data file that all these runs read.

    Args:
        runs: What `run.json` holds, of each; at least one.
        feature_set: Says which columns hold what.
        data: Where the file is now, if not where the runs found it.

    Raises:
        RunError: A run does not name its data, or the runs read different files.
        InputError: The file is another one now, or the feature set is not the runs'.
        DataError: The file is missing or cannot be used.
    """
    named = [(run.get("name"), run.get("data") or {}, (run.get("feature_set") or {}).get("id")) for run in runs]
    first, described, _ = named[0]
    for run, item, asked in named:
        if not item.get("sha256") or not item.get("name"):
            raise RunError(f"run {run}: its run.json does not name its data; evaluate again")
        if item["sha256"] != described["sha256"]:
            raise RunError(f"runs {first} and {run} read different data files; look at their errors one by one")
        if asked != feature_set.id:
            raise InputError(
                f"run {run} was asked the feature set {asked}, and this is {feature_set.id}; use --features"
            )
    place = data or str(described["name"])
    dataset = read_data_file(place, feature_set)
    if dataset.sha256 != described["sha256"]:
        raise InputError(
            f"{place}: is not the file that run {first} read: its sha256 begins with {dataset.sha256[:12]}, the run's with "
            f"{described['sha256'][:12]}; give the file as it was (--data FILE), or evaluate again on this one"
        )
    return dataset
