from __future__ import annotations

import json
import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.persian import fingerprint
from balin.data.split import (
    FRACTIONS,
    Split,
    count_scorings,
    log_path,
    log_scoring,
    make_split,
    read_split,
    split_of,
    write_split,
)
from balin.data.transcripts import PARTS, Dataset, Transcript
from balin.errors import DataError, InputError
from balin.signatures.features import FeatureSet, load_feature_set

FEATURES = load_feature_set("palliative13")
LABELLED = FEATURES.ids[:4]


def data_of(rows: list[Transcript], labelled: tuple[str, ...] = LABELLED) -> Dataset:
    return Dataset("f.csv", "ab" * 32, FEATURES.id, tuple(rows), (), labelled)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    n = draw(st.integers(3, 60))
    rng = random.Random(draw(st.integers(0, 10**6)))
    groups = draw(st.sampled_from([None, 2, 10, 100]))
    texts = draw(st.sampled_from([4, 1000]))
    prevalence = [rng.random() for _ in LABELLED]
    return data_of(
        [
            Transcript(
                id=f"t{i}",
                text=f"متن {rng.randrange(texts)}" if texts < 100 else f"متن {i}",
                group=f"g{rng.randrange(groups)}" if groups and rng.random() < 0.9 else None,
                labels={
                    k: rng.random() < p if rng.random() < 0.9 else None
                    for k, p in zip(LABELLED, prevalence, strict=True)
                },
            )
            for i in range(n)
        ]
    )


def blocks(data: Dataset) -> list[list[str]]:
    """Ids that must stay together, found another way than the code does: by merging sets until nothing changes."""
    found = [({t.id}, {("text", fingerprint(t.text)), ("group", t.group or t.id)}) for t in data]
    merged = True
    while merged:
        merged = False
        for i in range(len(found)):
            for j in range(len(found) - 1, i, -1):
                if found[i][1] & found[j][1]:
                    found[i] = (found[i][0] | found[j][0], found[i][1] | found[j][1])
                    del found[j]
                    merged = True
    return [sorted(ids) for ids, _ in found]


@settings(max_examples=60, deadline=None)
@given(datasets(), st.integers(0, 5))
def test_parts_are_disjoint_cover_all_and_keep_groups_whole(data: Dataset, seed: int) -> None:
    units = blocks(data)
    if len(units) < 3:
        with pytest.raises(DataError, match="cannot make 3 parts"):
            make_split(data, FEATURES, seed=seed)
        return
    split = make_split(data, FEATURES, seed=seed)
    assert sorted(i for ids in split.parts.values() for i in ids) == sorted(t.id for t in data)
    assert all(split.parts[part] for part in PARTS)
    assert all(len({split.part_of[i] for i in unit}) == 1 for unit in units)
    largest = max(map(len, units))
    for part, fraction in FRACTIONS.items():
        assert abs(len(split.parts[part]) - fraction * len(data)) <= largest + 0.1 * len(data) + 2


@settings(max_examples=20, deadline=None)
@given(datasets(), st.integers(-5, 5), st.randoms(use_true_random=False))
def test_the_seed_alone_decides(data: Dataset, seed: int, rng: random.Random) -> None:
    if len(blocks(data)) < 3:
        return
    shuffled = list(data)
    rng.shuffle(shuffled)
    first, again, other = (make_split(d, FEATURES, seed=seed) for d in (data, data, data_of(shuffled)))
    assert first == again
    assert first.hash == again.hash
    assert first.part_of == other.part_of


def study(n: int, seed: int, repeat: float) -> Dataset:
    rng = random.Random(seed)
    prevalence = {i: rng.uniform(0.04, 0.5) for i in FEATURES.ids}
    rows: list[Transcript] = []
    for number in range(n):
        group = rng.choice(rows[-10:]).group if rows and rng.random() < repeat else f"g{number}"
        labels = {i: rng.random() < p for i, p in prevalence.items()}
        rows.append(Transcript(f"t{number}", f"متن {number}", group=group, labels=labels))
    return data_of(rows, FEATURES.ids)


@pytest.mark.parametrize("repeat", [0.0, 0.3])
def test_stratified_much_better_than_chance(repeat: float) -> None:
    data = study(300, 3, repeat)
    split = make_split(data, FEATURES, seed=0)
    for part, fraction in FRACTIONS.items():
        assert abs(len(split.parts[part]) - fraction * 300) <= 3
        for identifier in FEATURES.ids:
            total = sum(t.labels[identifier] is True for t in data)
            there = sum(data.by_id[i].labels[identifier] is True for i in split.parts[part])
            assert abs(there - fraction * total) <= 4


def test_three_positives_go_to_three_parts() -> None:
    rows = [Transcript(f"t{i}", f"متن {i}", labels={"fever": i in (1, 2, 3)}) for i in range(60)]
    for seed in range(5):
        split = make_split(data_of(rows, ("fever",)), FEATURES, seed=seed)
        assert {split.part_of[f"t{i}"] for i in (1, 2, 3)} == set(PARTS)


def test_seed_zero_is_a_seed_and_seeds_differ() -> None:
    data = study(60, 1, 0.2)
    splits = [make_split(data, FEATURES, seed=seed) for seed in range(4)]
    assert [s.seed for s in splits] == [0, 1, 2, 3]
    assert len({s.hash for s in splits}) == 4
    assert splits[0].part_of != splits[1].part_of


def test_unlabelled_data() -> None:
    rows = [Transcript(f"t{i}", f"متن {i}", group=f"g{i // 2}") for i in range(40)]
    split = make_split(data_of(rows, ()), FEATURES, seed=1)
    assert [len(split.parts[p]) for p in PARTS] == [10, 14, 16]


def test_fractions_and_sizes() -> None:
    data = data_of([Transcript(f"t{i}", f"متن {i}") for i in range(20)], ())
    two = make_split(data, FEATURES, seed=1, fractions={"dev": 0.5, "test": 0.5})
    assert [len(two.parts[p]) for p in PARTS] == [0, 10, 10]
    sized = make_split(data, FEATURES, seed=1, sizes={"pool": 3, "dev": 7, "test": 10})
    assert [len(sized.parts[p]) for p in PARTS] == [3, 7, 10]
    wrong = [
        {"fractions": {"pool": 0.5}},
        {"fractions": {"train": 1.0}},
        {"fractions": {"pool": -1.0, "dev": 2.0}},
        {"sizes": {"dev": 3}},
    ]
    wrong += [
        {"fractions": {"dev": float("nan")}},
        {"fractions": {}},
        {"fractions": dict(FRACTIONS), "sizes": {"dev": 20}},
    ]
    for options in wrong:
        with pytest.raises(DataError):
            make_split(data, FEATURES, seed=1, **options)
    with pytest.raises(DataError, match="no transcripts"):
        make_split(data_of([]), FEATURES, seed=1)


def test_split_file_round_trip(tmp_path: Path) -> None:
    data, path = study(60, 1, 0.2), tmp_path / "split.json"
    split = make_split(data, FEATURES, seed=0)
    write_split(split, path)
    assert read_split(path, data) == split
    assert read_split(path, data).hash == split.hash
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parted = data.with_parts(read_split(path, data).part_of)
    assert {p: tuple(t.id for t in parted.part(p)) for p in PARTS} == split.parts
    # The data may get a column or a row more, so that the file's hash changes; not lose an id.
    more = data_of([*data, Transcript("new", "متن تازه")])
    assert read_split(path, replace(more, sha256="cd" * 32)) == split
    with pytest.raises(DataError, match="1 of its 60 ids are not in"):
        read_split(path, data_of(list(data)[1:]))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"schema": 2}, "version 2 is unknown"),
        ({"kind": "run"}, "not a split file"),
        ({"parts": {"pool": ["t0"], "dev": ["t0"], "test": []}}, "'t0' is in pool and again in dev"),
        ({"parts": {"pool": ["t0", "t0"], "dev": [], "test": []}}, "'t0' is in pool and again in pool"),
        ({"parts": {"pool": ["t0"], "dev": []}}, "damaged"),
        ({"parts": {"pool": [0], "dev": [], "test": []}}, "damaged"),
        ({"seed": "1"}, "damaged"),
        ({"more": 1}, "damaged"),
        ({"fractions": None}, "damaged"),
    ],
)
def test_wrong_split_files(tmp_path: Path, change: dict[str, object], pattern: str) -> None:
    data, path = study(20, 1, 0), tmp_path / "split.json"
    path.write_text(json.dumps({**make_split(data, FEATURES, seed=0).to_dict(), **change}))
    with pytest.raises(DataError, match=pattern):
        read_split(path, data)


def test_no_split_file(tmp_path: Path) -> None:
    data = study(20, 1, 0)
    with pytest.raises(DataError, match="no such split file"):
        read_split(tmp_path / "none.json", data)
    for content in ("{", "[]", "\xff"):
        (tmp_path / "s.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(DataError, match="not a split file"):
            read_split(tmp_path / "s.json", data)
    with pytest.raises(InputError, match="cannot be written"):
        write_split(make_split(data, FEATURES, seed=0), tmp_path / "none" / "s.json")


def test_parts_of_the_file_itself() -> None:
    rows = [Transcript(str(i), "متن", part=p) for i, p in enumerate(["pool", "test", None, "test"])]
    split = split_of(data_of(rows))
    assert split == Split(
        None, {"pool": ("0",), "dev": (), "test": ("1", "3")}, "ab" * 32, {"pool": 0.25, "dev": 0.0, "test": 0.5}
    )
    with pytest.raises(DataError, match="no column 'part'"):
        split_of(data_of([Transcript("1", "متن")]))


def test_scorings_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    assert count_scorings(path) == 0
    log_scoring(path, part="test", program="study@3fa9", run="r1", n=24)
    log_scoring(path, part="all", program="study@3fa9", run="r2", n=60)
    assert count_scorings(path) == 2
    assert log_path(path).name == "split.json.log.jsonl"
    entries = [json.loads(line) for line in log_path(path).read_text().splitlines()]
    assert {k: entries[1][k] for k in ("part", "program", "run", "n")} == {
        "part": "all",
        "program": "study@3fa9",
        "run": "r2",
        "n": 60,
    }
    assert entries[0]["time"].endswith("+00:00")
    with log_path(path).open("ab") as file:
        file.write(b'{"part": "te')
    log_scoring(path, part="test", program="p", run="r3", n=1)
    assert count_scorings(path) == 4
    with pytest.raises(InputError):
        log_scoring(tmp_path / "none" / "s.json", part="test", program="p", run="r", n=1)


def test_any_feature_set(german: FeatureSet) -> None:
    rows = [Transcript(str(i), f"Text {i}", labels={"smell": i % 3 == 0}) for i in range(30)]
    split = make_split(Dataset("f", "0" * 64, german.id, tuple(rows), (), ("smell",)), german, seed=4)
    assert sum(len(ids) for ids in split.parts.values()) == 30
