"""The generator of data of any size, for LOAD TESTS ONLY.

Its texts are lists of a feature set's own short labels between filler words: a program that finds the labels' words scores
perfectly, so no number measured on them says anything about quality. Every text begins with "[load test]" and every row has
the register "synthetic_load".
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..signatures.features import Feature, FeatureSet
from .files import replacing

MARK = "[load test]"
REGISTER = "synthetic_load"
WORDS = (25, 140)

_REPEAT = 0.25  # share of rows that belong to a group seen shortly before
_RECENT = 50


def generate(n: int, feature_set: FeatureSet, seed: int) -> Iterator[dict[str, Any]]:
    """`n` rows with the columns id, group, text, text_en (where the set is written in English), the features and register.

    The rows depend on the seed and their place alone: fewer rows are the beginning of more. A feature is true where its short
    label is in the text. Texts have 25 to 140 words (`WORDS`), in the source language where the set is written in it.
    """
    rng = random.Random(f"balin load test {seed}")
    prevalence = {f.id: rng.uniform(0.05, 0.5) for f in feature_set}
    languages = feature_set.languages
    source = feature_set.source_language if feature_set.source_language in languages else languages[0]
    recent: list[str] = []
    for number in range(1, n + 1):
        if recent and rng.random() < _REPEAT:
            group = rng.choice(recent)
        else:
            group = f"g{seed}-{number}"
            recent = [*recent, group][-_RECENT:]
        length = rng.randint(*WORDS)
        told = _told(feature_set, [f for f in feature_set if rng.random() < prevalence[f.id]], rng)
        row: dict[str, Any] = {"id": f"load-{seed}-{number:07d}", "group": group}
        row["text"] = _text(feature_set, source, told, length, rng)
        if "en" in languages:
            row["text_en"] = _text(feature_set, "en", told, length, rng)
        yield {**row, **{f.id: f in told for f in feature_set}, "register": REGISTER}


def write_synthetic(path: Path, n: int, feature_set: FeatureSet, seed: int) -> None:
    """Write `n` rows to a .jsonl or .csv file, in one step, without holding them in memory.

    Raises:
        DataError: The ending is another one, or `n` is below 1.
        InputError: The file cannot be written.
    """
    ending = path.suffix.casefold()
    if ending not in (".jsonl", ".csv"):
        raise DataError(f"{path}: load-test data are written as .jsonl or .csv")
    if n < 1:
        raise DataError(f"{path}: at least 1 row is needed, not {n}")
    rows = generate(n, feature_set, seed)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if ending == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        first = next(rows)
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)


def _told(feature_set: FeatureSet, wanted: list[Feature], rng: random.Random) -> list[Feature]:
    """As many of the wanted features, by chance, as have room in the longest text in every language."""
    rng.shuffle(wanted)
    room = dict.fromkeys(feature_set.languages, WORDS[1] - len(MARK.split()))
    told: list[Feature] = []
    for feature in wanted:
        sizes = {language: len(feature.short[language].split()) for language in room}
        if all(sizes[language] <= left for language, left in room.items()):
            told.append(feature)
            room = {language: left - sizes[language] for language, left in room.items()}
    return told


def _text(feature_set: FeatureSet, language: str, told: list[Feature], length: int, rng: random.Random) -> str:
    """The short labels of the told features between filler words, `length` words in all if the labels leave room."""
    filler = f"{feature_set.subject[language]} {feature_set.rules.get(language, '')}".split()
    phrases = [feature.short[language] for feature in told]
    words = len(MARK.split()) + sum(len(phrase.split()) for phrase in phrases)
    phrases += [rng.choice(filler) for _ in range(length - words)]
    rng.shuffle(phrases)
    return " ".join([MARK, *phrases])
