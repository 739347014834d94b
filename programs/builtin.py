"""The built-in programs: the study's own protocol, zero-shot, and few-shot with the features' definitions.

The study (arXiv 2602.21374) fills a template of True and False: a system message with the template, three random examples
as turns, greedy decoding, at most 512 tokens. Its faults are not copied: one wording of each label everywhere, a parser
that cannot read the wrong line, and missing as a state of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..signatures.features import FeatureSet
from .extractor import Extractor

_STUDY_INSTRUCTIONS = {
    "en": (
        "You are an expert in extracting data from medical texts. Decide for every field whether it is true or false. "
        "Keep the same fields in the same order. Infer nothing that the text does not state. "
        "Write nothing but the answer in the form that is asked for."
    ),
    "fa": (
        "شما متخصص استخراج داده از متن‌های پزشکی هستید. برای هر قسمت تعیین کنید که درست است یا نه. "
        "همان قسمت‌ها را به همان ترتیب نگه دارید. چیزی را که در متن نیامده نتیجه نگیرید. "
        "جز پاسخ در قالب خواسته‌شده چیزی ننویسید."
    ),
}


@dataclass(frozen=True)
class BuiltIn:
    """A program that needs no file.

    Attributes:
        demos: How many worked examples it takes unless told otherwise.
        build: Makes it for a feature set and a prompt language.
    """

    demos: int
    build: Callable[[FeatureSet, str], Extractor]


def _study(feature_set: FeatureSet, language: str) -> Extractor:
    instructions = _STUDY_INSTRUCTIONS.get(language, _STUDY_INSTRUCTIONS["en"])
    return Extractor(
        feature_set,
        name="study",
        format="lines",
        language=language,
        instructions=instructions,
        definitions=False,
        max_tokens=512,
    )


def _zero_shot(feature_set: FeatureSet, language: str) -> Extractor:
    return Extractor(feature_set, name="zero-shot", language=language)


def _few_shot(feature_set: FeatureSet, language: str) -> Extractor:
    return Extractor(feature_set, name="few-shot", language=language)


BUILT_IN = {"study": BuiltIn(3, _study), "zero-shot": BuiltIn(0, _zero_shot), "few-shot": BuiltIn(3, _few_shot)}
