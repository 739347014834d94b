"""What every strategy is given and what it gives: a setting in, candidate programs out.

A strategy is a function `Setting → candidates`. It asks no model but through `answers`, `score` and `proposer` of the setting,
which keep every answer in the store. Whoever runs it scores the candidates, each before the next is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...data.transcripts import Transcript
from ...engines.embedding import Embedder, open_embedder
from ...errors import InputError
from ...eval.arm import Advance
from ...programs.demos import Leaks
from ...programs.extractor import Extractor
from ...programs.pipeline import Extraction
from ...signatures.features import FeatureSet
from ...signatures.private_dspy import dspy
from ...signatures.wording import INPUT
from ..proposals import Proposer
from ..room import Room


@dataclass(frozen=True)
class Candidate:
    """A program to be scored.

    Attributes:
        strategy: The name of the strategy that made it.
        description: What it is, in a few words; no text of a transcript.
        program: Ready to be asked.
        demos: The transcripts that are its worked examples, in order; of `nearest`, those that it chooses from.
    """

    strategy: str
    description: str
    program: Extractor
    demos: tuple[Transcript, ...] = ()

    @property
    def shown(self) -> str:
        """How many demos a prompt has, for a table."""
        of = f" of {len(self.demos)}" if self.program.index is not None else ""
        return f"{self.program.shown}{of}"

    def positives(self) -> dict[str, int]:
        """For each feature, how many of the demos have it."""
        return {i: sum(t.labels[i] is True for t in self.demos) for i in self.program.feature_set.ids}


@dataclass(frozen=True)
class Setting:
    """The ground on which strategies compete: one model, one route, one pool.

    Attributes:
        build: Makes the program under optimization, without demos and with its language model.
        study: Makes the study's own program likewise; its format and words are the study's.
        pool: Where demos come from: see `eligible`.
        texts: For each id of the pool the text that the route reads.
        answers: Answers of a program for transcripts of the pool, stored or asked for now.
        score: The corpus objective of a program on dev, for strategies that go on from what they learn; told what to call it
            in the progress. None where too many calls failed.
        proposer: Writes instructions.
        room: How many tokens demos may take.
        demos: Most demos in a prompt.
        candidates: Most candidates that one strategy may make.
        seed: Any whole number; candidate number i of a strategy draws with seed + i.
        embedder: Opens what embeds texts.
        reflector: Writes instructions for GEPA; None for the proposer.
        gepa_calls: Most transcripts of the pool that GEPA asks about, answers from the store included.
        advance: Told (phase, done, of) by a strategy that asks about one transcript at a time.
    """

    build: Callable[[], Extractor]
    study: Callable[[], Extractor]
    pool: tuple[Transcript, ...]
    texts: Mapping[str, str]
    answers: Callable[[Extractor, Sequence[Transcript]], list[Extraction]]
    score: Callable[[Extractor, str], float | None]
    proposer: Proposer
    room: Room
    demos: int
    candidates: int
    seed: int = 0
    embedder: Callable[[], Embedder] = open_embedder
    reflector: Proposer | None = None
    gepa_calls: int = 300
    advance: Advance = lambda *_: None

    @property
    def feature_ids(self) -> tuple[str, ...]:
        """The features' ids, in order."""
        return self.build().feature_set.ids

    @property
    def seeds(self) -> range:
        """One seed a candidate."""
        return range(self.seed, self.seed + self.candidates)

    def candidate(
        self,
        strategy: str,
        description: str,
        demos: Sequence[Transcript] = (),
        build: Callable[[], Extractor] | None = None,
    ) -> Candidate:
        """A candidate with those of the demos that the context has room for; the description says if some are left out.

        Args:
            strategy: The strategy's name; also the program's.
            description: What the candidate is.
            demos: In the order of the prompt.
            build: Makes the program, in place of the setting's own.
        """
        program = (build or self.build)()
        program.name = strategy
        fitting = self.room.fitting(program, [(t, self.texts[t.id]) for t in demos])
        if len(fitting) < len(demos):
            description += f"; {len(demos) - len(fitting)} demos left out, the context has no room"
        program.set_demos([(self.texts[t.id], t.labels) for t in fitting])
        return Candidate(strategy, description, program, tuple(fitting))

    def examples(self, transcripts: Sequence[Transcript]) -> list[dspy.Example]:
        """Transcripts as DSPy knows them: the text that the route reads, and the gold labels. Nothing else of the data."""
        return [
            dspy.Example({INPUT: self.texts[t.id], **{i: t.labels[i] for i in self.feature_ids}}).with_inputs(INPUT)
            for t in transcripts
        ]

    def transcripts_of(self, examples: Sequence[Any]) -> list[Transcript]:
        """The pool's transcripts behind DSPy's examples, by their text: with them come the gold labels."""
        by_text = {self.texts[t.id]: t for t in self.pool}
        return [by_text[str(example[INPUT])] for example in examples]


Strategy = Callable[[Setting], Iterator[Candidate]]


@dataclass(frozen=True)
class Eligible:
    """The pool's transcripts that may become demos, and why others may not.

    Attributes:
        pool: Sorted by id.
        left_out: Reason to number of transcripts; only reasons that occurred.
        without_positive: Features that no transcript of `pool` has: no demo can show them.
    """

    pool: tuple[Transcript, ...]
    left_out: Mapping[str, int]
    without_positive: tuple[str, ...]


def eligible(
    pool: Sequence[Transcript], scored: Sequence[Transcript], texts: Mapping[str, str], feature_set: FeatureSet
) -> Eligible:
    """Which transcripts may become demos: all labels, a text on this route, and nothing shared with a scored transcript.

    Args:
        pool: The pool part.
        scored: All transcripts that are or will be scored.
        texts: Id to the text that the route reads; an id may be absent.
        feature_set: The questions.

    Raises:
        InputError: None is left; the message counts the reasons.
    """
    held = Leaks.of(scored)
    scored_texts = {texts[t.id] for t in scored if t.id in texts}
    kept: dict[str, Transcript] = {}
    left_out: dict[str, int] = {}
    for transcript in sorted(pool, key=lambda t: t.id):
        text = texts.get(transcript.id)
        if any(transcript.labels.get(i) is None for i in feature_set.ids):
            reason = "a label is blank"
        elif text is None:
            reason = "no text on this route"
        elif held.has(transcript) or text in scored_texts:
            reason = "shares id, group or text with a scored transcript"
        elif text in kept:
            reason = "the same text as another of the pool"
        else:
            kept[text] = transcript
            continue
        left_out[reason] = left_out.get(reason, 0) + 1
    if not kept:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "the pool is empty"
        raise InputError(f"no transcript of the pool can be a demo ({reasons}); label the pool or make another split")
    found = tuple(kept.values())
    return Eligible(found, left_out, tuple(i for i in feature_set.ids if not any(t.labels[i] for t in found)))
