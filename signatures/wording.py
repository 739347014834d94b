"""The words of the extraction prompt that come from the feature set: instructions and descriptions. No DSPy here."""

from __future__ import annotations

from .features import Feature, FeatureSet

INPUT = "transcript"

_OPENING = {
    "en": "You read the transcript of {subject} and decide for each feature whether this patient has it.",
    "fa": "متن {subject} را می‌خوانید و برای هر ویژگی تعیین می‌کنید که این بیمار آن را دارد یا نه.",
}


def default_instructions(feature_set: FeatureSet, language: str) -> str:
    """What the model is told before the features are listed: the task, and when a feature counts as present."""
    feature_set.require_language(language)
    opening = _OPENING.get(language, _OPENING["en"]).format(subject=feature_set.subject[language])
    return "\n".join(part for part in (opening, feature_set.rules.get(language, "")) if part)


def describe(feature: Feature, language: str) -> str:
    """The feature's definition with what counts and what does not, in one line."""
    counts, excludes = feature.counts.get(language), feature.excludes.get(language)
    words = ("Counts", "Does not count") if language != "fa" else ("شامل", "شامل نیست")
    parts = [feature.definition[language]]
    parts += [f"{words[0]}: {counts}."] if counts else []
    parts += [f"{words[1]}: {excludes}."] if excludes else []
    return " ".join(parts)
