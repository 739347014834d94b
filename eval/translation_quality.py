"""How good a run's translations are, and what their faults cost the extraction.

chrF (Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015) against the data's English column, by
sacrebleu with its defaults (n-grams of 1 to 6 characters, recall weighing twice as much as precision), 0 to 100; the checks
without a reference of `programs.translation`; and word runs that a translation has in common with a text that its
translator's demos were drawn from and not with its own reference. Each is set beside the share of wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.store import Store, key_of
from ..data.transcripts import Dataset, Transcript, text_hash
from ..programs.translation import check_translation
from .comparability import differences_beside_route, same_model
from .copying import COPIED_WORDS, CallTexts
from .error_profile import ErrorCount, count_errors, is_wrong, transcripts_of
from .shown import Run, Selection, ShownArm

CLEAN = "passed every check"


@dataclass(frozen=True)
class Finding:
    """Transcripts whose translations have something in common, and what went wrong with their answers.

    Attributes:
        name: What they have in common.
        transcripts: How many.
        errors: The arm's errors in them, over all features.
        lost: Those of `errors` that the arm on given English does not make; None without such an arm.
    """

    name: str
    transcripts: int
    errors: ErrorCount
    lost: int | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "name": self.name,
            "transcripts": self.transcripts,
            "answers": self.errors.n,
            "wrong": self.errors.errors,
            "wrong_only_with_translation": self.lost,
        }


@dataclass(frozen=True)
class TranslationQuality:
    """The translations that one arm read.

    Attributes:
        letter: The arm's.
        ceiling: The letter of the arm on given English that it is set against, or None.
        beside: What the two differ in beside the route.
        read: Translations found in the store, of `scored`.
        scored: Transcripts that the arm was scored on.
        referenced: Translations with a reference.
        chrf: Over all referenced translations together, 0 to 100, or None without any.
        everything: All translations.
        findings: By check, by thirds of chrF, and by copying.
        gained: Errors of the arm on given English that the translated arm does not make, or None.
        demos: How many worked examples the translator had; None where the run does not say.
        copied: Translations with a run of at least `COPIED_WORDS` words of a demo's possible text, None where not looked for.
        by_chance: References that have such a run, for comparison.
        longest: The longest such run, in words.
        longest_by_id: Transcript id to its longest such run.
    """

    letter: str
    ceiling: str | None
    beside: tuple[str, ...]
    read: int
    scored: int
    referenced: int
    chrf: float | None
    everything: Finding
    findings: tuple[Finding, ...]
    gained: int | None
    demos: int | None
    copied: int | None = None
    by_chance: int | None = None
    longest: int | None = None
    longest_by_id: Mapping[str, int] = field(default_factory=dict)

    @property
    def share_of_translation(self) -> float | None:
        """The share of the arm's errors that the arm on given English does not make, 0 to 1."""
        errors = self.everything.errors.errors
        return None if self.everything.lost is None or not errors else self.everything.lost / errors

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; no text."""
        return {
            "arm": self.letter,
            "given_english_arm": self.ceiling,
            "also_differ_in": list(self.beside),
            "translations": self.read,
            "scored": self.scored,
            "with_reference": self.referenced,
            "chrf": self.chrf,
            "all": self.everything.to_dict(),
            "share_of_errors_only_with_translation": self.share_of_translation,
            "errors_only_with_given_english": self.gained,
            "findings": [finding.to_dict() for finding in self.findings],
            "translator_demos": self.demos,
            "copied": self.copied,
            "copied_by_chance": self.by_chance,
            "longest_copied_words": self.longest,
            "longest_copied_words_by_id": dict(self.longest_by_id),
        }


def translated_arms(selection: Selection) -> list[int]:
    """The places of the arms that read a model's translations."""
    return [
        i for i, arm in enumerate(selection.arms) if arm.run.get("english") == "model" and arm.run.get("translator")
    ]


def stored_translations(run: Run, store: Path, transcripts: Iterable[Transcript]) -> dict[str, str]:
    """The translations that a run read, by id; empty where the store is not there.

    The key is made of what `run.json` says of the translator, as `programs.pipeline.answer_key` makes it of a loaded one: a
    translator is asked greedily, so no sampling is in it.

    Raises:
        RunError: The store is of an unknown version or cannot be read.
    """
    described = dict(run.get("translator") or {})
    program = described.pop("program", None) or {}
    if not (store / "translations.jsonl").is_file():
        return {}
    kept = Store(store)
    found = {}
    for transcript in transcripts:
        key = key_of(program=program.get("hash"), model=described, sampling=[], text=text_hash(transcript.text))
        record = kept.get("translations", key)
        if record is not None:
            found[transcript.id] = str(record["text"])
    return found


def translation_quality(selection: Selection, place: int, dataset: Dataset, store: Path) -> TranslationQuality | None:
    """The translations of one arm of a selection.

    Args:
        selection: The arms; they share transcripts and labels.
        place: Which arm.
        dataset: The data they read.
        store: The folder of the store that the arm's run wrote.

    Returns:
        None where none of the translations is in the store.
    """
    arm = selection.arms[place]
    transcripts = transcripts_of(arm.table, dataset)
    made = stored_translations(arm.run, store, transcripts)
    rows = [i for i, t in enumerate(transcripts) if t.id in made]
    if not rows:
        return None
    ceiling = _ceiling(selection, arm)
    finding = _finder(arm, ceiling)
    corpus, by_row = chrf(
        {i: (made[transcripts[i].id], str(transcripts[i].english)) for i in rows if transcripts[i].english}
    )
    groups = [*_checks(rows, transcripts, made), *_thirds(by_row)]
    demos = ((arm.run.get("translator") or {}).get("program") or {}).get("demos")
    copied = _copied(rows, transcripts, made, dataset) if demos else None
    if copied is not None:
        groups.append((f"{COPIED_WORDS} words or more of another call", [i for i in rows if copied.runs.get(i)]))
    return TranslationQuality(
        letter=arm.letter,
        ceiling=ceiling.letter if ceiling else None,
        beside=tuple(differences_beside_route(ceiling.run, arm.run)) if ceiling else (),
        read=len(rows),
        scored=len(transcripts),
        referenced=len(by_row),
        chrf=corpus,
        everything=finding("all translations", rows),
        findings=tuple(finding(name, of) for name, of in groups if of),
        gained=int((is_wrong(ceiling.table) & ~is_wrong(arm.table))[rows].sum()) if ceiling else None,
        demos=demos,
        copied=len(copied.runs) if copied else None,
        by_chance=copied.by_chance if copied else None,
        longest=max(copied.runs.values(), default=0) if copied else None,
        longest_by_id={transcripts[i].id: n for i, n in copied.runs.items()} if copied else {},
    )


def _finder(arm: ShownArm, ceiling: ShownArm | None) -> Callable[[str, Sequence[int]], Finding]:
    lost = is_wrong(arm.table) & ~is_wrong(ceiling.table) if ceiling else None

    def finding(name: str, rows: Sequence[int]) -> Finding:
        total = sum(count_errors(arm.table, rows).values(), ErrorCount())
        return Finding(name, len(rows), total, None if lost is None else int(lost[list(rows)].sum()))

    return finding


def _ceiling(selection: Selection, arm: ShownArm) -> ShownArm | None:
    """The same model's arm on given English, the one that differs least besides."""
    given = [a for a in selection.arms if a.run.get("english") == "given" and same_model(a.run, arm.run)]
    return min(given, key=lambda a: len(differences_beside_route(a.run, arm.run)), default=None)


def _checks(
    rows: Sequence[int], transcripts: Sequence[Transcript], made: Mapping[str, str]
) -> list[tuple[str, list[int]]]:
    warned = {i: check_translation(transcripts[i].text, made[transcripts[i].id]) for i in rows}
    names = sorted({name for found in warned.values() for name in found})
    return [
        (CLEAN, [i for i in rows if not warned[i]]),
        *((f"check not passed: {name}", [i for i in rows if name in warned[i]]) for name in names),
    ]


def chrf(pairs: Mapping[int, tuple[str, str]]) -> tuple[float | None, dict[int, float]]:
    """The chrF over all pairs of translation and reference, and of each; 0 to 100."""
    if not pairs:
        return None, {}
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    by_row = {i: float(metric.sentence_score(text, [reference]).score) for i, (text, reference) in pairs.items()}
    texts, references = zip(*pairs.values(), strict=True)
    return float(metric.corpus_score(list(texts), [list(references)]).score), by_row


def _thirds(by_row: Mapping[int, float]) -> list[tuple[str, list[int]]]:
    """Thirds by chrF, the worst first."""
    if len(by_row) < 3:
        return []
    low, high = np.quantile(list(by_row.values()), (1 / 3, 2 / 3))
    groups = (
        (f"chrF up to {low:.0f}", [i for i, score in by_row.items() if score <= low]),
        (f"chrF {low:.0f} to {high:.0f}", [i for i, score in by_row.items() if low < score <= high]),
        (f"chrF over {high:.0f}", [i for i, score in by_row.items() if score > high]),
    )
    return list(groups)


@dataclass(frozen=True)
class _Copies:
    """Row to its longest run, where that is long enough; and how many references have one."""

    runs: Mapping[int, int]
    by_chance: int


def _copied(
    rows: Sequence[int], transcripts: Sequence[Transcript], made: Mapping[str, str], dataset: Dataset
) -> _Copies | None:
    """Runs that translations share with the English of calls that demos may come from; None where nothing has a reference.

    Demos come from the pool, or, where the data have none, from wherever the user said; then all calls are looked at.
    """
    calls = CallTexts([t for t in dataset if t.part == "pool"] or dataset)
    referenced = [(i, transcripts[i], str(transcripts[i].english)) for i in rows if transcripts[i].english]
    if not referenced:
        return None
    runs = {i: calls.copied(t, made[t.id], reference) for i, t, reference in referenced}
    chance = sum(calls.copied(t, reference, "") > 0 for _, t, reference in referenced)
    return _Copies({i: n for i, n in runs.items() if n}, chance)
