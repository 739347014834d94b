"""The Translate signature, built from a pair of languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .features import FeatureSet

if TYPE_CHECKING:
    from dspy import Signature

INPUT = "source"
OUTPUT = "translation"

_NAMES = {
    "en": "English",
    "fa": "Persian",
    "de": "German",
    "fr": "French",
    "ar": "Arabic",
    "tr": "Turkish",
    "es": "Spanish",
}


def language_name(code: str) -> str:
    """The English name of a language code; the code itself where it is not known."""
    return _NAMES.get(code, code)


def default_instructions(feature_set: FeatureSet, target: str = "en") -> str:
    """What the translator is told."""
    source, goal = language_name(feature_set.source_language), language_name(target)
    return (
        f"You are a medical translator. Translate the {source} text, which is about {feature_set.subject.get('en', 'a call')}, "
        f"into {goal}. Keep every symptom, every negation, every number and who it is said of. "
        f"Add nothing, explain nothing, leave nothing out. Write only the {goal} translation."
    )


def instruction_wordings(feature_set: FeatureSet, target: str = "en") -> dict[str, str]:
    """Ways to tell the translator what to do, by name; the first is the default."""
    source, goal = language_name(feature_set.source_language), language_name(target)
    task = (
        f"You are a medical translator. Translate the {source} text, which is about {feature_set.subject.get('en', 'a call')}, "
        f"into {goal}."
    )
    return {
        "default": default_instructions(feature_set, target),
        "facts": (
            f"{task} Three things must be exactly right. Numbers: copy every number, dose, date and duration, and none that is not "
            "there. Negations: what is denied, absent or over stays denied, absent or over, and what is present stays present. "
            "Persons: say of each complaint whether it is the patient's, the caller's or somebody else's, as the text does. "
            f"Leave nothing out and add nothing. Write only the {goal} translation."
        ),
        "literal": (
            f"{task} Translate sentence by sentence, in the same order, literally and in short plain sentences. Say each thing once. "
            f"Do not summarise, explain or answer. When the last sentence is translated, stop. Write only the {goal} translation."
        ),
    }


def translate_signature(
    feature_set: FeatureSet, target: str = "en", instructions: str | None = None
) -> type[Signature]:
    """The DSPy signature that turns one text of the set's source language into `target`."""
    from .private_dspy import dspy

    source, goal = language_name(feature_set.source_language), language_name(target)
    made: type[Signature] = dspy.make_signature(
        {
            INPUT: (str, dspy.InputField(desc=f"the {source} text")),
            OUTPUT: (str, dspy.OutputField(desc=f"its {goal} translation")),
        },
        instructions or default_instructions(feature_set, target),
        "Translate",
    )
    return made
