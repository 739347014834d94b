"""A translation as a thing to be checked: its text, what it cost, and what looks wrong with it without a reference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engines.protocol import Telemetry

# Words per word. Persian joins what English spells out, so English runs longer; outside this band something was lost or added.
LENGTH_RATIO = (0.6, 2.5)
FOREIGN_SHARE = 0.10
# Tokens of a translation beyond one for each character of its source.
ROOM = 64

# What an assistant says of itself; a caller says "I cannot sleep" and "I am unable to walk".
_REFUSAL = re.compile(
    r"\bas an ai\b|\bsorry,? (?:but )?i can(?:not|['’]t)\b|\b(?:can(?:not|['’]t)|(?:am|['’]m) unable to|am not able to) (?:help|assist|translate|provide|fulfil|comply)",
    re.IGNORECASE,
)
# English, as translations and references are. "un-" and "-less" are left alone: most such words are no negation of a finding.
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nothing|nobody|nowhere|neither|nor|without|cannot|den(?:y|ies|ied)|absent)\b|n['’]t\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Translation:
    """What the translator made of one text.

    Attributes:
        text: The translation, or None where the call failed.
        telemetry: What it cost, also when it came from the store.
        seconds: Wall time of the translation without loading the model; the stored one where it came from the store.
        failure: The kind of `CallError`, or None.
        warnings: Names of the checks that it did not pass; see `check_translation`.
        stored: Whether it came from the store.
        detail: What a failed call said; no text of the transcript.
    """

    text: str | None
    telemetry: Telemetry
    seconds: float = 0.0
    failure: str | None = None
    warnings: tuple[str, ...] = ()
    stored: bool = False
    detail: str | None = None

    def to_record(self) -> dict[str, Any]:
        """For the store."""
        return {"text": self.text, "telemetry": self.telemetry.to_dict(), "seconds": self.seconds}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], source: str) -> Translation:
        """From the store; the checks are made again."""
        text = str(record["text"])
        telemetry = Telemetry.from_dict(record["telemetry"])
        return cls(text, telemetry, record["seconds"], warnings=check_translation(source, text), stored=True)


def token_limit(source: str, most: int) -> int:
    """Most tokens of a translation of `source`: one a character and `ROOM`, three times what any needs, and never over `most`.

    A small model that has begun to repeat itself does so up to the limit, and all of it is waited for in vain.
    """
    return min(most, ROOM + len(source))


def check_translation(source: str, translation: str) -> tuple[str, ...]:
    """Names of what looks wrong, without a reference.

    `length`: words of the translation over words of the source are outside `LENGTH_RATIO`. `untranslated`: more than
    `FOREIGN_SHARE` of the letters are of the source's script, where that is not Latin. `numbers`: a number of the source is
    not in the translation (digits of any script; numbers written as words are not seen). `refusal`: the model speaks of
    itself. `repetition`: one sentence stands three times or more.
    """
    found = []
    words = len(_WORD.findall(source)), len(_WORD.findall(translation))
    if words[0] and not LENGTH_RATIO[0] <= words[1] / words[0] <= LENGTH_RATIO[1]:
        found.append("length")
    if _script(source) != "LATIN" and _share(translation, _script(source)) > FOREIGN_SHARE:
        found.append("untranslated")
    if not numbers(source) <= numbers(translation):
        found.append("numbers")
    if _REFUSAL.search(translation[:200]):
        found.append("refusal")
    sentences = [s.strip().casefold() for s in re.split(r"[.!?؟\n]+", translation) if len(s.split()) > 2]
    if any(sentences.count(s) > 2 for s in set(sentences)):
        found.append("repetition")
    return tuple(found)


def _letters(text: str) -> list[str]:
    return [unicodedata.name(c, "?").split(" ", 1)[0] for c in text if c.isalpha()]


def _script(text: str) -> str:
    scripts = _letters(text)
    return max(set(scripts), key=scripts.count) if scripts else "LATIN"


def _share(text: str, script: str) -> float:
    scripts = _letters(text)
    return scripts.count(script) / len(scripts) if scripts else 0.0


def negations(text: str) -> int:
    """How many words of an English text deny something."""
    return len(_NEGATION.findall(text))


def numbers(text: str) -> set[str]:
    """The numbers of a text that are written in digits of any script, in ASCII and without leading zeros."""
    # As texts: int() refuses numbers of thousands of digits.
    return {n.lstrip("0") or "0" for n in _NUMBER.findall("".join(_ascii_digit(c) for c in text))}


def _ascii_digit(character: str) -> str:
    return str(unicodedata.digit(character)) if character.isdecimal() else character
