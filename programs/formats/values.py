"""True and False as models write them, and as probabilities of one token."""

from __future__ import annotations

import math
import re
import unicodedata

from ...engines.protocol import TokenChoice

_TRUE = frozenset(
    {
        "true",
        "yes",
        "1",
        "present",
        "positive",
        "✓",
        "✔",
        "✅",
        "بله",
        "بلی",
        "آری",
        "درست",
        "صحیح",
        "دارد",
        "مثبت",
        "ja",
        "wahr",
    }
)
_FALSE = frozenset(
    {
        "false",
        "no",
        "0",
        "absent",
        "negative",
        "✗",
        "✘",
        "❌",
        "خیر",
        "نه",
        "نادرست",
        "غلط",
        "ندارد",
        "منفی",
        "nein",
        "falsch",
    }
)
WORD = re.compile(r"[^\W_]+|[✓✔✅✗✘❌]")
_FOLD = str.maketrans(
    {"ي": "ی", "ى": "ی", "ك": "ک", "’": "'", "‘": "'", "\u200c": " ", "\u200f": "", "\u200e": "", "\ufeff": ""}
)
_DIGIT = re.compile(r"[^\D0-9]")


def fold(text: str) -> str:
    """`text` for comparison: one form of each letter and digit, no case, no joiners."""
    folded = unicodedata.normalize("NFKC", text).translate(_FOLD).casefold()
    return _DIGIT.sub(lambda m: str(unicodedata.digit(m.group())), folded)


def read_value(text: str) -> bool | None:
    """True or False if the first word says so and neither of the next two contradicts it; else None.

    "True (pain)", "**False**.", "Yes" and "بله" are values. "True/False", "not mentioned" and "unknown" are none.
    """
    words = WORD.findall(fold(text))
    if not words:
        return None
    head = words[0]
    if head in _TRUE:
        return None if any(w in _FALSE for w in words[1:3]) else True
    if head in _FALSE:
        return None if any(w in _TRUE for w in words[1:3]) else False
    return None


def probability(choice: TokenChoice) -> float | None:
    """P(true) / (P(true) + P(false)) among the alternatives at one place, in [0, 1].

    A token counts for a value if it is the beginning of its word, or the word with something behind it. None where
    neither value is among the alternatives. The engines report probabilities before any grammar, so the rest of the
    mass is left out by the division.
    """
    alternatives = dict(choice.top)
    alternatives.setdefault(choice.token, choice.logprob)
    mass = {True: 0.0, False: 0.0}
    for token, logprob in alternatives.items():
        value = _value_begun(token)
        if value is not None:
            mass[value] += math.exp(logprob)
    total = mass[True] + mass[False]
    return mass[True] / total if total > 0 else None


def _value_begun(token: str) -> bool | None:
    words = WORD.findall(fold(token))
    if not words:
        return None
    head = words[0]
    if head in _TRUE or (len(head) >= 1 and "true".startswith(head)):
        return True
    if head in _FALSE or (len(head) >= 1 and "false".startswith(head)):
        return False
    return None
