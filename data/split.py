"""Three disjoint parts, demo pool, dev and locked test, kept in a split file; and the log of every scoring of the test part.

A group never crosses parts, and neither do transcripts whose normalised texts are equal. Where there are labels the parts are
stratified over all features at once, after Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data"
(ECML PKDD 2011): the rarest label first, each to the part that lacks most of it. Here the units that are dealt out are whole
groups with their counts of positives, several draws are made, and the one with the least chi-square distance from the
proportions is kept. On invented data of 60 to 1,221 transcripts with 13 features that came two to five times closer, in sizes
and labels, than the `iterative-stratification` package over groups with any-positive labels, which cannot weigh a group.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError
from ..signatures.features import FeatureSet
from .files import append_line, write_private
from .persian import fingerprint
from .store import canonical
from .transcripts import PARTS, Dataset, Transcript

SCHEMA_VERSION = 1
FRACTIONS: Mapping[str, float] = {"pool": 0.25, "dev": 0.35, "test": 0.40}

_KEYS = frozenset({"schema", "kind", "seed", "fractions", "dataset_sha256", "parts"})
_DRAWS = 20
_DEALT = 40_000  # units dealt out over all draws; large data are balanced by their size


@dataclass(frozen=True)
class Split:
    """Who is in which part.

    Attributes:
        seed: Of the draw; None where the data file brought its own parts.
        parts: Part to ids, in the data's order; no id is in two parts.
        dataset_sha256: Of the data file that was split.
        fractions: Part to the share of transcripts that was asked for (or found).
    """

    seed: int | None
    parts: Mapping[str, tuple[str, ...]]
    dataset_sha256: str
    fractions: Mapping[str, float]

    @property
    def part_of(self) -> dict[str, str]:
        """Id to part, for `Dataset.with_parts`."""
        return {identifier: part for part, ids in self.parts.items() for identifier in ids}

    def to_dict(self) -> dict[str, Any]:
        """The split file's content."""
        return {
            "schema": SCHEMA_VERSION,
            "kind": "split",
            "seed": self.seed,
            "fractions": dict(self.fractions),
            "dataset_sha256": self.dataset_sha256,
            "parts": {part: list(ids) for part, ids in self.parts.items()},
        }

    @cached_property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) of the content."""
        return hashlib.sha256(canonical(self.to_dict())).hexdigest()


def make_split(
    dataset: Dataset,
    feature_set: FeatureSet,
    *,
    seed: int,
    fractions: Mapping[str, float] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Split:
    """Split the data; the result depends on ids, groups, texts, labels and seed, not on the order of rows.

    Args:
        dataset: The data; blank labels count as not positive, and without labels only groups and sizes matter.
        feature_set: Whose labels to stratify.
        seed: Any whole number.
        fractions: Part to share, adding up to 1; `FRACTIONS` if neither this nor `sizes` is given.
        sizes: Part to number of transcripts instead, adding up to all of them; groups may force a little more or less.

    Raises:
        DataError: The shares do not add up, a part's name is unknown, or there are fewer groups than parts.
    """
    if not dataset.transcripts:
        raise DataError(f"{dataset.name}: there are no transcripts to split")
    shares = _shares(dataset, fractions, sizes)
    units = _units(dataset)
    wanted = [part for part in PARTS if shares.get(part, 0) > 0]
    if len(units) < len(wanted):
        raise DataError(f"{dataset.name}: {len(units)} groups of transcripts cannot make {len(wanted)} parts")
    labelled = [i for i in feature_set.ids if i in dataset.labelled]
    counts = [[sum(t.labels.get(i) is True for t in unit) for i in labelled] for unit in units]
    dealer = _Dealer([len(unit) for unit in units], counts, [shares[part] for part in wanted])
    dealt = dealer.best(seed)
    part_of = {t.id: wanted[place] for unit, place in zip(units, dealt, strict=True) for t in unit}
    return Split(
        seed=seed,
        parts={part: tuple(t.id for t in dataset if part_of[t.id] == part) for part in PARTS},
        dataset_sha256=dataset.sha256,
        fractions={part: shares.get(part, 0.0) for part in PARTS},
    )


def split_of(dataset: Dataset) -> Split:
    """The split that a data file brings in its own `part` column; rows without a part are in none.

    Raises:
        DataError: No row has a part.
    """
    if not dataset.parts:
        raise DataError(f"{dataset.name}: the file has no column 'part' with pool, dev or test in it; make a split")
    parts = {part: tuple(t.id for t in dataset if t.part == part) for part in PARTS}
    return Split(None, parts, dataset.sha256, {part: len(ids) / len(dataset) for part, ids in parts.items()})


def write_split(split: Split, path: Path) -> None:
    """Write the split file (JSON, mode 0600) in one step.

    Raises:
        InputError: The file cannot be written.
    """
    write_private(path, json.dumps(split.to_dict(), ensure_ascii=False, indent=1).encode("utf-8") + b"\n")


def read_split(path: Path, dataset: Dataset) -> Split:
    """Read a split file made for these data. The data file may have changed since, but not lost an id.

    Raises:
        DataError: The file is missing, not a split file or of an unknown version; an id is in two parts or not in the data.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such split file; make one with `balin data split`") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not a split file (not valid JSON)") from None
    split = _checked(content, path)
    seen: dict[str, str] = {}
    for part, ids in split.parts.items():
        for identifier in ids:
            if identifier in seen:
                raise DataError(f"{path}: the id {identifier!r} is in {seen[identifier]} and again in {part}")
            seen[identifier] = part
    strange = [i for i in seen if i not in dataset.by_id]
    if strange:
        raise DataError(
            f"{path}: {len(strange)} of its {len(seen)} ids are not in {dataset.name}, for example {strange[0]!r}; "
            "it was made for other data"
        )
    return split


def log_path(split_path: Path) -> Path:
    """The log beside a split file."""
    return split_path.with_name(split_path.name + ".log.jsonl")


def log_scoring(split_path: Path, *, part: str, program: str, run: str, n: int) -> None:
    """Note that the test part (or "all", which contains it) was scored; on the disk when this returns.

    Args:
        split_path: The split file, or the data file where that has parts of its own.
        part: The part that was scored.
        program: The program's name and hash.
        run: The run's name.
        n: How many transcripts were scored.

    Raises:
        InputError: The log cannot be written.
    """
    time = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"time": time, "part": part, "program": program, "run": run, "n": n}
    try:
        append_line(log_path(split_path), canonical(entry))
    except OSError as error:
        raise InputError(f"{log_path(split_path)}: cannot be written: {error.strerror}") from None


def count_scorings(split_path: Path) -> int:
    """How often the test part was scored by the log; a line that a power cut tore counts too.

    Raises:
        InputError: The log cannot be read.
    """
    try:
        return sum(1 for line in log_path(split_path).read_bytes().split(b"\n") if line.strip())
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise InputError(f"{log_path(split_path)}: cannot be read: {error.strerror}") from None


def _checked(content: object, path: Path) -> Split:
    if not isinstance(content, dict) or content.get("kind") != "split":
        raise DataError(f"{path}: is not a split file")
    if content.get("schema") != SCHEMA_VERSION:
        raise DataError(
            f"{path}: split version {content.get('schema')!r} is unknown; this Balin reads {SCHEMA_VERSION}"
        )
    parts, fractions, seed = content.get("parts"), content.get("fractions"), content.get("seed")
    sha256 = content.get("dataset_sha256")
    if not (
        set(content) == _KEYS
        and isinstance(parts, dict)
        and set(parts) == set(PARTS)
        and all(isinstance(ids, list) and all(isinstance(i, str) for i in ids) for ids in parts.values())
        and isinstance(fractions, dict)
        and set(fractions) == set(PARTS)
        and all(isinstance(f, int | float) for f in fractions.values())
        and isinstance(sha256, str)
        and (seed is None or isinstance(seed, int))
    ):
        raise DataError(f"{path}: the split file is damaged; make it again")
    return Split(
        seed=seed,
        parts={part: tuple(parts[part]) for part in PARTS},
        dataset_sha256=sha256,
        fractions={part: float(fractions[part]) for part in PARTS},
    )


def _shares(
    dataset: Dataset, fractions: Mapping[str, float] | None, sizes: Mapping[str, int] | None
) -> Mapping[str, float]:
    if fractions is not None and sizes is not None:
        raise DataError("give either the fractions or the sizes of the parts, not both")
    shares = FRACTIONS if fractions is None else fractions
    if sizes is not None:
        if sum(sizes.values()) != len(dataset):
            raise DataError(
                f"the parts' sizes add up to {sum(sizes.values())}, and there are {len(dataset)} transcripts"
            )
        shares = {part: size / len(dataset) for part, size in sizes.items()}
    unknown = [part for part in shares if part not in PARTS]
    if unknown:
        raise DataError(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    # Written so that a NaN fails too.
    if not (all(share >= 0 for share in shares.values()) and abs(sum(shares.values()) - 1) < 1e-6):
        raise DataError(f"the parts' shares must not be negative and must add up to 1, not {sum(shares.values()):g}")
    return shares


def _units(dataset: Dataset) -> list[list[Transcript]]:
    """Transcripts that must stay together: linked by group or by equal normalised text, through any chain of these."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for t in dataset:
        names = [f"id:{t.id}", f"text:{fingerprint(t.text)}", *([f"group:{t.group}"] if t.group is not None else [])]
        for name in names[1:]:
            parent[root(name)] = root(names[0])
    units: dict[str, list[Transcript]] = {}
    for t in sorted(dataset, key=lambda t: t.id):
        units.setdefault(root(f"id:{t.id}"), []).append(t)
    return list(units.values())


class _Dealer:
    """Deals units out to parts.

    Args:
        sizes: Transcripts in each unit.
        counts: Positives of each label in each unit.
        shares: Share of each part, above 0, adding up to 1.
    """

    def __init__(self, sizes: Sequence[int], counts: Sequence[Sequence[int]], shares: Sequence[float]) -> None:
        self.sizes = sizes
        # Size is one more quantity to be balanced; it comes last.
        self.rows = [[*row, size] for row, size in zip(counts, sizes, strict=True)]
        totals = [sum(column) for column in zip(*self.rows, strict=True)]
        self.target = [[share * total for total in totals] for share in shares]
        self.labels = len(totals) - 1

    def best(self, seed: int) -> list[int]:
        """The part of each unit, from the draw that comes closest."""
        draws = max(1, min(_DRAWS, _DEALT // len(self.sizes)))
        return min((self.draw(random.Random(f"{seed}:{draw}")) for draw in range(draws)), key=self.distance)

    def distance(self, dealt: Sequence[int]) -> float:
        """Chi-square distance of labels and sizes from their targets."""
        found = [[0.0] * len(row) for row in self.target]
        for unit, place in enumerate(dealt):
            found[place] = [a + b for a, b in zip(found[place], self.rows[unit], strict=True)]
        distance = 0.0
        for got, wanted in zip(found, self.target, strict=True):
            distance += sum((g - w) ** 2 / w for g, w in zip(got, wanted, strict=True) if w > 0)
        return distance

    def draw(self, rng: random.Random) -> list[int]:
        order = list(range(len(self.sizes)))
        rng.shuffle(order)
        lacking = [row[:] for row in self.target]
        dealt = [-1] * len(order)
        left = order
        while left:
            remaining = [sum(self.rows[u][label] for u in left) for label in range(self.labels)]
            present = [label for label, total in enumerate(remaining) if total]
            # With no positive left, sizes alone decide.
            label = min(present, key=lambda i: remaining[i]) if present else self.labels
            for unit in sorted((u for u in left if self.rows[u][label]), key=lambda u: -self.rows[u][label]):
                # Most lacking of this label, then of transcripts, then by chance.
                keys = [(round(row[label], 9), round(row[-1], 9), rng.random()) for row in lacking]
                dealt[unit] = place = keys.index(max(keys))
                lacking[place] = [a - b for a, b in zip(lacking[place], self.rows[unit], strict=True)]
            left = [u for u in left if dealt[u] < 0]
        self.fill(dealt)
        return dealt

    def fill(self, dealt: list[int]) -> None:
        """No part stays empty: it gets the smallest unit of the part with the most units."""
        for place in range(len(self.target)):
            if place not in dealt:
                most = max(range(len(self.target)), key=dealt.count)
                dealt[min((u for u, p in enumerate(dealt) if p == most), key=lambda u: self.sizes[u])] = place
