"""The batch job: a bundle over a data file, with every answer on the disk the moment it exists.

All texts are translated first, with one model loaded, and then read, with the other. What was answered is kept in a store
beside the output file, so the same command after a power cut asks only for what is not there. Failed calls are not kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..data.corpus import NAME
from ..data.files import private_folder
from ..data.readers import read_dataset
from ..data.store import Store, key_of
from ..data.transcripts import Dataset, Transcript, text_hash
from ..engines.embedding import Embedder, open_embedder
from ..engines.opening import EngineSettings, open_engine
from ..engines.protocol import Engine, ModelIdentity, Telemetry
from ..engines.slots import each
from ..engines.slots import seconds as clock
from ..errors import NO_ENGLISH, CallError, InputError, ModelChanged
from ..eval.scores import ERROR_LIMIT
from ..programs.translation import Translation, check_translation
from ..signatures.answers import ERROR, Answer, State
from ..signatures.features import FeatureSet
from . import runner
from .bundle import Bundle
from .manifest import DemoEntry, ExtractStep, ModelEntry, TranslateStep
from .output import check_ids, check_output, write_answers

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Batch:
    """What is to be done.

    Attributes:
        bundle: The program with its models.
        file: The data file; it needs an id and a text, and no labels.
        out: Where the answers go; its ending says the format. Store and rejects stand beside it.
        engines: How engines are opened. "auto" is the engine that the bundle was measured on, and no `num_ctx` is the bundle's.
        accept_model_change: Take a model with another digest than the bundle's.
        say: Told in a sentence what a user should know.
        advance: Told (phase, done, of); phases are "translate" and "extract".
    """

    bundle: Bundle
    file: Path
    out: Path
    engines: EngineSettings = field(default_factory=EngineSettings)
    accept_model_change: bool = False
    say: Callable[[str], None] = lambda _: None
    advance: Advance = lambda *_: None

    @property
    def store(self) -> Path:
        """The folder of what was answered."""
        return self.out.with_name(f"{self.out.name}.store")

    @property
    def rejects(self) -> Path:
        """The file of rows that cannot be used."""
        return self.out.with_name(f"{self.out.name}.rejects.csv")


@dataclass(frozen=True, slots=True)
class Read:
    """What came of one transcript.

    Attributes:
        answers: By the bundle's thresholds.
        telemetry: What they cost, also when they came from the store.
        failure: The kind of `CallError` that made every answer `error`, or None.
        detail: What it said; no text of the transcript.
        stored: Whether they came from the store.
        seconds: Wall time without loading the model, a share of it where several run at once; the stored one where it was stored.
    """

    answers: dict[str, Answer]
    telemetry: Telemetry = field(default_factory=Telemetry)
    failure: str | None = None
    detail: str | None = None
    stored: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Done:
    """What a batch left.

    Attributes:
        batch: What was to be done.
        dataset: The usable rows and the rejects.
        read: One for each usable row.
        models: The models that answered, by kind of step.
        translations: One for each usable row, where a model translates.
        seconds: Wall time.
    """

    batch: Batch
    dataset: Dataset
    read: tuple[Read, ...]
    models: dict[str, ModelIdentity]
    translations: tuple[Translation, ...]
    seconds: float

    @property
    def failures(self) -> dict[str, int]:
        """Kind of failure to number of transcripts."""
        return dict(sorted(Counter(r.failure for r in self.read if r.failure).items()))

    @property
    def too_many_errors(self) -> bool:
        """Whether over 2 % of the transcripts have a failed call."""
        return sum(self.failures.values()) > ERROR_LIMIT * len(self.read)

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        states = Counter(a.state.value for r in self.read for a in r.answers.values())
        cost = sum((r.telemetry for r in self.read), Telemetry())
        manifest = self.batch.bundle.manifest
        return {
            "out": str(self.batch.out),
            "n": len(self.read),
            "rejects": len(self.dataset.rejects),
            "rejects_file": str(self.batch.rejects),
            "store": str(self.batch.store),
            "bundle": {"path": str(self.batch.bundle.path), "sha256": self.batch.bundle.hash, "run": manifest.run},
            "data": {"name": self.dataset.name, "sha256": self.dataset.sha256},
            "models": {
                kind: model.to_dict() | {"changed": model.digest != manifest.models[kind].digest}  # type: ignore[index]
                for kind, model in self.models.items()
            },
            "answers": {state.value: states[state.value] for state in State},
            "present": {
                i: sum(r.answers[i].state is State.TRUE for r in self.read) for i in self.batch.bundle.feature_set.ids
            },
            "failures": self.failures,
            "translation_warnings": dict(sorted(Counter(w for t in self.translations for w in t.warnings).items())),
            "stored": sum(r.stored for r in self.read),
            "tokens": {"prompt": cost.prompt_tokens, "generated": cost.generated_tokens},
            "engine_seconds": round(cost.engine_seconds, 3),
            "seconds": round(self.seconds, 3),
            "errors_exceeded": self.too_many_errors,
        }


@dataclass(frozen=True)
class Kin:
    """Which demos of a bundle's index are a transcript of the data, or of the same patient.

    Ids and groups say something in the file that the bundle was made with, and in the corpus: two hospitals may both have a
    call 12. There they are found by the ids in the manifest; elsewhere a demo is known by its text alone.
    """

    by_id: Mapping[str, frozenset[int]] = field(default_factory=dict)
    by_group: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle, dataset: Dataset) -> Kin:
        """Those of a bundle in these data."""
        index = bundle.extraction.index
        ids: dict[str, frozenset[int]] = {}
        groups: dict[str, frozenset[int]] = {}
        # Those of an index are the first, as the program then shows no others.
        for place, demo in enumerate(bundle.manifest.demos[: len(index.turns)] if index else ()):
            known = dataset.by_id.get(demo.id)
            if known is not None and comes_from(bundle, demo, dataset):
                ids[known.id] = ids.get(known.id, frozenset()) | {place}
                if known.group is not None:
                    groups[known.group] = groups.get(known.group, frozenset()) | {place}
        return cls(ids, groups)

    def of_transcript(self, transcript: Transcript) -> frozenset[int]:
        """Places in the index."""
        group = frozenset() if transcript.group is None else self.by_group.get(transcript.group, frozenset())
        return self.by_id.get(transcript.id, frozenset()) | group


def comes_from(bundle: Bundle, demo: DemoEntry, dataset: Dataset) -> bool:
    """Whether a demo of a bundle comes from these data, so that its id says something in them."""
    own = dataset.sha256 == bundle.manifest.data.sha256
    return own or (demo.source == "corpus" and dataset.name == NAME)


def run_batch(batch: Batch) -> Done:
    """Read every usable row of a file, and write the answers.

    Raises:
        InputError: The file, the output or an option cannot be used.
        EngineUnavailable: No model to ask, or another one; what was answered is in the store.
    """
    started = time.perf_counter()
    bundle = batch.bundle
    check_output(batch.out, bundle.feature_set.ids)
    if batch.file.exists() and batch.out.exists() and batch.file.samefile(batch.out):
        raise InputError(f"--out {batch.out}: is the data file itself, which would be overwritten; name another")
    if bundle.path.is_dir() and batch.out.parent.resolve() == bundle.path.resolve():
        raise InputError(f"--out {batch.out}: is in the bundle's own folder, where nothing may be added; name another")
    private_folder(batch.out.parent)
    dataset = read_dataset(batch.file, _without_labels(bundle.feature_set), rejects=batch.rejects)
    check_ids(batch.out, [t.id for t in dataset])
    check_english(bundle, dataset.transcripts)
    embedder = opened_embedder(bundle, batch.engines)
    store = Store(batch.store)
    models: dict[str, ModelIdentity] = {}
    translations: list[Translation] = []
    if bundle.translation is not None:
        with _opened(batch, bundle.translation) as engine:
            models["translate"] = engine.identity
            work = partial(translated, bundle.translation, bundle.model(bundle.translation), engine, store)
            translations = each(engine, dataset.transcripts, work, partial(batch.advance, "translate"))
    made = {t.id: translation for t, translation in zip(dataset, translations, strict=False)}
    kin = Kin.of(bundle, dataset)
    with _opened(batch, bundle.extraction) as engine:
        models["extract"] = engine.identity
        read = each(
            engine,
            dataset.transcripts,
            lambda t: answered(bundle, engine, store, t, made.get(t.id), embedder, kin),
            partial(batch.advance, "extract"),
        )
    write_answers(batch.out, bundle.feature_set.ids, ((t.id, r.answers) for t, r in zip(dataset, read, strict=True)))
    return Done(batch, dataset, tuple(read), models, tuple(translations), time.perf_counter() - started)


def check_english(bundle: Bundle, transcripts: Sequence[Transcript]) -> None:
    """Refuse data without any English text where that is what a bundle reads.

    Raises:
        InputError: There is none.
    """
    if bundle.manifest.reads == "english" and not any(t.english for t in transcripts):
        wanted = ", ".join(bundle.feature_set.columns["english"])
        raise InputError(
            f"{bundle.path}: reads an English text that comes with the data, and none of these columns has one: {wanted}"
        )


def _without_labels(feature_set: FeatureSet) -> FeatureSet:
    """The feature set as the reader of unlabelled data needs it: a column named like a feature, or `part`, is any column."""
    return replace(feature_set, features=(), columns={**feature_set.columns, "part": ()})


def _opened(batch: Batch, step: TranslateStep | ExtractStep) -> AbstractContextManager[Engine]:
    return opened(batch.bundle, step, batch.engines, accept_model_change=batch.accept_model_change, say=batch.say)


@contextmanager
def opened(
    bundle: Bundle,
    step: TranslateStep | ExtractStep,
    engines: EngineSettings,
    *,
    accept_model_change: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Engine]:
    """The engine of a step, closed at the end.

    Args:
        bundle: The program with its models.
        step: One of its steps.
        engines: "auto" is the engine that the bundle was measured on, and no `num_ctx` is the bundle's.
        accept_model_change: Take a model with another digest than the bundle's.
        say: Told in a sentence what a user should know.

    Raises:
        ModelChanged: Its digest is not the bundle's.
        EngineUnavailable: No engine has the model.
    """
    wanted = bundle.model(step)
    choice = wanted.engine if engines.choice == "auto" else engines.choice
    settings = replace(engines, choice=choice, num_ctx=engines.num_ctx or wanted.num_ctx)
    engine = open_engine(wanted.name, settings, say=say)
    try:
        changed = model_change(engine.identity, wanted)
        if changed is not None and not accept_model_change:
            raise ModelChanged(
                f"{changed}: {wanted.digest[:19]}… there, {engine.identity.digest[:19]}… here. Its scores and thresholds say "
                "nothing about this one; pull the model that was measured, or say --accept-model-change and evaluate again"
            )
        if changed is not None:
            say(f"warning: {changed}; the bundle's scores do not hold for it")
        yield engine
    finally:
        engine.close()


def model_change(found: ModelIdentity, wanted: ModelEntry) -> str | None:
    """In words, that a model is not the one that a bundle was measured with; None where it is."""
    if found.digest == wanted.digest:
        return None
    other = (
        f", which runs on {found.engine} and was measured on {wanted.engine}" if found.engine != wanted.engine else ""
    )
    return f"{wanted.name} is not the model of the bundle{other}"


def opened_embedder(bundle: Bundle, engines: EngineSettings) -> Embedder | None:
    """What chooses the demos of each text; None where all texts have the same.

    Raises:
        EngineUnavailable: It is not here, it is another one, or on this machine it makes other embeddings.
    """
    step, vector = bundle.extraction, bundle.vector
    if step.index is None:
        return None
    wanted = step.index.embedder.identity
    embedder = open_embedder(wanted.name, engines, wanted=wanted)
    known = runner.seen(step, embedder, vector.text)
    if runner.messages_hash(step, vector.text, known) != vector.messages[-1]:
        raise ModelChanged(
            f"the embedder {wanted.name} chooses other demos for the bundle's test vector than where the bundle was made; its scores "
            "do not hold here. Export the run on a machine like this one"
        )
    return embedder


def _key(
    step: TranslateStep | ExtractStep,
    model: ModelEntry,
    engine: Engine,
    text: str,
    **others: Sequence[int] | Sequence[str],
) -> str:
    """What was asked, of whom, how and about what; `others` that are empty change nothing.

    Named as `programs.pipeline.answer_key` names them, so that reports find them.
    """
    sampling = [model.temperature, model.seed] if model.temperature else []
    apart = {name: list(values) for name, values in others.items() if values}
    return key_of(program=step.hash, model=engine.identity.to_dict(), sampling=sampling, text=text_hash(text), **apart)


def translated(
    step: TranslateStep, model: ModelEntry, engine: Engine, store: Store, transcript: Transcript
) -> Translation:
    """The translation of a transcript, stored or made now."""
    key = _key(step, model, engine, transcript.text)
    record = store.get("translations", key)
    if record is not None:
        return Translation.from_record(record, transcript.text)
    started = clock()
    try:
        text, telemetry = runner.translate(step, model, engine, transcript.text)
    except CallError as error:
        return Translation(None, Telemetry(), failure=error.kind, detail=str(error))
    seconds = clock() - started - telemetry.load_seconds
    made = Translation(text, telemetry, seconds, warnings=check_translation(transcript.text, text))
    store.put("translations", key, {"id": transcript.id, **made.to_record()})
    return made


def answered(
    bundle: Bundle,
    engine: Engine,
    store: Store,
    transcript: Transcript,
    translation: Translation | None,
    embedder: Embedder | None,
    kin: Kin,
) -> Read:
    """The answers for a transcript, stored or asked for now."""
    step, feature_set = bundle.extraction, bundle.feature_set
    if translation is not None:
        text, failure, detail = translation.text, translation.failure, f"its translation failed: {translation.detail}"
    elif bundle.manifest.reads == "english":
        text, failure, detail = transcript.english, NO_ENGLISH, "the data have no English text for it"
    else:
        text, failure, detail = transcript.text, None, ""
    if text is None:
        return Read(dict.fromkeys(feature_set.ids, ERROR), failure=failure, detail=detail)
    says = [text, transcript.text, transcript.english]
    withheld = runner.withheld(step, says, kin.of_transcript(transcript))
    # Answers are stored by feature id, and two sets with the same words may name them otherwise.
    key = _key(step, bundle.model(step), engine, text, withheld=withheld, features=feature_set.ids)
    record = store.get("predictions", key)
    if record is not None:
        kept = {i: Answer(State(record["answers"][i][0]), record["answers"][i][1]) for i in feature_set.ids}
        cost = Telemetry.from_dict(record["telemetry"])
        return Read(runner.decided(step, kept), cost, stored=True, seconds=record["seconds"])
    started = clock()
    try:
        known = runner.seen(step, embedder, text, withheld)
        found = runner.extract(step, feature_set, bundle.model(step), engine, text, known)
    except CallError as error:
        return Read(dict.fromkeys(feature_set.ids, ERROR), failure=error.kind, detail=str(error))
    seconds = clock() - started - found.telemetry.load_seconds
    record = {
        "id": transcript.id,
        "answers": {i: [a.state.value, a.p_true] for i, a in found.answers.items()},
        "telemetry": found.telemetry.to_dict(),
        "seconds": seconds,
    }
    store.put("predictions", key, record)
    return Read(runner.decided(step, found.answers), found.telemetry, seconds=seconds)


def first_failure(read: Sequence[Read]) -> str | None:
    """What the first failed call said, or None."""
    return next((r.detail for r in read if r.failure), None)
