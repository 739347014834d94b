"""A bundle scored on labelled data: answered by its own steps, and described, scored, logged and written as any other run.

A bundle is asked as it was measured: the route, the models, the format and the demos are its own, and an option that says
otherwise is refused. Its demos must not be among the transcripts that are scored; those of an index are withheld from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..data.persian import fingerprint
from ..data.store import Store
from ..data.transcripts import Dataset, Transcript
from ..engines.catalogue import load_catalogue
from ..engines.protocol import Engine, ModelIdentity
from ..engines.slots import each
from ..errors import InputError
from ..eval.answered import Answered, ProgramFacts
from ..eval.arm import Advance, ArmSettings
from ..eval.job import Job, Outcome, Prepared, finish, prepare
from ..eval.models import ModelRecord
from ..programs.builtin import BUILT_IN
from ..programs.demos import Leaks
from ..programs.pipeline import Extraction
from ..programs.translation import Translation
from ..signatures.features import FeatureSet
from .batch import Kin, Read, answered, check_english, comes_from, model_change, opened, opened_embedder, translated
from .bundle import MANIFEST, Bundle, is_zip
from .manifest import DemoEntry, ExtractStep, Slot, TranslateStep

_LISTED = 5


def names_bundle(program: str) -> bool:
    """Whether a --program is a bundle: a folder, or a file that ends in .balin.

    Raises:
        InputError: It is the folder of a run.
    """
    path = Path(program)
    if program in BUILT_IN or not (path.is_dir() or is_zip(path)):
        return False
    if (path / "program.json").is_file() and not (path / MANIFEST).exists():
        raise InputError(
            f"--program {path}: is the folder of a run; give its program file, {path / 'program.json'}, or a bundle"
        )
    return True


def settings_of(bundle: Bundle, given: Mapping[str, Any]) -> ArmSettings:
    """The settings of a bundle's arm.

    Args:
        bundle: Says all of them.
        given: The options that the user gave, by the names of `ArmSettings`; those that he did not give are not in it.

    Raises:
        InputError: One of them contradicts the bundle.
    """
    manifest, step = bundle.manifest, bundle.extraction
    own_words = None if bundle.translation is None else "one of its own"
    translator = None if bundle.translation is None else bundle.model(bundle.translation).name
    own: dict[str, Any] = {
        "model": bundle.model(step).name,
        "route": manifest.route,
        "english": "given" if manifest.reads == "english" else "model",
        "translator": translator,
        "translator_program": own_words,
        "format": step.format,
        "language": step.language,
        "demos": _shown(step),
    }
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name not in own:
            raise InputError(f"{option}: a bundle draws nothing, so it would have no effect; leave it out")
        if not _equal(name, value, own[name]):
            has = "none" if own[name] is None else own[name]
            raise InputError(
                f"{option} {value} contradicts the bundle {bundle.path}, which has {has}. A bundle is asked as it was measured: "
                f"leave {option} out, or evaluate a program (--program) with other settings"
            )
    return ArmSettings(
        model=own["model"],
        program=str(bundle.path),
        route=manifest.route,
        english="given" if manifest.reads == "english" else "model",
        translator=translator,
    )


def check_feature_set(bundle: Bundle, feature_set: FeatureSet) -> None:
    """Refuse a feature set that is not the bundle's, which holds its own.

    Raises:
        InputError: It is another.
    """
    if feature_set.hash != bundle.feature_set.hash:
        raise InputError(
            f"--features {feature_set.id}: is not the feature set of the bundle {bundle.path}, {bundle.feature_set.id} "
            f"({bundle.feature_set.hash[:12]}); a bundle holds its own: leave --features out"
        )


def score_bundle(
    bundle: Bundle, job: Job, *, say: Callable[[str], None] = lambda _: None, advance: Advance = lambda *_: None
) -> Outcome:
    """Answer by a bundle, score and write one run.

    Args:
        bundle: The program with its models.
        job: What to do; its arm is `settings_of` the bundle, its feature set the bundle's.
        say: Told in a sentence what a user should know on the way.
        advance: Told (phase, done, of).

    Raises:
        InputError: Something the user gave cannot be used, or a demo of the bundle would be scored.
        EngineUnavailable: No model to ask, or another one; what was answered is in the store.
    """
    ready = prepare(job)
    work = _Scoring(bundle, job, ready, say, advance)
    made = work.answered()
    # With another model the bundle's program was neither chosen nor scored.
    return finish(job, ready, made, None if work.changed else past_of_bundle(bundle))


def past_of_bundle(bundle: Bundle) -> dict[str, Any]:
    """How the bundle's program was chosen, and its scores on dev, as a run keeps them."""
    manifest = bundle.manifest
    dev = manifest.on_dev()
    return {
        "chosen": [c.model_dump(mode="json") for c in manifest.chosen],
        "dev": None if dev is None else dev.model_dump(mode="json"),
    }


@dataclass
class _Scoring:
    """The work of one bundle on the transcripts of one job."""

    bundle: Bundle
    job: Job
    ready: Prepared
    say: Callable[[str], None]
    advance: Advance
    notes: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    changed: bool = False

    def answered(self) -> Answered:
        """The answers for all transcripts: translated first, with one model loaded, and then read, with the other."""
        bundle, scored = self.bundle, self.ready.scored
        check_english(bundle, scored)
        self._check_demos()
        store = Store(self.job.out / "store")
        embedder = opened_embedder(bundle, self.job.engines)
        kin = Kin.of(bundle, self.ready.dataset)
        translator, translations = self._translations(store)
        self._refuse(
            [i for i, t in translations.items() if t.text and fingerprint(t.text) in self._texts(bundle.extraction)]
        )
        with self._opened(bundle.extraction) as engine:
            read = each(
                engine,
                scored,
                lambda t: answered(bundle, engine, store, t, translations.get(t.id), embedder, kin),
                partial(self.advance, "extract"),
            )
            identity = engine.identity
        manifest = bundle.manifest
        return Answered(
            transcripts=scored,
            extractions=tuple(_extraction(r, translations.get(t.id)) for t, r in zip(scored, read, strict=True)),
            program=_facts(bundle),
            identity=identity,
            translator=translator,
            engine_note="; ".join(dict.fromkeys(self.told)),
            demos=tuple(d.id for d in _own_demos(bundle)),
            bundle={"path": str(bundle.path), "sha256": bundle.hash, "run": manifest.run},
            notes=tuple(self.notes),
        )

    def _translations(self, store: Store) -> tuple[dict[str, Any] | None, dict[str, Translation]]:
        """What `run.json` says of the translator, and a translation for each id; (None, {}) where nothing is translated."""
        step = self.bundle.translation
        if step is None:
            return None, {}
        with self._opened(step) as engine:
            work = partial(translated, step, self.bundle.model(step), engine, store)
            made = each(engine, self.ready.scored, work, partial(self.advance, "translate"))
            # A bundle keeps what its translating program says, and not what it was called.
            program = {"name": "of the bundle", "hash": step.hash, "demos": len(demo_texts(step))}
            described = {**engine.identity.to_dict(), "program": program}
        return described, {t.id: m for t, m in zip(self.ready.scored, made, strict=True)}

    @contextmanager
    def _opened(self, step: TranslateStep | ExtractStep) -> Iterator[Engine]:
        """The engine of a step; its model is the bundle's and the one that the folder of runs began with."""
        job = self.job
        models = ModelRecord(job.out / "models.json", accept_change=job.accept_model_change)
        accept = job.accept_model_change
        with opened(self.bundle, step, job.engines, accept_model_change=accept, say=self._tell) as engine:
            models.check(engine.identity)
            self._note_change(engine.identity, step)
            yield engine

    def _note_change(self, found: ModelIdentity, step: TranslateStep | ExtractStep) -> None:
        changed = model_change(found, self.bundle.model(step))
        if changed is not None:
            self.changed = True
            self.notes.append(
                f"{changed[0].upper()}{changed[1:]}: these are the scores of the bundle's prompt with this model."
            )

    def _check_demos(self) -> None:
        """Refuse to score a transcript that a demo shares text, id or group with; ids say something in the bundle's own data only.

        The demos of an index need no refusal: whichever shares id, group or text with a transcript is withheld from it, as where
        the program was measured (`runner.withheld`).
        """
        bundle, scored = self.bundle, self.ready.scored
        texts = self._texts(bundle.extraction)
        if bundle.translation is not None:
            # A worked translation shows an English text too, which may be the one that comes with the data.
            made = (m.content("") for m in bundle.translation.messages if m.role == "assistant")
            texts |= self._texts(bundle.translation) | {fingerprint(text) for text in made}
        shared = [t.id for t in scored if any(fingerprint(x) in texts for x in (t.text, t.english) if x)]
        known, strangers = _demos_in(bundle, self.ready.dataset)
        marks = Leaks.of(known)
        shared += [t.id for t in scored if marks.has(t) and t.id not in shared]
        self._refuse(shared)
        same_id = [t.id for t in scored if t.id in strangers]
        if same_id:
            self.notes.append(
                f"{len(same_id)} of the transcripts have the id of a demo of the bundle, which comes from another file and has "
                "another text; they are taken for other calls."
            )

    def _refuse(self, shared: Sequence[str]) -> None:
        if shared:
            listed = f"{', '.join(shared[:_LISTED])}{', …' if len(shared) > _LISTED else ''}"
            raise InputError(
                f"{self.bundle.path}: its demos share id, group or text with {len(shared)} transcripts to be scored ({listed}); "
                "score a part they are not in (--part), or other data"
            )

    def _texts(self, step: TranslateStep | ExtractStep) -> set[str]:
        return {fingerprint(text) for text in demo_texts(step)}

    def _tell(self, text: str) -> None:
        self.told.append(text)
        self.say(text)


def demo_texts(step: TranslateStep | ExtractStep) -> list[str]:
    """The texts of a step's worked examples: what stands in each earlier turn of the user where the last has its slot."""
    parts = step.messages[-1].parts
    place = next(i for i, part in enumerate(parts) if isinstance(part, Slot))
    before, after = ("".join(p for p in some if isinstance(p, str)) for some in (parts[:place], parts[place + 1 :]))
    turns = [m.content("") for m in step.messages[:-1] if m.role == "user"]
    return [turn.removeprefix(before).removesuffix(after) for turn in turns]


def _shown(step: ExtractStep) -> int:
    """Most demos in a prompt."""
    return len(demo_texts(step)) if step.index is None else step.index.count


def _own_demos(bundle: Bundle) -> tuple[DemoEntry, ...]:
    """What the manifest says of the demos that every text is shown; those of an index and the translator's are not among them."""
    step = bundle.extraction
    return () if step.index is not None else bundle.manifest.demos[: len(demo_texts(step))]


def _facts(bundle: Bundle) -> ProgramFacts:
    """What a run says of the bundle's program."""
    program, step = bundle.manifest.program, bundle.extraction
    index = step.index
    return ProgramFacts(
        name=program.name,
        hash=program.hash,
        asked=step.hash,
        language=step.language,
        format=step.format,
        thresholds=step.thresholds,
        shown=_shown(step),
        chosen_from=None if index is None else len(index.turns),
        embedder=None if index is None else index.embedder.identity.to_dict(),
        votes=None if step.votes is None else step.votes.votes,
    )


def _demos_in(bundle: Bundle, dataset: Dataset) -> tuple[list[Transcript], set[str]]:
    """The bundle's demos that are transcripts of these data; and the ids of those that come from another file."""
    known, strangers = [], set()
    index = bundle.extraction.index
    # Those of an index are the first, as the program then shows no others; they are withheld and not refused.
    for demo in bundle.manifest.demos[0 if index is None else len(index.turns) :]:
        found = dataset.by_id.get(demo.id)
        if comes_from(bundle, demo, dataset):
            known += [] if found is None else [found]
        else:
            strangers.add(demo.id)
    return known, strangers


def _extraction(read: Read, translation: Translation | None) -> Extraction:
    return Extraction(
        answers=read.answers,
        telemetry=read.telemetry,
        seconds=read.seconds,
        failure=read.failure,
        stored=read.stored,
        translation=translation,
        detail=read.detail,
    )


def _equal(name: str, given: Any, own: Any) -> bool:
    """Whether an option says what the bundle says; a model may be named by any of its names in the catalogue.

    A file of a translating program never does: a bundle holds what such a program says, and no file.
    """
    if name == "translator_program":
        return False
    if given == own or name not in ("model", "translator") or own is None:
        return bool(given == own)
    entry = load_catalogue().find(given)
    return entry is not None and entry == load_catalogue().find(own)
