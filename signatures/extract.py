"""The Extract signature, built from a feature set and a language.

One input (`transcript`) and one optional boolean for each feature, in the set's order; None is "the model gave no
readable value". The default instructions are built from the set's own subject and rules, so a new feature set needs no
new prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .features import Feature, FeatureSet

if TYPE_CHECKING:
    from dspy import Signature

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
    words = ("Counts", "Does not") if language != "fa" else ("شامل", "شامل نیست")
    parts = [feature.definition[language]]
    parts += [f"{words[0]}: {counts}."] if counts else []
    parts += [f"{words[1]}: {excludes}."] if excludes else []
    return " ".join(parts)


def extract_signature(feature_set: FeatureSet, language: str, instructions: str | None = None) -> type[Signature]:
    """The DSPy signature that asks for every feature of the set.

    Args:
        feature_set: The questions.
        language: The language of labels and definitions in the prompt (not of the transcript).
        instructions: In place of the default ones.

    Raises:
        FeatureSetError: The set is not written in `language`.
    """
    from .private_dspy import dspy

    feature_set.require_language(language)
    fields: dict[str, Any] = {INPUT: (str, dspy.InputField(desc=feature_set.subject[language]))}
    for feature in feature_set:
        fields[feature.id] = (
            bool | None,
            dspy.OutputField(desc=describe(feature, language), prefix=f"{feature.label[language]}:", default=None),
        )
    return dspy.make_signature(fields, instructions or default_instructions(feature_set, language), "Extract")
