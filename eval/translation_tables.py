"""`TranslationQuality` as grids and sentences. Nothing here holds text of a transcript or of a translation."""

from __future__ import annotations

from .copying import COPIED_WORDS
from .grids import UNDEFINED, Grid, figure
from .translation_quality import Finding, TranslationQuality


def quality_grid(quality: TranslationQuality) -> Grid:
    """The translations by what was found in them, with the wrong answers that go with it."""
    rows = tuple(_row(finding, quality) for finding in (quality.everything, *quality.findings))
    extra = (f"Right on given\nEnglish ({quality.ceiling})",) if quality.ceiling else ()
    return Grid(
        title=f"Translations of {quality.letter}, and what their faults cost",
        columns=("Translations", "Calls", "Wrong\nanswers", "of", "Wrong", *extra),
        rows=rows,
        notes=tuple(quality_notes(quality)),
    )


def quality_notes(quality: TranslationQuality) -> list[str]:
    """What the table does not say, in sentences."""
    notes = []
    if quality.read < quality.scored:
        notes.append(
            f"{quality.scored - quality.read} of {quality.scored} translations are not in the store beside the run."
        )
    if quality.chrf is None:
        notes.append("chrF: the data have no English text to compare with.")
    else:
        notes.append(f"chrF {figure(quality.chrf, 1)} of 100, over {quality.referenced} translations with a reference.")
    notes += [_share_note(quality), _copy_note(quality)]
    return notes


def _share_note(quality: TranslationQuality) -> str:
    if quality.ceiling is None:
        return (
            "What share of the errors comes from the translation needs a run of the same model on given English "
            "(balin evaluate --route translated --english given) beside this one."
        )
    share, errors = quality.share_of_translation, quality.everything.errors.errors
    if share is None:
        return "There are no wrong answers."
    beside = f" The two also differ in: {', '.join(quality.beside)}." if quality.beside else ""
    return (
        f"{quality.everything.lost} of {errors} wrong answers ({100 * share:.0f} %) are right on given English "
        f"({quality.ceiling}); {quality.gained} answers are wrong there and right here.{beside}"
    )


def _copy_note(quality: TranslationQuality) -> str:
    if not quality.demos:
        return "The translator had no worked examples, so nothing was taken from them."
    if quality.copied is None:
        return "Copying from worked examples was not looked for: no translation has a reference."
    return (
        f"Taken from another call: {quality.copied} translations have {COPIED_WORDS} words or more in a row (at most "
        f"{quality.longest}) of a call that worked examples may come from, and not of their own reference. By chance, "
        f"{quality.by_chance} of {quality.referenced} references have such a run too."
    )


def _row(finding: Finding, quality: TranslationQuality) -> tuple[str, ...]:
    errors = finding.errors
    share = f"{100 * errors.errors / errors.n:.0f} %" if errors.n else UNDEFINED
    lost = (UNDEFINED if finding.lost is None else str(finding.lost),) if quality.ceiling else ()
    return (finding.name, str(finding.transcripts), str(errors.errors), str(errors.n), share, *lost)
