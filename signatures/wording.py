"""The words of the extraction prompt that come from the feature set: instructions and descriptions. No DSPy here."""

from __future__ import annotations

from ..errors import InputError
from .features import Feature, FeatureSet

INPUT = "transcript"

_OPENING = {
    "en": "You read the transcript of {subject} and decide for each feature whether this patient has it.",
    "fa": "متن {subject} را می‌خوانید و برای هر ویژگی تعیین می‌کنید که این بیمار آن را دارد یا نه.",
}


_TERSE = {
    "en": "From the transcript of {subject}: which features does this patient have?",
    "fa": "بر اساس متن {subject}: این بیمار کدام ویژگی‌ها را دارد؟",
}

_EXCLUSIONS = {
    "en": (
        "Check every feature that the text mentions before you count it. It is not present where the text denies it, where it is "
        "over or has been resolved, where it is only possible, feared or planned for, and where it is somebody else's, such as a "
        "relative's. A feature that is not mentioned is not present either."
    ),
    "fa": (
        "هر ویژگی را که در متن آمده پیش از شمردن بررسی کنید. اگر متن آن را نفی کرده، اگر تمام یا برطرف شده، اگر فقط احتمال یا نگرانی یا "
        "برنامه است، یا اگر مربوط به شخص دیگری مانند یکی از بستگان است، وجود ندارد. ویژگی‌ای که ذکر نشده نیز وجود ندارد."
    ),
}

DEFAULT = "default"
# The wordings that a search may choose from; a format adds how the answer is to be written.
INSTRUCTIONS = (DEFAULT, "terse", "exclusions")


def default_instructions(feature_set: FeatureSet, language: str) -> str:
    """What the model is told before the features are listed: the task, and when a feature counts as present."""
    feature_set.require_language(language)
    opening = _OPENING.get(language, _OPENING["en"]).format(subject=feature_set.subject[language])
    return "\n".join(part for part in (opening, feature_set.rules.get(language, "")) if part)


def instructions(feature_set: FeatureSet, language: str, name: str) -> str:
    """A wording of the instructions, built from the feature set.

    Args:
        feature_set: The questions.
        language: Of the prompt; one without phrases of its own gets English ones, as everywhere.
        name: `default`; `terse`, the bare question without rules; `exclusions`, the default with a warning of what is denied,
            over, only possible, or somebody else's.

    Raises:
        InputError: There is no such wording.
    """
    default = default_instructions(feature_set, language)
    if name == DEFAULT:
        return default
    if name == "terse":
        return _TERSE.get(language, _TERSE["en"]).format(subject=feature_set.subject[language])
    if name == "exclusions":
        return f"{default}\n{_EXCLUSIONS.get(language, _EXCLUSIONS['en'])}"
    raise InputError(f"there are no instructions {name!r}; there are: {', '.join(INSTRUCTIONS)}")


def describe(feature: Feature, language: str) -> str:
    """The feature's definition with what counts and what does not, in one line."""
    counts, excludes = feature.counts.get(language), feature.excludes.get(language)
    words = ("Counts", "Does not count") if language != "fa" else ("شامل", "شامل نیست")
    parts = [feature.definition[language]]
    parts += [f"{words[0]}: {counts}."] if counts else []
    parts += [f"{words[1]}: {excludes}."] if excludes else []
    return " ".join(parts)
