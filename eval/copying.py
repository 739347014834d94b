"""Sentences that a translation took from another call: small models repeat their worked examples instead of translating.

Found as runs of words that a translation has in common with the English text of another call, and not with its own reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..data.transcripts import Transcript
from ..programs.demos import Leaks

# Of the 90 references of the shipped corpus's dev, 4 share a run of 8 words with some text of its pool by chance, 38 one of 6.
COPIED_WORDS = 8
_WORD = re.compile(r"\w+")


def copied_words(text: str, reference: str, others: Iterable[str], *, at_least: int = COPIED_WORDS) -> int:
    """Words of the longest run that `text` has in common with one of the others and not with its reference.

    Words are compared without case and punctuation.

    Args:
        text: The translation.
        reference: What it should say; "" if nothing is known.
        others: Texts that it may have been taken from.
        at_least: The shortest run that counts, 1 or more.

    Returns:
        0 where there is none.
    """
    own, right = _words(text), _words(reference)
    longest = 0
    for words in map(_words, others):
        length = at_least
        # A run that is new may hold shorter ones that are not, so newness is asked at every length.
        while shared := _runs(own, length) & _runs(words, length):
            if shared - _runs(right, length):
                longest = max(longest, length)
            length += 1
    return longest


class CallTexts:
    """The English texts of calls, to look up what a translation has in common with them.

    Args:
        transcripts: Those with an English text are taken.
    """

    def __init__(self, transcripts: Iterable[Transcript]) -> None:
        self._calls = [t for t in transcripts if t.english]
        self._places: dict[tuple[str, ...], set[int]] = {}
        for place, transcript in enumerate(self._calls):
            for run in _runs(_words(transcript.english or ""), COPIED_WORDS):
                self._places.setdefault(run, set()).add(place)

    def copied(self, transcript: Transcript, text: str, reference: str) -> int:
        """As `copied_words`, from the calls that share neither id, group nor text with this one."""
        found = {place for run in _runs(_words(text), COPIED_WORDS) for place in self._places.get(run, ())}
        own = Leaks.of([transcript])
        return copied_words(
            text, reference, (c.english or "" for c in map(self._calls.__getitem__, found) if not own.has(c))
        )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
