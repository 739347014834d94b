"""The wordings of the instructions are built from the feature set, in its languages, for any set."""

from __future__ import annotations

import pytest

from balin.errors import InputError
from balin.signatures.features import Feature, FeatureSet, load_feature_set
from balin.signatures.wording import DEFAULT, INSTRUCTIONS, default_instructions, instructions

PALLIATIVE = load_feature_set("palliative13")
WOUNDS = FeatureSet(
    "wunden", "Wunden", "de", {"de": "eine Wundnotiz"}, {"de": "Nur was da steht."}, {},
    (Feature("rot", (), {"de": "Rot"}, {"de": "rot"}, {"de": "Rötung"}),),
)  # fmt: skip


@pytest.mark.parametrize(("feature_set", "language"), [(PALLIATIVE, "en"), (PALLIATIVE, "fa"), (WOUNDS, "de")])
def test_each_wording_is_another_and_names_the_subject(feature_set: FeatureSet, language: str) -> None:
    texts = [instructions(feature_set, language, name) for name in INSTRUCTIONS]
    assert len(set(texts)) == len(INSTRUCTIONS)
    assert all(feature_set.subject[language] in text for text in texts)
    default = instructions(feature_set, language, DEFAULT)
    assert default == default_instructions(feature_set, language)
    assert len(instructions(feature_set, language, "terse")) < len(default)
    exclusions = instructions(feature_set, language, "exclusions")
    assert exclusions.startswith(default)
    # No feature of any set is in the words themselves.
    assert not any(f.label[language] in exclusions.removeprefix(default) for f in feature_set)


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(InputError, match="terse"):
        instructions(PALLIATIVE, "en", "loud")
