"""Decisions: from a model's answers with P(true) to the program's, by one threshold a feature. Plain functions, no DSPy.

Thresholds are no part of what is asked. The model's own answers are what the store keeps, and every reader of them decides
here, so a new threshold costs no call.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import InputError
from ..signatures.answers import Answer


def decide(answers: Mapping[str, Answer], thresholds: Mapping[str, float]) -> dict[str, Answer]:
    """The answers with thresholds applied: true where P(true) ≥ the feature's threshold, else false.

    An answer that is missing or an error, that has no P(true), or whose feature has no threshold stays what it is.
    """
    return {i: _decided(answer, thresholds.get(i)) for i, answer in answers.items()}


def _decided(answer: Answer, threshold: float | None) -> Answer:
    if threshold is None or answer.p_true is None or answer.value is None:
        return answer
    return Answer.of(answer.p_true >= threshold, answer.p_true)


def check_thresholds(thresholds: Mapping[str, float], features: Collection[str]) -> dict[str, float]:
    """The thresholds as floats, in the order of the features.

    Raises:
        InputError: One is for a feature that is not there, or is not a number between 0 and 1, both left out.
    """
    unknown = sorted(set(thresholds) - set(features))
    if unknown:
        raise InputError(f"thresholds: the feature set has no {', '.join(unknown)}")
    for identifier, value in thresholds.items():
        # `not 0 < x < 1` is also true of NaN; True and False are whole numbers to Python.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise InputError(f"thresholds: {identifier}: must be a number above 0 and below 1")
    return {i: float(thresholds[i]) for i in features if i in thresholds}
