"""The Extract signature, built from a feature set and a language.

One input (`transcript`) and one optional boolean for each feature, in the set's order; None is "the model gave no
readable value". Its words are built from the set (`wording.py`), so a new feature set needs no new prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .features import FeatureSet
from .wording import INPUT, default_instructions, describe

if TYPE_CHECKING:
    from dspy import Signature


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
            dspy.OutputField(desc=f"{feature.label[language]}. {describe(feature, language)}", default=None),
        )
    made: type[Signature] = dspy.make_signature(
        fields, instructions or default_instructions(feature_set, language), "Extract"
    )
    return made
