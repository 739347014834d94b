"""The space of a search: what can be chosen, and what a choice depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..data.store import canonical
from ..errors import InputError
from ..programs.formats import FORMATS
from ..programs.pipeline import English, Route
from ..programs.votes import TEMPERATURE, Votes
from ..signatures.features import FeatureSet
from ..signatures.wording import DEFAULT, INSTRUCTIONS
from .strategies import BASELINES, study, zero_shot

# MIPROv2 is a search of its own, and not a point of another.
SEARCHED = ("random", "labeled", "bootstrap", "random-search", "coverage", "nearest")
# The formats that give P(true), which thresholds need.
WITH_P = ("json", "probe")
# Read without writing anything: there is nothing to sample, so there are no votes.
UNVOTED = "probe"
# Stands for a translator that is the arm's own model.
OWN = "the same model"

Value: TypeAlias = str | int | bool
Choices: TypeAlias = Mapping[str, Value]
# A yes-or-no question of the space: a choice, or decided.
Switch = Literal["search", "on", "off"]


@dataclass(frozen=True)
class Space:
    """What a search may choose from; a dimension of one choice is fixed.

    Attributes:
        models: Model names.
        routes: `direct` and `translated`.
        english: Where the translated route's text comes from.
        translators: Translating models; empty where each model translates for itself.
        languages: Of the prompt.
        formats: Answer formats of all programs but the study's, whose format is its own.
        strategies: Of `SEARCHED`; the baselines are added.
        demos: Numbers of demos.
        draws: How many draws of the demos there are for each strategy and number.
        instructions: Names of wordings: those of `signatures.wording.INSTRUCTIONS` and those of `texts`. The study has its own.
        texts: Further wordings, name to text.
        votes: Numbers of sampled answers that vote; 1 is one greedy answer. Only for formats that are written.
        temperature: Of sampled answers.
        thresholds: Whether thresholds on P(true) are a choice, always fitted where there is a P(true), or never.
        definitions: Whether the features' definitions in the prompt are a choice, always there, or never. The study has none.
    """

    models: tuple[str, ...]
    routes: tuple[Route, ...] = ("direct",)
    english: English = "model"
    translators: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    formats: tuple[str, ...] = ("probe", "json", "present", "lines")
    strategies: tuple[str, ...] = ("random", "bootstrap", "coverage")
    demos: tuple[int, ...] = (4, 8)
    draws: int = 3
    instructions: tuple[str, ...] = (DEFAULT,)
    texts: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[int, ...] = (1,)
    temperature: float = TEMPERATURE
    thresholds: Switch = "search"
    definitions: Switch = "on"

    def dimensions(self, chosen: Choices) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """Name and choices of each dimension, in order; some depend on what was chosen before.

        Args:
            chosen: Read while the dimensions are walked: the caller adds each choice before it asks for the next.
        """
        yield "model", self.models
        yield "route", self.routes
        if chosen["route"] == "translated" and self.english == "model":
            yield "translator", self.translators or (OWN,)
        yield "language", self.languages
        yield "strategy", (*BASELINES, *self.strategies)
        if chosen["strategy"] == study.NAME:
            yield "draw", tuple(range(self.draws))
            return
        yield "instructions", self.instructions
        if self.definitions != "on":
            yield "definitions", (False,) if self.definitions == "off" else (True, False)
        yield "format", self.formats
        if chosen["format"] != UNVOTED:
            yield "votes", self.votes
        if chosen["strategy"] != zero_shot.NAME:
            yield "demos", self.demos
            yield "draw", tuple(range(self.draws))
        if (chosen["format"] in WITH_P or int(chosen.get("votes", 1)) > 1) and self.thresholds != "off":
            yield "thresholds", (True,) if self.thresholds == "on" else (False, True)

    def configurations(self) -> Iterator[dict[str, Value]]:
        """All of them, in order."""
        return self._expand({})

    def _expand(self, chosen: dict[str, Value]) -> Iterator[dict[str, Value]]:
        for name, choices in self.dimensions(chosen):
            if name not in chosen:
                for choice in choices:
                    yield from self._expand({**chosen, name: choice})
                return
        yield chosen

    def baselines(self) -> tuple[dict[str, Value], ...]:
        """Zero-shot and the study's protocol with the first of everything else: what is tried first."""
        return tuple(next(self._expand_with("strategy", name)) for name in BASELINES)

    def _expand_with(self, name: str, value: Value) -> Iterator[dict[str, Value]]:
        return (c for c in self.configurations() if c[name] == value)

    def check(self, feature_set: FeatureSet) -> None:
        """Refuse what is empty, unknown, given twice or would have no effect.

        Raises:
            InputError: The message names the option.
        """
        for option, values, known in (
            ("--model", self.models, None),
            ("--route", self.routes, ("direct", "translated")),
            ("--language", self.languages, feature_set.languages),
            ("--format", self.formats, tuple(FORMATS)),
            ("--strategy", self.strategies, SEARCHED),
            ("--demos", self.demos, None),
            ("--instructions", self.instructions, (*INSTRUCTIONS, *self.texts)),
            ("--votes", self.votes, None),
        ):
            if not values:
                raise InputError(f"{option}: at least one is needed")
            if len(set(values)) < len(values):
                raise InputError(f"{option}: {', '.join(map(str, values))}: one is given twice")
            unknown = [v for v in values if known is not None and v not in known]
            if unknown:
                raise InputError(f"{option}: there is no {unknown[0]!r}; there are: {', '.join(known or ())}")
        if self.draws < 1 or min(self.demos) < 1:
            raise InputError("--draws and --demos must be at least 1; zero-shot is always tried")
        self._check_votes()
        if "translated" not in self.routes and (self.translators or self.english == "given"):
            option = "--translator" if self.translators else "--english given"
            raise InputError(f"{option} goes with --route translated; the direct route reads the source text")
        if self.translators and self.english == "given":
            raise InputError("--translator and --english given contradict each other: given English is not translated")

    def _check_votes(self) -> None:
        if self.votes == (1,):
            if self.temperature != TEMPERATURE:
                raise InputError("--temperature is that of sampled answers, which vote; it goes with --votes above 1")
            return
        if self.formats == (UNVOTED,):
            raise InputError(
                "--votes: the format probe reads P(true) and writes nothing that could vote; add a written format"
            )
        for number in self.votes:
            if number != 1:
                Votes(number, self.temperature)


def key(chosen: Choices) -> str:
    """One text for equal configurations."""
    return canonical(dict(chosen)).decode()


def describe(chosen: Choices) -> str:
    """A configuration in a few words."""
    words = [str(chosen["model"]), str(chosen["route"])]
    if "translator" in chosen:
        words.append(f"by {chosen['translator']}")
    words += [str(chosen["language"]), str(chosen.get("format", "lines")), str(chosen["strategy"])]
    if "demos" in chosen:
        words.append(f"{chosen['demos']} demos")
    if "draw" in chosen:
        words.append(f"draw {chosen['draw']}")
    if chosen.get("instructions", DEFAULT) != DEFAULT:
        words.append(f"instructions {chosen['instructions']}")
    if not chosen.get("definitions", True):
        words.append("no definitions")
    if int(chosen.get("votes", 1)) > 1:
        words.append(f"{chosen['votes']} votes")
    if chosen.get("thresholds"):
        words.append("thresholds")
    return ", ".join(words)
