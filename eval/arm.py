"""An arm at work: one program × one model × one route over one part of a data file.

Order of work: all translations first, with one model loaded, then all extractions, with the other; a prediction is stored
the moment it exists, so the same settings run again ask only for what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..data.store import Store
from ..data.transcripts import Transcript
from ..engines.embedding import open_embedder
from ..engines.lm import language_model
from ..engines.opening import EngineSettings, open_engine
from ..engines.protocol import Engine, ModelIdentity
from ..engines.slots import each
from ..errors import InputError
from ..programs.builtin import BUILT_IN
from ..programs.demos import choose_demos, refuse_scored_demos, source_and_english
from ..programs.extractor import Extractor
from ..programs.pipeline import English, Extraction, Pipeline, Route, stored_translation
from ..programs.saving import load_program
from ..programs.translation import Translation
from ..programs.translator import Translator
from ..programs.translator_file import translator_of
from ..signatures.features import FeatureSet
from ..signatures.wording import INPUT
from .models import ModelRecord

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ArmSettings:
    """What an arm is.

    Attributes:
        model: The extractor's model.
        program: `study`, `zero-shot`, `few-shot`, or the path of a program file.
        route: `direct` or `translated`.
        english: Where the translated route's text comes from: `model` or `given`.
        translator: The translator's model; by default the extractor's.
        translator_program: The path of a translator's file; by default the translator is Balin's own.
        format: The answer format, in place of the program's own.
        language: The language of the prompt, for built-in programs; "en" unless told otherwise.
        demos: How many worked examples, in place of the built-in program's own number.
        seed: For drawing the demos.
    """

    model: str
    program: str = "study"
    route: Route = "direct"
    english: English = "model"
    translator: str | None = None
    translator_program: str | None = None
    format: str | None = None
    language: str | None = None
    demos: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Refuse settings that would have no effect.

        Raises:
            InputError: Two of them contradict each other.
        """
        translated, built_in = self.route == "translated", self.program in BUILT_IN
        translating = "--translator" if self.translator else "--translator-program" if self.translator_program else None
        if not translated and (translating or self.english == "given"):
            option = translating or "--english given"
            raise InputError(f"{option} goes with --route translated; the direct route reads the source text")
        if translating and self.english == "given":
            raise InputError(
                f"{translating} and --english given contradict each other: given English is not translated"
            )
        if self.program == "zero-shot" and self.demos:
            raise InputError("zero-shot takes no demos; use --program few-shot, or --program study")
        if not built_in and (self.demos is not None or self.language is not None):
            option = "--demos" if self.demos is not None else "--language"
            raise InputError(
                f"{option} goes with a built-in program ({', '.join(BUILT_IN)}); a program file holds its own"
            )

    @property
    def draws(self) -> bool:
        """Whether demos are drawn for it, which is what its seed is for."""
        return self.program in BUILT_IN and self.program != "zero-shot" and self.demos != 0

    @property
    def translator_model(self) -> str | None:
        """The model that translates, or None where nothing is translated."""
        return (self.translator or self.model) if self.route == "translated" and self.english == "model" else None


@dataclass(frozen=True)
class ArmResult:
    """What an arm gave.

    Attributes:
        transcripts: Those scored, in order.
        extractions: One for each.
        demos: The transcripts that serve as worked examples; empty for a program file, which holds its own.
        dropped: How many further demos were left out because their translation failed.
        held_out: How many transcripts of the part were not scored because a demo would leak into them.
        extractor: The program as it was asked.
        identity: The extractor's model.
        translator: The translating program and its model, or None.
        engine_note: Which engine was taken and why.
    """

    transcripts: tuple[Transcript, ...]
    extractions: tuple[Extraction, ...]
    demos: tuple[Transcript, ...]
    dropped: int
    held_out: int
    extractor: Extractor
    identity: ModelIdentity
    translator: tuple[Translator, ModelIdentity] | None
    engine_note: str


@dataclass
class Arm:
    """One arm over some transcripts.

    Attributes:
        settings: What the arm is.
        feature_set: The questions.
        store: Where answers are kept.
        engines: How engines are opened.
        models: Which digests this output folder began with.
        candidates: The transcripts that demos may come from.
        say: Told, in a sentence, what a user should know.
        advance: Told (phase, done, of) as the work goes on; phases are "translate" and "extract".
    """

    settings: ArmSettings
    feature_set: FeatureSet
    store: Store
    engines: EngineSettings
    models: ModelRecord
    candidates: Sequence[Transcript] = ()
    say: Callable[[str], None] = lambda _: None
    advance: Advance = lambda *_: None
    _notes: list[str] = field(default_factory=list)

    def run(self, scored: Sequence[Transcript]) -> ArmResult:
        """Answer these transcripts.

        Raises:
            InputError: Demos are wanted that cannot be had, or a program file would be scored on its own demos.
            EngineUnavailable: The work so far is in the store.
        """
        extractor, program = self._program(), self._translator(scored)
        if (
            self.settings.route == "translated"
            and self.settings.english == "given"
            and not any(t.english for t in scored)
        ):
            wanted = ", ".join(self.feature_set.columns["english"])
            raise InputError(
                f"--english given needs an English text in the data: none of these columns has one: {wanted}"
            )
        demos, kept = self._demos(extractor, scored)
        if not kept:
            raise InputError("nothing is left to score: every transcript shares id, group or text with a demo")
        translator, translations = self._translate(program, [*demos, *kept])
        drawn = len(demos)
        if demos:
            texts = {d.id: self._read_text(d, translations.get(d.id)) for d in demos}
            demos = [d for d in demos if texts[d.id] is not None]
            extractor.set_demos([(texts[d.id] or "", d.labels) for d in demos])
        else:
            self._refuse_leaks(
                extractor, [(t.id, made.text) for t in kept if (made := translations.get(t.id)) and made.text]
            )
        if extractor.index is not None:
            embedder = extractor.index.embedder
            extractor.use_embedder(open_embedder(embedder.name, self.engines, wanted=embedder))
        with opened(self.settings.model, self.engines, self.models, self._note) as engine:
            extractor.set_lm(language_model(engine))
            pipeline = Pipeline(
                extractor,
                store=self.store,
                translator=translator and translator[0],
                route=self.settings.route,
                english=self.settings.english,
            )
            advance = partial(self.advance, "extract")
            done = each(engine, kept, lambda t: pipeline.extract(t, translations.get(t.id)), advance)
            identity = engine.identity
        return ArmResult(
            transcripts=tuple(kept),
            extractions=tuple(done),
            demos=tuple(demos),
            dropped=drawn - len(demos),
            held_out=len(scored) - len(kept),
            extractor=extractor,
            identity=identity,
            translator=translator,
            engine_note="; ".join(dict.fromkeys(self._notes)),
        )

    def _translator(self, scored: Sequence[Transcript]) -> Translator | None:
        """The translating program; None where nothing is translated."""
        if self.settings.translator_model is None:
            return None
        path = self.settings.translator_program
        translator = translator_of(path, self.feature_set)
        refuse_scored_demos(path or "the translator", translator.texts(), source_and_english(scored))
        return translator

    def _translate(
        self, translator: Translator | None, transcripts: Sequence[Transcript]
    ) -> tuple[tuple[Translator, ModelIdentity] | None, dict[str, Translation]]:
        """The translating program with its model, and a translation for each id; (None, {}) where nothing is translated."""
        model = self.settings.translator_model
        if model is None or translator is None:
            return None, {}
        with opened(model, self.engines.for_translating(), self.models, self._note) as engine:
            made = translate_all(engine, translator, self.store, transcripts, partial(self.advance, "translate"))
            return (translator, engine.identity), {t.id: m for t, m in zip(transcripts, made, strict=True)}

    def _program(self) -> Extractor:
        settings = self.settings
        if settings.program in BUILT_IN:
            extractor = BUILT_IN[settings.program].build(self.feature_set, settings.language or "en")
        else:
            extractor = load_program(Path(settings.program), self.feature_set)
        if settings.format is not None:
            extractor.set_format(settings.format)
        return extractor

    def _demos(self, extractor: Extractor, scored: Sequence[Transcript]) -> tuple[list[Transcript], list[Transcript]]:
        settings = self.settings
        if settings.program in BUILT_IN:
            count = BUILT_IN[settings.program].demos if settings.demos is None else settings.demos
            given = settings.route == "translated" and settings.english == "given"
            candidates = [c for c in self.candidates if c.english or not given]
            return choose_demos(candidates, scored, self.feature_set, count, settings.seed)
        self._refuse_leaks(extractor, source_and_english(scored))
        return [], list(scored)

    def _refuse_leaks(self, extractor: Extractor, texts: Iterable[tuple[str, str]]) -> None:
        """Refuse a program file whose demos hold a text that is to be scored."""
        refuse_scored_demos(self.settings.program, (str(d[INPUT]) for d in extractor.predict.demos), texts)

    def _read_text(self, demo: Transcript, translation: Translation | None) -> str | None:
        """The demo's text as the route reads texts: a demo in another language than the transcript teaches the wrong thing.

        None where its translation failed; the demo is then left out, and the run says how many it has.
        """
        if self.settings.route == "direct":
            return demo.text
        return demo.english if self.settings.english == "given" else translation.text if translation else None

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self.say(text)


def translate_all(
    engine: Engine,
    translator: Translator,
    store: Store,
    transcripts: Sequence[Transcript],
    advance: Callable[[int, int], None] = lambda *_: None,
) -> list[Translation]:
    """The translations of these transcripts, in order; from the store where they are there."""
    translator.set_lm(language_model(engine))
    return each(engine, transcripts, lambda t: stored_translation(translator, store, t), advance)


@contextmanager
def opened(model: str, settings: EngineSettings, models: ModelRecord, say: Callable[[str], None]) -> Iterator[Engine]:
    """An engine that is closed at the end, its model's digest compared with the record.

    Raises:
        EngineUnavailable: No engine has the model, or its digest has changed.
    """
    engine = open_engine(model, settings, say=say)
    try:
        models.check(engine.identity)
        yield engine
    finally:
        engine.close()
