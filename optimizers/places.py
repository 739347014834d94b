"""Where the configurations of a search are asked: one model and route open at a time, opened when a trial needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from ..data.store import key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.embedding import open_embedder
from ..eval.arm import Advance, ArmSettings
from ..programs.builtin import BUILT_IN
from ..programs.extractor import Extractor
from ..programs.pipeline import Extraction
from ..programs.votes import Votes
from ..signatures.wording import DEFAULT, instructions
from .bench import Bench
from .budget import Meter
from .ground import Ground
from .plan import Plan
from .proposals import Proposer
from .room import Rates, Room, measured_rates
from .space import OWN, Choices, Space
from .strategies import STRATEGIES, Candidate, Eligible, Setting, eligible, study, zero_shot

# So many answers of zero-shot tell how many tokens a character has.
_MEASURED = 8


@dataclass
class Place:
    """One model and route, open.

    Attributes:
        name: Of model, route and translator.
        plan: What is wanted.
        bench: Asks.
        order: The transcripts that trials are scored on.
        texts: Id to the text that the route reads, of pool and dev.
        usable: The pool's transcripts that may become demos.
        meter: Told every answer that is needed.
        space: Has the wordings and the temperature.
    """

    name: str
    plan: Plan
    bench: Bench
    order: Sequence[Transcript]
    texts: dict[str, str]
    usable: Eligible
    meter: Meter
    space: Space
    _rates: dict[tuple[str, str, bool], Rates] = field(default_factory=dict)

    def answers(self, program: Extractor, transcripts: Sequence[Transcript], phase: str) -> list[Extraction]:
        """Answers of a program, stored or asked for now.

        Raises:
            EngineUnavailable: What was answered is in the store.
        """
        found = self.bench.answers(program, transcripts, phase)
        asked = program.asking_hash()
        for transcript, made in zip(transcripts, found, strict=True):
            if made.failure is None:
                short = key_of(place=self.name, asked=asked, id=transcript.id)[:16]
                self.meter.add(short, made.telemetry.requests, made.telemetry.generated_tokens)
        return found

    def candidate(self, chosen: Choices) -> Candidate | None:
        """The program of a configuration; None where its strategy makes none."""
        draw, name = int(chosen.get("draw", 0)), str(chosen["strategy"])
        setting = self._setting(chosen)
        if name == study.NAME:
            return next(study.candidates(replace(setting, seed=setting.seed + draw)), None)
        made = STRATEGIES[name](replace(setting, candidates=draw + 1))
        found = next(islice(made, draw, None), None)
        votes = int(chosen.get("votes", 1))
        if found is not None and votes > 1:
            # Now, and not before: what a strategy asks to choose demos is one greedy answer each, shared by all votes.
            found.program.votes = Votes(votes, self.space.temperature)
        return found

    def _setting(self, chosen: Choices) -> Setting:
        language = str(chosen["language"])
        answer_format = str(chosen.get("format", BUILT_IN["study"].build(self.plan.feature_set, language).format))

        definitions = bool(chosen.get("definitions", True))

        def plain() -> Extractor:
            return Extractor(
                self.plan.feature_set, name="few-shot", format=answer_format, language=language, definitions=definitions
            )

        def build() -> Extractor:
            program = plain()
            signature = program.predict.signature
            program.predict.signature = signature.with_instructions(self._instructions(chosen, language))
            return program

        demos = 0 if chosen["strategy"] == zero_shot.NAME else int(chosen.get("demos", 0))
        needed = chosen["strategy"] != zero_shot.NAME
        longest = max(self.texts.values(), key=len)
        return Setting(
            build=build,
            study=lambda: BUILT_IN["study"].build(self.plan.feature_set, language),
            pool=self.usable.pool,
            texts=self.texts,
            answers=lambda asked, transcripts: self.answers(asked, transcripts, "the pool"),
            score=lambda asked, phase: self.bench.score(asked, self.order, phase).value,
            proposer=Proposer(self.bench.engine, self.bench.store),
            room=Room(
                num_ctx=self.bench.engine.identity.num_ctx,
                rates=self._measured(plain, (language, answer_format, definitions)) if needed else Rates(0.0, 0.0),
                longest=longest,
            ),
            demos=demos,
            candidates=1,
            seed=self.plan.seed,
            embedder=partial(open_embedder, self.plan.embedder, self.plan.engines),
        )

    def _instructions(self, chosen: Choices, language: str) -> str:
        name = str(chosen.get("instructions", DEFAULT))
        if name in self.space.texts:
            return self.space.texts[name]
        return instructions(self.plan.feature_set, language, name)

    def _measured(self, build: Callable[[], Extractor], kind: tuple[str, str, bool]) -> Rates:
        """Tokens of a character, from a few answers of the program without demos."""
        known = self._rates.get(kind)
        if known is None:
            program = build()
            sample = [t for t in self.order if t.id in self.texts][:_MEASURED]
            answered = self.answers(program, sample, "measuring tokens")
            costs = [
                (self.texts[t.id], e.telemetry) for t, e in zip(sample, answered, strict=True) if e.failure is None
            ]
            known = self._rates[kind] = measured_rates(program, costs)
        return known


@dataclass
class Places:
    """Opens places, and closes the last one before the next.

    Attributes:
        plan: What is wanted.
        space: What is searched.
        dataset: The data with their parts.
        order: The transcripts that trials are scored on.
        folder: The search's.
        meter: Told every answer that is needed.
        say: Told in a sentence what a user should know.
        advance: Told (phase, done, of).
    """

    plan: Plan
    space: Space
    dataset: Dataset
    order: Sequence[Transcript]
    folder: Path
    meter: Meter
    say: Callable[[str], None]
    advance: Advance
    _stack: ExitStack = field(default_factory=ExitStack)
    _open: Place | None = None
    _said: set[str] = field(default_factory=set)

    def arm(self, chosen: Choices, program: str = "zero-shot") -> ArmSettings:
        """The arm of a configuration."""
        translator = chosen.get("translator", OWN)
        return ArmSettings(
            model=str(chosen["model"]),
            program=program,
            route="direct" if chosen["route"] == "direct" else "translated",
            english="model" if chosen["route"] == "direct" else self.plan.english,
            translator=None if translator == OWN else str(translator),
            translator_program=self.plan.translator_program if "translator" in chosen else None,
        )

    def at(self, chosen: Choices) -> Place:
        """The place of a configuration, open.

        Raises:
            EngineUnavailable: No engine has the model.
            InputError: No transcript of the pool can be a demo.
        """
        arm = self.arm(chosen)
        name = key_of(model=arm.model, route=arm.route, english=arm.english, translator=arm.translator_model)
        if self._open is None or self._open.name != name:
            self.close()
            self._open = self._place(name, arm)
        place = self._open
        for identifier, made in place.bench.translations.items():
            if made.failure is None:
                short = key_of(translator=arm.translator_model, id=identifier)[:16]
                self.meter.add(short, made.telemetry.requests, made.telemetry.generated_tokens)
        return place

    def _say_once(self, text: str) -> None:
        """Places are opened again and again; what is to be known of one is said when it is new."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def close(self) -> None:
        """Close the engine that is open."""
        self._open = None
        self._stack.close()

    def _place(self, name: str, arm: ArmSettings) -> Place:
        ground = Ground(self.plan, arm, self.dataset, self.folder, self._say_once, self.advance)
        bench = self._stack.enter_context(ground.bench())
        asked = [*self.dataset.part("pool"), *self.dataset.part("dev")]
        texts = {t.id: text for t in asked if (text := bench.text(t)) is not None}
        others = [t for t in self.dataset if t.part in ("dev", "test")]
        usable = eligible(self.dataset.part("pool").transcripts, others, texts, self.plan.feature_set)
        ground.warnings(usable, 0)
        return Place(name, self.plan, bench, self.order, texts, usable, self.meter, self.space)
