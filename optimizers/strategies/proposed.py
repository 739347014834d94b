"""Instructions that a model proposed: which can be used. Small models write JSON, answers, or the transcript in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from ...data.persian import normalise

# So many words in a row that a transcript has too are a quotation.
QUOTED = 6
# Shorter than any instruction.
SHORTEST = 20
# More characters than the tokens of a proposal can have.
LONGEST = 8000
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_TAGS = re.compile(r"</?instructions>", re.IGNORECASE)
_ANSWER = re.compile(r"^\W*[^\n:]{1,60}:\s*\W*(?:true|false|yes|no)\b\W*$", re.IGNORECASE | re.MULTILINE)
_WORD = re.compile(r"\w+")
_ANSWERS = 3


class Proposed:
    """Judges proposals.

    Args:
        texts: The transcripts that no instruction may quote.
        own: What the prompt says anyway; to say it again quotes nobody.
    """

    def __init__(self, texts: Iterable[str], own: Iterable[str]) -> None:
        said = {run for text in own for run in _runs(text)}
        self._private = {run for text in texts for run in _runs(text)} - said

    def usable(self, written: str) -> str | None:
        """The instructions in what a model wrote, without fences and marks around them; None where there are none."""
        fenced = _FENCE.search(written)
        text = _TAGS.sub("", fenced[1] if fenced else written).strip().strip('"').strip()
        if not SHORTEST <= len(text) <= LONGEST or _is_json(text) or len(_ANSWER.findall(text)) >= _ANSWERS:
            return None
        # Half a character cannot be kept or sent.
        if any("\ud800" <= c <= "\udfff" for c in text) or self.quotes(text):
            return None
        return text

    def quotes(self, text: str) -> bool:
        """Whether it has a run of words that a transcript has, or the whole of a short one."""
        words = _words(text)
        return any(tuple(words[i : i + n]) in self._private for n in range(1, QUOTED + 1) for i in range(len(words)))


def _is_json(text: str) -> bool:
    """Whether it is JSON, or begins as JSON does and was cut."""
    with_value = re.match(r'[\[{]\s*["\[{\]}]', text)
    try:
        return bool(with_value) or isinstance(json.loads(text), dict | list | bool | int | float)
    except (ValueError, RecursionError):
        return False


def _words(text: str) -> list[str]:
    return _WORD.findall(normalise(text).casefold())


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """All runs of `QUOTED` words; of a text with fewer, but more than two, the whole."""
    words: Sequence[str] = _words(text)
    if len(words) < QUOTED:
        if len(words) > 2:
            yield tuple(words)
        return
    for start in range(len(words) - QUOTED + 1):
        yield tuple(words[start : start + QUOTED])
