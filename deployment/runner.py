"""A bundle's steps at work on one text. It needs the bundle and an engine: no DSPy, no data file, no YAML.

The messages are those that the program made, byte for byte; answers are read by the same formats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.store import canonical
from ..engines.embedding import Embedder
from ..engines.protocol import ChatRequest, Completion, Engine, Message, Telemetry
from ..errors import InputError
from ..programs.decisions import decide
from ..programs.formats import Prompt, Task, answer_format
from ..programs.retrieval import marks_of
from ..programs.translation import token_limit
from ..programs.votes import count_votes
from ..signatures.answers import Answer
from ..signatures.features import FeatureSet
from .manifest import ExtractStep, ModelEntry, Step, TranslateStep

if TYPE_CHECKING:
    from ..programs.retrieval import Vectors


@dataclass(frozen=True, slots=True)
class Extracted:
    """What the model said of one text.

    Attributes:
        answers: The model's own, for every feature in the set's order; `decided` applies the thresholds.
        telemetry: What they cost.
    """

    answers: Mapping[str, Answer]
    telemetry: Telemetry


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step with an index must know of a text to choose its demos.

    Attributes:
        direction: Its embedding, [d].
        withheld: The demos that must not be chosen.
    """

    direction: Vectors
    withheld: tuple[int, ...] = ()


def seen(step: ExtractStep, embedder: Embedder | None, text: str, withheld: tuple[int, ...] = ()) -> Seen | None:
    """A text as the step's index needs it; None where the step has none.

    Raises:
        InputError: There is an index and no embedder.
        CallError: The text cannot be embedded.
    """
    if step.index is None:
        return None
    if embedder is None:
        raise InputError("the bundle chooses its demos by embeddings, and no embedder was opened")
    return Seen(embedder.embed([text])[0], withheld)


def withheld(step: ExtractStep, texts: Sequence[str | None], kin: Collection[int] = ()) -> tuple[int, ...]:
    """The demos that a transcript must not see, in order: those that share a text with it, and its `kin`.

    As `programs.extractor.Extractor.withheld`; but a bundle does not hold by what id or patient its demos are recognised.
    """
    if step.index is None:
        return ()
    return tuple(sorted({*step.index.neighbours.withheld(marks_of(texts)), *kin}))


def messages(step: Step, text: str, known: Seen | None = None) -> tuple[Message, ...]:
    """The messages of a step for a text.

    Args:
        step: The step.
        text: What it reads.
        known: See `seen`; without it a step shows the demos of its messages only.
    """
    fixed = [Message(m.role, m.content(text)) for m in step.messages]
    turns: list[Message] = []
    if known is not None and isinstance(step, ExtractStep) and step.index is not None:
        for chosen in step.index.neighbours.choose(text, known.direction, known.withheld):
            user, assistant = step.index.turns[chosen]
            turns += [Message("user", user), Message("assistant", assistant)]
    return (*fixed[:-1], *turns, fixed[-1])


def messages_hash(step: Step, text: str, known: Seen | None = None) -> str:
    """SHA-256 (hex) of a step's messages for a text: of the JSON `[[role, content], …]`, without spaces, in UTF-8."""
    return hashlib.sha256(canonical([[m.role, m.content] for m in messages(step, text, known)])).hexdigest()


def prompt(step: Step, text: str, known: Seen | None = None) -> Prompt:
    """All that an engine needs for a step on a text."""
    if isinstance(step, TranslateStep):
        limit = token_limit(text, step.max_tokens)
        return Prompt(messages(step, text), limit, repeat_penalty=step.repeat_penalty)
    return Prompt(
        messages=messages(step, text, known),
        max_tokens=step.max_tokens,
        schema=step.json_schema,
        top_logprobs=step.top_logprobs,
        partial=step.partial,
        probes=step.probes,
    )


def translate(step: TranslateStep, model: ModelEntry, engine: Engine, text: str) -> tuple[str, Telemetry]:
    """The translation of a text.

    Raises:
        CallError: This text could not be translated.
        EngineUnavailable: Nothing further can be asked.
    """
    (completion,) = _ask(engine, prompt(step, text), model)
    return completion.text.strip(), completion.telemetry


def extract(
    step: ExtractStep,
    feature_set: FeatureSet,
    model: ModelEntry,
    engine: Engine,
    text: str,
    known: Seen | None = None,
) -> Extracted:
    """The model's answers for a text; `known` is what `seen` gives.

    Raises:
        CallError: This text could not be read.
        EngineUnavailable: Nothing further can be asked.
    """
    asked, wanted, written = prompt(step, text, known), task(step, feature_set), answer_format(step.format)
    if step.votes is None:
        completions = _ask(engine, asked, model)
        answers = written.read(wanted, completions)
    else:
        votes = step.votes.votes
        sampled = (model.model_copy(update={"temperature": votes.temperature, "seed": s}) for s in votes.seeds)
        completions = [c for options in sampled for c in _ask(engine, asked, options)]
        answers = count_votes([written.read(wanted, [c]) for c in completions])
    return Extracted(answers, sum((c.telemetry for c in completions), Telemetry()))


def decided(step: ExtractStep, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """The answers by the step's thresholds."""
    return decide(answers, step.thresholds)


def task(step: ExtractStep, feature_set: FeatureSet) -> Task:
    """What was asked, as the formats need it to read an answer."""
    return Task(step.instructions, feature_set, step.language, step.definitions, step.max_tokens)


def _ask(engine: Engine, asked: Prompt, model: ModelEntry) -> list[Completion]:
    """One completion, or one for each probe; as `programs.adapter.ask`, which cannot be imported without DSPy."""
    if asked.probes:
        rendered = engine.render(asked.messages)
        return [engine.read(rendered + probe, top_logprobs=asked.top_logprobs) for probe in asked.probes]
    request = ChatRequest(
        messages=asked.messages,
        max_tokens=asked.max_tokens,
        schema=asked.schema,
        top_logprobs=asked.top_logprobs,
        temperature=model.temperature,
        seed=model.seed,
        partial=asked.partial,
        repeat_penalty=asked.repeat_penalty,
    )
    return [engine.chat(request)]
