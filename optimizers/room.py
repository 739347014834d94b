"""How many tokens demos may take: the model's context less the answer, the instructions and the longest transcript.

Engines count tokens of what they have answered and of nothing else. So the tokens of a character are taken from the
answers of the program without demos, which is always tried first: no further call is made, and it holds for the model's own
tokenizer and the language of the data. Instructions and transcripts have a rate each: Persian takes two or three times the
tokens of English.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..data.transcripts import Transcript
from ..engines.protocol import Telemetry
from ..programs.extractor import Extractor
from ..signatures.wording import INPUT

# A template's marks around one message, generously.
MESSAGE_TOKENS = 8
# What the estimate may be wrong by.
MARGIN = 1.1
_ENOUGH = 8


class Rates(NamedTuple):
    """Tokens of a character.

    Attributes:
        words: Of instructions, definitions and answers.
        texts: Of transcripts.
    """

    words: float
    texts: float


# Where nothing was measured: no tokenizer known to us needs more for Persian or Latin letters.
UNKNOWN = Rates(1.0, 1.0)


@dataclass(frozen=True)
class Room:
    """The context of a model, measured in the characters of the data.

    Attributes:
        num_ctx: The context in tokens.
        rates: Tokens of a character.
        longest: The longest text that will be read; any text of its length will do.
    """

    num_ctx: int
    rates: Rates
    longest: str

    def left(self, program: Extractor) -> float:
        """Tokens that are left for (further) demos of a program; below 0 where it does not fit as it is."""
        reserved = program.adapter.prompt(program.predict.signature, [], {INPUT: ""}).max_tokens
        return self.num_ctx - reserved - self.tokens(program, self.longest)

    def tokens(self, program: Extractor, text: str) -> float:
        """About how many tokens a program's prompt for a text has, at most."""
        size = _size(program, text)
        return MARGIN * (self.rates.words * size.words + self.rates.texts * size.texts) + MESSAGE_TOKENS * size.messages

    def fitting(self, program: Extractor, demos: Iterable[tuple[Transcript, str]]) -> list[Transcript]:
        """Those of the demos, in order, that fit; one that is too long is passed over for a shorter one behind it.

        Args:
            program: Without demos; it has none afterwards.
            demos: Transcripts with the text that the route reads.
        """
        left, empty = self.left(program), self.tokens(program, "")
        found = []
        for transcript, text in demos:
            program.set_demos([(text, transcript.labels)])
            cost = self.tokens(program, "") - empty
            if cost <= left:
                found.append(transcript)
                left -= cost
        program.set_demos([])
        return found

    def allowance(self, program: Extractor, demos: Iterable[tuple[Transcript, str]]) -> Allowance:
        """What is left for a text with its demos, where these are chosen for each text.

        Args:
            program: Without demos; it has none afterwards.
            demos: Transcripts with the text that the route reads.
        """
        reserved = program.adapter.prompt(program.predict.signature, [], {INPUT: ""}).max_tokens
        empty = self.tokens(program, "")
        costs = []
        for transcript, text in demos:
            program.set_demos([(text, transcript.labels)])
            costs.append(math.ceil(self.tokens(program, "") - empty))
        program.set_demos([])
        return Allowance(math.floor(self.num_ctx - reserved - empty), MARGIN * self.rates.texts, tuple(costs))


class Allowance(NamedTuple):
    """Room for one text and the demos that are chosen for it.

    Attributes:
        room: Tokens for both.
        rate: Tokens of a character of the text.
        costs: Tokens of each demo.
    """

    room: int
    rate: float
    costs: tuple[int, ...]


def measured_rates(program: Extractor, answered: Sequence[tuple[str, Telemetry]]) -> Rates:
    """Tokens of a character, from answers of a program: slope and intercept of tokens over the transcripts' characters.

    With few transcripts of different lengths a slope means nothing, and a transcript's rate is taken as twice that of whole
    prompts. Never less than the rate of whole prompts for transcripts, and than half of it for words.

    Args:
        program: The program that answered.
        answered: Text and telemetry of each answer.
    """
    import numpy as np

    points = [
        (size.words, size.texts, cost.prompt_tokens / cost.requests)
        for text, cost in answered
        if cost.requests and cost.prompt_tokens
        for size in (_size(program, text),)
    ]
    if not points:
        return UNKNOWN
    words, texts, tokens = np.array(points, dtype=np.float64).T
    ratio = float(tokens.sum() / (words.sum() + texts.sum()))
    if len(set(texts)) < _ENOUGH:
        return Rates(ratio, 2 * ratio)
    slope, intercept = (float(x) for x in np.polyfit(texts, tokens, 1))
    return Rates(max(ratio / 2, intercept / words.mean()), max(ratio, slope))


class _Size(NamedTuple):
    """Characters and messages of a prompt."""

    words: int
    texts: int
    messages: int


def _size(program: Extractor, text: str) -> _Size:
    """The size of a prompt; of probes the longest."""
    demos = program.predict.demos
    prompt = program.adapter.prompt(program.predict.signature, demos, {INPUT: text})
    whole = sum(len(m.content) for m in prompt.messages) + max(map(len, prompt.probes), default=0)
    texts = len(text) + sum(len(demo[INPUT]) for demo in demos)
    return _Size(whole - texts, texts, len(prompt.messages))
