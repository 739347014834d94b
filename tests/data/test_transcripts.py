from __future__ import annotations

import hashlib
import pickle

import pytest

from balin.data.transcripts import Dataset, Transcript, text_hash
from balin.errors import DataError


def dataset() -> Dataset:
    rows = [
        Transcript(str(i), f"secret {i}", english="hidden", part=p) for i, p in enumerate(["pool", "dev", "dev", None])
    ]
    return Dataset("f.csv", "0" * 64, "s", tuple(rows))


def test_text_hash() -> None:
    assert text_hash("تب") == hashlib.sha256("تب".encode()).hexdigest()
    assert text_hash("\ud800") != text_hash("\ud801")


def test_no_text_in_any_repr() -> None:
    whole = repr(dataset()) + repr(dataset().transcripts)
    assert "secret" not in whole
    assert "hidden" not in whole


def test_parts() -> None:
    data = dataset()
    assert data.parts == ("pool", "dev")
    assert [t.id for t in data.part("dev")] == ["1", "2"]
    assert data.part("all") is data
    assert data.part("dev").sha256 == data.sha256
    with pytest.raises(DataError, match="it has pool, dev"):
        data.part("test")
    with pytest.raises(DataError, match="there is no part 'train'"):
        data.part("train")


def test_with_parts_replaces_all_parts() -> None:
    data = dataset().with_parts({"3": "test", "0": "dev"})
    assert [t.part for t in data] == ["dev", None, None, "test"]
    with pytest.raises(DataError, match="'9'"):
        data.with_parts({"9": "dev"})
    with pytest.raises(DataError, match="'train'"):
        data.with_parts({"1": "train"})


def test_by_id_and_pickling() -> None:
    data = pickle.loads(pickle.dumps(dataset()))
    assert data.by_id["2"].text == "secret 2"
    assert len(data) == len(list(data)) == 4
