"""Which translators are tried: words, worked translations and the repeat penalty, one after the other, each from the best so far.

All combinations would be many, and most of them close to one that is known to be bad. So the strategies go along one
dimension at a time: other words without demos, then demos with the best words, then other words with the best demos, then
other repeat penalties. Whoever runs them scores each candidate before the next is made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..data.transcripts import Transcript
from ..engines.protocol import Telemetry
from ..programs.translation import negations, numbers, token_limit
from ..programs.translator import DEFAULT_NAME, REPEAT_PENALTY, Translator
from ..signatures.features import FeatureSet
from ..signatures.translate import INPUT, instruction_wordings

SIZES = (2, 4)
PENALTIES = (1.0, 1.1)
# What the estimate of tokens may be wrong by.
_MARGIN = 1.2


@dataclass(frozen=True)
class TranslatorCandidate:
    """A translator to be scored.

    Attributes:
        strategy: The name of the strategy that made it.
        wording: Which of `signatures.translate.instruction_wordings`.
        demos: The transcripts that are its worked translations, in order.
        repeat_penalty: As `Translator` has it.
        wanted: How many demos there should be; more than there are where the context has no room.
        draw: Which draw of the demos, from 0.
    """

    strategy: str = DEFAULT_NAME
    wording: str = DEFAULT_NAME
    demos: tuple[Transcript, ...] = ()
    repeat_penalty: float = REPEAT_PENALTY
    wanted: int = 0
    draw: int = 0

    @property
    def name(self) -> str:
        """A short name, which the saved program bears."""
        parts = [self.wording]
        parts += [f"{len(self.demos)}-demos"] if self.demos else []
        parts += [f"draw-{self.draw}"] if self.demos and self.draw else []
        parts += [f"penalty-{self.repeat_penalty:g}"] if self.repeat_penalty != REPEAT_PENALTY else []
        return "-".join(parts)

    @property
    def description(self) -> str:
        """What it is, in a few words; no text of a transcript."""
        lacking = self.wanted - len(self.demos)
        short = f" ({lacking} left out, the context has no room)" if lacking > 0 else ""
        drawn = f", draw {self.draw}" if self.demos and self.draw else ""
        return f"words {self.wording}, {len(self.demos)} demos{short}{drawn}, repeat penalty {self.repeat_penalty:g}"

    def program(self, feature_set: FeatureSet) -> Translator:
        """The translator, without a language model."""
        translator = Translator(
            feature_set,
            name=self.name,
            instructions=instruction_wordings(feature_set)[self.wording],
            repeat_penalty=self.repeat_penalty,
        )
        translator.set_demos([(t.text, t.english or "") for t in self.demos])
        return translator


@dataclass(frozen=True)
class TranslatorSetting:
    """What the strategies know.

    Attributes:
        wordings: Names of the ways to tell the translator what to do.
        pool: Where demos come from: transcripts with an English text.
        sizes: Numbers of demos.
        candidates: Most candidates of one strategy.
        seed: Draw number i of the demos is made with seed + i.
        best: The best candidate so far.
        room: Characters that demos may take.
    """

    wordings: Sequence[str]
    pool: Sequence[Transcript]
    sizes: Sequence[int]
    candidates: int
    seed: int
    best: Callable[[], TranslatorCandidate]
    room: Callable[[], float]


def other_words(setting: TranslatorSetting) -> Iterator[TranslatorCandidate]:
    """Other words, no demos."""
    for wording in setting.wordings:
        if wording != DEFAULT_NAME:
            yield TranslatorCandidate("wording", wording)


def with_demos(setting: TranslatorSetting) -> Iterator[TranslatorCandidate]:
    """The best words with demos: each number of them once, then each with another draw."""
    best = setting.best()
    for draw in range(setting.candidates):
        for size in setting.sizes:
            demos = choose_demos(setting.pool, size, setting.seed + draw, setting.room())
            yield replace(best, strategy="demos", demos=demos, wanted=size, draw=draw)


def words_with_demos(setting: TranslatorSetting) -> Iterator[TranslatorCandidate]:
    """The best demos with other words; nothing where no demos are best, as all words were tried without."""
    best = setting.best()
    if best.demos:
        for wording in setting.wordings:
            yield replace(best, strategy="combined", wording=wording)


def other_penalties(setting: TranslatorSetting) -> Iterator[TranslatorCandidate]:
    """The best of all with other repeat penalties."""
    best = setting.best()
    for penalty in PENALTIES:
        yield replace(best, strategy="penalty", repeat_penalty=penalty)


TRANSLATOR_STRATEGIES: Mapping[str, Callable[[TranslatorSetting], Iterator[TranslatorCandidate]]] = {
    "wording": other_words,
    "demos": with_demos,
    "combined": words_with_demos,
    "penalty": other_penalties,
}


def choose_demos(pool: Sequence[Transcript], count: int, seed: int, room: float) -> tuple[Transcript, ...]:
    """Demos that show much with few: a negation, a number, a short, a middling and a long call, each as often as can be.

    Chosen one by one: the one that shows most of what has been shown least; of equals the first in the seed's order. Two demos
    share no group where that can be helped.

    Args:
        pool: Transcripts with an English text.
        count: How many are wanted.
        seed: Any whole number.
        room: Characters that all of them may take, source and translation together; there are fewer demos where they do not fit.
    """
    order = sorted(pool, key=lambda t: t.id)
    random.Random(seed).shuffle(order)
    aspects = _aspects(order)
    shown: dict[str, int] = {}
    chosen: list[Transcript] = []
    while len(chosen) < count:
        groups = {t.group for t in chosen if t.group is not None}
        fitting = [t for t in order if t not in chosen and _size(t) <= room]
        apart = [t for t in fitting if t.group not in groups] or fitting
        if not apart:
            break
        best = max(apart, key=lambda t: sum(1 / (1 + shown.get(a, 0)) for a in aspects[t.id]))
        chosen.append(best)
        room -= _size(best)
        for aspect in aspects[best.id]:
            shown[aspect] = shown.get(aspect, 0) + 1
    return tuple(chosen)


def demo_room(translator: Translator, answered: Sequence[tuple[str, Telemetry]], num_ctx: int, longest: str) -> float:
    """Characters that demos may take: the context less instructions, the longest text and its translation.

    The tokens of a character are those of the prompts that were answered, source language and instructions mixed as in a demo.

    Args:
        translator: Without demos.
        answered: Text and telemetry of its translations.
        num_ctx: The context in tokens.
        longest: The longest text that is to be translated.
    """

    def characters(text: str) -> int:
        return sum(
            len(m.content)
            for m in translator.adapter.messages(translator.predict.signature, translator.predict.demos, {INPUT: text})
        )

    read = sum(cost.prompt_tokens for _, cost in answered)
    rate = _MARGIN * (read / sum(characters(text) for text, _ in answered) if read else 1.0)
    return (num_ctx - token_limit(longest, translator.adapter.max_tokens)) / rate - characters(longest)


def _aspects(pool: Sequence[Transcript]) -> dict[str, tuple[str, ...]]:
    """Id to what a transcript shows as a demo. Data need not name registers, but registers differ in length."""
    lengths = sorted(len(t.text) for t in pool)
    low, high = (lengths[len(lengths) * k // 3] for k in (1, 2)) if lengths else (0, 0)
    found = {}
    for t in pool:
        english = t.english or ""
        length = "short" if len(t.text) < low else "middling" if len(t.text) < high else "long"
        found[t.id] = (
            length,
            *(("negation",) if negations(english) else ()),
            *(("number",) if numbers(t.text) & numbers(english) else ()),
        )
    return found


def _size(transcript: Transcript) -> int:
    return len(transcript.text) + len(transcript.english or "")
