"""The report on a data file: what is there, what is missing, and what will spoil a result.

Everything is counted from the rows; no text of a transcript is in the report.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from ..signatures.features import FeatureSet
from .persian import fingerprint, normalise
from .transcripts import Dataset, Transcript

FEW = 10  # with 10 positives, Wilson's 95 % interval of a sensitivity of 0.8 is 0.49 to 0.94

_ARABIC_SCRIPT = re.compile(r"[\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff\ufb50-\ufdff\ufe70-\ufefc]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_ARABIC_SCRIPT_LANGUAGES = frozenset({"ar", "ckb", "fa", "ps", "ur"})

# All on normalised text, so digits are ASCII.
_MOBILE = re.compile(r"(?<!\d)(?:(?:\+|00)98[ -]?|0)9\d{2}[ -]?\d{3}[ -]?\d{2}[ -]?\d{2}(?!\d)")
_NATIONAL_ID = re.compile(r"(?<!\d)(\d{3})-?(\d{6})-?(\d)(?!\d)")
_CARD = re.compile(r"(?<!\d)\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?!\d)")


@dataclass(frozen=True, slots=True)
class LabelCount:
    """The labels of one feature.

    Attributes:
        positives: Rows labelled true.
        negatives: Rows labelled false.
        blank: Rows without a label.
        prevalence: Positives among the labelled, in [0, 1]; None where none is labelled.
    """

    positives: int
    negatives: int
    blank: int
    prevalence: float | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Rows whose normalised texts are equal.

    Attributes:
        rows: Their places in the file.
        ids: Their ids.
        across_groups: They belong to different groups (a row without a group is one of its own).
        across_parts: They are in different parts: a leak.
    """

    rows: tuple[int, ...]
    ids: tuple[str, ...]
    across_groups: bool
    across_parts: bool


@dataclass(frozen=True, slots=True)
class Hint:
    """Something that looks like personal data: how often, and in which rows (of text or English)."""

    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PartCount:
    """One part: its transcripts, and the positives of each labelled feature in it."""

    n: int
    positives: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DataReport:
    """What `check_dataset` found.

    Attributes:
        name: The data's name.
        sha256: Of the file.
        feature_set_id: The feature set it was read for.
        rows: All rows with anything in them.
        usable: Rows that became transcripts.
        rejects: Kind of reject to count.
        labels: Labelled feature to its counts, in the feature set's order.
        unlabelled: Features that have no column.
        groups: Number of different groups named.
        repeating_groups: Those with more than one transcript.
        ungrouped: Transcripts without a group.
        groups_across_parts: Groups with transcripts in more than one part: a leak.
        duplicates: Sets of rows with equal normalised texts.
        words: Length of the texts in words: "min", "median" and "max"; empty where there is no transcript.
        scripts: Share of letters of the Arabic script, of Latin and of others, in [0, 1]; empty without letters.
        english: Transcripts with an English text.
        parts: Part to its counts; transcripts without a part are not in it.
        personal_data: "mobile_number", "national_id" and "card_number" to what was found.
        warnings: Plain sentences, the gravest first.
    """

    name: str
    sha256: str
    feature_set_id: str
    rows: int
    usable: int
    rejects: Mapping[str, int]
    labels: Mapping[str, LabelCount]
    unlabelled: tuple[str, ...]
    groups: int
    repeating_groups: int
    ungrouped: int
    groups_across_parts: int
    duplicates: tuple[Duplicate, ...]
    words: Mapping[str, float]
    scripts: Mapping[str, float]
    english: int
    parts: Mapping[str, PartCount]
    personal_data: Mapping[str, Hint]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def check_dataset(dataset: Dataset, feature_set: FeatureSet) -> DataReport:
    """Count everything and say what is worth a warning.

    Args:
        dataset: The data, with parts where there are any.
        feature_set: The features they were read for.
    """
    groups = Counter(t.group for t in dataset if t.group is not None)
    parts_of_group: dict[str, set[str]] = defaultdict(set)
    for t in dataset:
        if t.group is not None and t.part is not None:
            parts_of_group[t.group].add(t.part)
    report = DataReport(
        name=dataset.name,
        sha256=dataset.sha256,
        feature_set_id=feature_set.id,
        rows=len(dataset) + len(dataset.rejects),
        usable=len(dataset),
        rejects=dict(Counter(r.kind for r in dataset.rejects).most_common()),
        labels={i: _labels(dataset, i) for i in feature_set.ids if i in dataset.labelled},
        unlabelled=tuple(i for i in feature_set.ids if i not in dataset.labelled),
        groups=len(groups),
        repeating_groups=sum(count > 1 for count in groups.values()),
        ungrouped=sum(t.group is None for t in dataset),
        groups_across_parts=sum(len(parts) > 1 for parts in parts_of_group.values()),
        duplicates=_duplicates(dataset),
        words=_words(dataset),
        scripts=_scripts(dataset),
        english=sum(t.english is not None for t in dataset),
        parts={part: _part(dataset.part(part)) for part in dataset.parts},
        personal_data=_personal_data(dataset),
        warnings=(),
    )
    return replace(report, warnings=tuple(_warnings(report, feature_set)))


def _labels(dataset: Dataset, identifier: str) -> LabelCount:
    counts = Counter(t.labels.get(identifier) for t in dataset)
    labelled = counts[True] + counts[False]
    return LabelCount(counts[True], counts[False], counts[None], counts[True] / labelled if labelled else None)


def _part(dataset: Dataset) -> PartCount:
    return PartCount(len(dataset), {i: sum(t.labels.get(i) is True for t in dataset) for i in dataset.labelled})


def _duplicates(dataset: Dataset) -> tuple[Duplicate, ...]:
    same: dict[str, list[Transcript]] = defaultdict(list)
    for t in dataset:
        same[fingerprint(t.text)].append(t)
    return tuple(
        Duplicate(
            rows=tuple(t.row for t in found),
            ids=tuple(t.id for t in found),
            across_groups=len({t.group if t.group is not None else ("alone", t.id) for t in found}) > 1,
            across_parts=len({t.part for t in found if t.part is not None}) > 1,
        )
        for found in same.values()
        if len(found) > 1
    )


def _words(dataset: Dataset) -> dict[str, float]:
    lengths = [len(t.text.split()) for t in dataset]
    return {"min": min(lengths), "median": float(median(lengths)), "max": max(lengths)} if lengths else {}


def _scripts(dataset: Dataset) -> dict[str, float]:
    arabic = latin = letters = 0
    for t in dataset:
        arabic += len(_ARABIC_SCRIPT.findall(t.text))
        latin += len(_LATIN.findall(t.text))
        letters += sum(map(str.isalpha, t.text))
    if not letters:
        return {}
    return {"arabic": arabic / letters, "latin": latin / letters, "other": max(0, letters - arabic - latin) / letters}


def personal_data_in(text: str) -> Iterator[str]:
    """The kind ("mobile_number", "national_id" or "card_number") of each match in a text.

    Patterns of Iranian numbers; national ids and cards only with a right check digit. It finds hints, not all personal data.
    """
    plain = normalise(text)
    yield from ("mobile_number" for _ in _MOBILE.finditer(plain))
    for match in _NATIONAL_ID.finditer(plain):
        if _national_id_checks("".join(match.groups())):
            yield "national_id"
    for match in _CARD.finditer(plain):
        if _luhn_checks(re.sub(r"\D", "", match.group())):
            yield "card_number"


def _national_id_checks(digits: str) -> bool:
    """The check digit: the sum of digit times place (10 to 2), modulo 11; above 1 it is taken from 11."""
    if len(set(digits)) == 1:
        return False
    rest = sum(int(d) * (10 - i) for i, d in enumerate(digits[:9])) % 11
    return int(digits[9]) == (rest if rest < 2 else 11 - rest)


def _luhn_checks(digits: str) -> bool:
    """Luhn's sum, ISO/IEC 7812-1."""
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(digits)]
    return len(set(digits)) > 1 and sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _personal_data(dataset: Dataset) -> dict[str, Hint]:
    counts: Counter[str] = Counter()
    rows: dict[str, dict[int, None]] = {kind: {} for kind in ("mobile_number", "national_id", "card_number")}
    for t in dataset:
        for text in (t.text, t.english or ""):
            for kind in personal_data_in(text):
                counts[kind] += 1
                rows[kind][t.row] = None
    return {kind: Hint(counts[kind], tuple(places)) for kind, places in rows.items()}


def _warnings(report: DataReport, feature_set: FeatureSet) -> Iterator[str]:
    yield from _leak_warnings(report)
    rejected = report.rows - report.usable
    if rejected:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.rejects.items())
        yield f"{_n(rejected, 'row')} of {report.rows} cannot be used ({kinds})."
    yield from _label_warnings(report)
    for part, counts in report.parts.items():
        lacking = [i for i, positives in counts.positives.items() if positives == 0]
        if lacking:
            yield f"The part {part} has no positive of {', '.join(lacking)}."
    without = report.usable - sum(counts.n for counts in report.parts.values())
    if report.parts and without:
        yield f"{_n(without, 'transcript')} {_is(without)} in no part."
    if 0 < report.english < report.usable:
        yield f"{report.usable - report.english} of {report.usable} transcripts have no English text."
    expected = "arabic" if feature_set.source_language in _ARABIC_SCRIPT_LANGUAGES else None
    if expected and report.scripts and report.scripts["arabic"] < 0.5:
        yield (
            f"Only {report.scripts['arabic']:.0%} of the letters are of the Arabic script, and the feature set's source "
            f"language is {feature_set.source_language}; is the right column read as the text?"
        )


def _leak_warnings(report: DataReport) -> Iterator[str]:
    for kind, hint in report.personal_data.items():
        if hint.count:
            yield (
                f"{_n(hint.count, 'text passage')} {'looks' if hint.count == 1 else 'look'} like a {kind.replace('_', ' ')} "
                f"({_rows(hint.rows)}); de-identify the file."
            )
    leaks = [d for d in report.duplicates if d.across_parts]
    if leaks:
        yield f"{_n(len(leaks), 'text')} {_is(len(leaks))} in more than one part, a leak ({_rows(leaks[0].rows)} for example)."
    if report.groups_across_parts:
        yield f"{_n(report.groups_across_parts, 'group')} {_is(report.groups_across_parts)} in more than one part, a leak."
    other = [d for d in report.duplicates if not d.across_parts]
    if other:
        across = sum(d.across_groups for d in other)
        yield (
            f"{_n(len(other), 'text')} {'occurs' if len(other) == 1 else 'occur'} more than once, "
            f"{across} of them in different groups ({_rows(other[0].rows)} for example)."
        )


def _label_warnings(report: DataReport) -> Iterator[str]:
    if report.unlabelled and report.labels:
        yield f"No column holds labels of {', '.join(report.unlabelled)}."
    elif report.unlabelled:
        yield "The file has no labels; it can be read by a model and not scored."
    for identifier, counts in report.labels.items():
        if counts.positives + counts.negatives == 0:
            yield f"{identifier} has a column and no label in it."
        elif counts.positives == 0 or counts.negatives == 0:
            only = "negatives" if counts.positives == 0 else "positives"
            yield f"{identifier} has {only} only: its scores are undefined."
        elif counts.positives < FEW:
            yield f"{identifier} has {_n(counts.positives, 'positive')}: intervals will be wide."
        elif counts.negatives < FEW:
            yield f"{identifier} has {_n(counts.negatives, 'negative')}: intervals will be wide."
        if counts.blank and counts.positives + counts.negatives:
            yield f"{identifier} has {_n(counts.blank, 'blank label')}."


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:5]))
    return f"{'row' if len(rows) == 1 else 'rows'} {shown}{', …' if len(rows) > 5 else ''}"
