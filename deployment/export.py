"""A run of `balin evaluate` to the files of a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from .. import __version__
from ..engines.embedding import OLLAMA, open_embedder
from ..engines.opening import EngineSettings
from ..engines.protocol import Message
from ..errors import InputError, ProgramError, RunError
from ..eval.job import TRANSLATOR
from ..eval.runs import read_run
from ..eval.scores import Scores
from ..eval.tables import tried_of
from ..programs.builtin import BUILT_IN
from ..programs.extractor import Extractor
from ..programs.formats import Prompt
from ..programs.index_file import packed
from ..programs.retrieval import texts_only
from ..programs.saving import load_program
from ..programs.translation import token_limit
from ..programs.translator import Translator
from ..programs.translator_file import load_translator
from ..signatures.features import FeatureSet
from ..signatures.translate import INPUT as SOURCE
from ..signatures.translate import instruction_wordings
from ..signatures.wording import INPUT
from . import runner
from .bundle import MANIFEST
from .card import model_card
from .manifest import (
    SCHEMA_VERSION,
    SCHEMA_WITH_INDEX,
    ChoiceEntry,
    DataEntry,
    DemoEntry,
    DevEntry,
    ExtractStep,
    FeatureSetEntry,
    IndexEntry,
    Manifest,
    MessageEntry,
    ModelEntry,
    ProgramEntry,
    Slot,
    Step,
    StepKind,
    TranslateStep,
    Vector,
    VotesEntry,
)
from .modelfile import ollama_files
from .output import columns
from .provenance import trace_demos

_Step = TypeVar("_Step", ExtractStep, TranslateStep)

# Invented, and with all that a careless filling of a slot would trip over.
VECTOR_TEXT = 'Invented for this test: "no pain" {transcript} {0} {{text}} %s $1 \\n\nبیمار دیشب نخوابیده‌است؛ تب ندارد.'


@dataclass(frozen=True)
class Exported:
    """The files of a bundle, and what a user should know of it.

    Attributes:
        files: Name to bytes, the manifest among them.
        manifest: What the manifest holds.
        notes: Sentences.
    """

    files: dict[str, bytes]
    manifest: Manifest
    notes: tuple[str, ...]


def export_run(
    folder: Path,
    feature_set: FeatureSet,
    *,
    allow_demos: bool = False,
    modelfile: bool = False,
    engines: EngineSettings | None = None,
) -> Exported:
    """The bundle of a run.

    Args:
        folder: What `balin evaluate` left.
        feature_set: The one that the run was made with; a run holds only its hash.
        allow_demos: Let demos pass that are not of the shipped corpus.
        modelfile: Make what Ollama needs to serve the program as a model of its own.
        engines: Where the Ollama is whose embedder chooses the program's demos.

    Raises:
        RunError: No run, or one of an unknown version.
        ProgramError: Its program cannot be loaded, or is not the one that was scored.
        InputError: Demos that are not allowed, a program that no Modelfile can hold, or `engines` for one that needs none.
        EngineUnavailable: No embedder.
    """
    run = read_run(folder)
    _check_exportable(folder, run)
    extractor = load_program(folder / "program.json", feature_set)
    wanted = None if extractor.index is None else extractor.index.embedder
    if engines is not None and (wanted is None or not wanted.name.startswith(OLLAMA)):
        raise InputError(
            "--host and --allow-remote: no embedder of Ollama chooses this program's demos; leave them out"
        )
    if wanted is not None:
        extractor.use_embedder(open_embedder(wanted.name, engines, wanted=wanted))
    metrics, scores = _scores(folder)
    try:
        return _Export(folder, run, feature_set, extractor, metrics, scores).made(allow_demos, modelfile)
    except (KeyError, ValidationError) as error:
        where = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error.args
        key = ".".join(map(str, where))
        raise RunError(f"{folder}/run.json: {key}: is missing or wrong; run `balin evaluate` again") from None


@dataclass(frozen=True)
class _Export:
    folder: Path
    run: Mapping[str, Any]
    feature_set: FeatureSet
    extractor: Extractor
    metrics: bytes
    scores: Scores

    def made(self, allow_demos: bool, modelfile: bool) -> Exported:
        run, extractor = self.run, self.extractor
        if extractor.hash() != run["program"]["hash"]:
            raise ProgramError(f"{self.folder}: program.json is not the program that was scored; evaluate it again")
        columns(self.feature_set.ids)
        translator = None if run["translator"] is None else self._translator()
        demos = self._demos(translator, allow_demos)
        extraction = extract_step(extractor)
        steps: list[Step] = [extraction]
        models: dict[StepKind, ModelEntry] = {"extract": _model(run["model"])}
        if translator is not None:
            steps.insert(0, translate_step(translator))
            models["translate"] = _model({k: v for k, v in run["translator"].items() if k != "program"})
        known = _seen(extractor, VECTOR_TEXT)
        vector = Vector(
            text=VECTOR_TEXT,
            messages=tuple(runner.messages_hash(s, VECTOR_TEXT, known) for s in steps),
            direction=packed(known.direction) if known else None,
        )
        files = {
            "steps.json": _json([s.to_dict() for s in steps]),
            "test_vector.json": _json(vector.model_dump(mode="json")),
            "metrics.json": self.metrics,
        }
        if modelfile:
            files |= ollama_files(extraction, models["extract"], self.feature_set, run["route"])
        manifest = Manifest(
            balin=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            run=run["name"],
            route=run["route"],
            reads="english" if run["english"] == "given" else "text",
            program=ProgramEntry(name=extractor.name, hash=extractor.hash()),
            models=models,
            feature_set=FeatureSetEntry.of(self.feature_set),
            feature_set_hash=self.feature_set.hash,
            data=self._data(),
            scores=self.scores.summary("false"),
            warnings=tuple(run.get("warnings") or ()),
            tried=tried_of(run),
            chosen=tuple(ChoiceEntry(**c | {"demos": tuple(c["demos"])}) for c in run.get("chosen") or ()),
            dev=_dev(run.get("dev")),
            demos=demos,
            files={},
        )
        files["MODEL_CARD.md"] = model_card(manifest, extraction, self.scores, run["labels"]).encode("utf-8")
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
        version = SCHEMA_VERSION if extractor.index is None else SCHEMA_WITH_INDEX
        manifest = manifest.model_copy(update={"files": hashes, "schema_version": version})
        files[MANIFEST] = _json(manifest.model_dump(mode="json", by_alias=True))
        return Exported(files, manifest, tuple(self._notes(translator)))

    def _demos(self, translator: Translator | None, allow: bool) -> tuple[DemoEntry, ...]:
        """Where the demos come from: all that may be shown, and not only what one text is shown."""
        texts = [str(demo[INPUT]) for demo in self.extractor.predict.demos]
        texts += [demo.text for demo in self.extractor.index.demos] if self.extractor.index else []
        pairs = [] if translator is None else translator.pairs()
        return trace_demos(self.folder, self.run, self.feature_set, texts, pairs, allow=allow)

    def _translator(self) -> Translator:
        """The translator of the run; runs of before translators were saved had the default one."""
        path = self.folder / TRANSLATOR
        translator = load_translator(path, self.feature_set) if path.exists() else Translator(self.feature_set)
        if translator.hash() != self.run["translator"]["program"]["hash"]:
            raise ProgramError(
                f"{self.folder}: its translations were made with another prompt than this Balin's; evaluate again"
            )
        return translator

    def _data(self) -> DataEntry:
        data = self.run["data"]
        return DataEntry(
            # The name only: a path tells of the machine it was on.
            name=Path(data["name"]).name,
            n=self.scores.n,
            **{k: data[k] for k in ("sha256", "part", "split_sha256", "test_scored")},
        )

    def _notes(self, translator: Translator | None) -> list[str]:
        found = []
        own = {
            b.build(self.feature_set, self.extractor.adapter.language).predict.signature.instructions
            for b in BUILT_IN.values()
        }
        asked = [self.extractor.predict.signature.instructions]
        if translator is not None:
            own |= set(instruction_wordings(self.feature_set, translator.target).values())
            asked.append(translator.predict.signature.instructions)
        if not own.issuperset(asked):
            found.append(
                "the instructions are not Balin's own; if an optimizer wrote them, they may quote the data it saw: read them in "
                "steps.json before the bundle leaves"
            )
        if self.scores.too_many_errors:
            found.append(
                f"{self.scores.transcripts_with_error} of the {self.scores.n} transcripts that it was scored on have a failed call"
            )
        found += [f"the run warns: {warning}" for warning in self.run.get("warnings") or ()]
        if self.run["data"]["part"] != "test":
            found.append(
                f"the scores are those of the part {self.run['data']['part']!r}; score the test part once, with this run's "
                "program.json, and export that run"
            )
        return found


def extract_step(extractor: Extractor) -> ExtractStep:
    """The step of an extractor.

    Raises:
        ProgramError: Its prompt has no single place for the text.
    """
    asked = extractor.adapter.task(extractor.predict.signature)

    def prompt(text: str) -> Prompt:
        return extractor.adapter.prompt(extractor.predict.signature, extractor.predict.demos, {INPUT: text})

    blank, votes = prompt(""), extractor.votes
    step = ExtractStep(
        messages=template(lambda text: prompt(text).messages),
        max_tokens=blank.max_tokens,
        format=extractor.format,
        language=asked.language,
        definitions=asked.definitions,
        instructions=asked.instructions,
        json_schema=None if blank.schema is None else dict(blank.schema),
        top_logprobs=blank.top_logprobs,
        partial=blank.partial,
        probes=blank.probes,
        thresholds=extractor.thresholds,
        votes=None if votes is None else VotesEntry(n=votes.n, temperature=votes.temperature),
        index=_index_entry(extractor),
    )
    known = _seen(extractor, VECTOR_TEXT)
    demos = extractor.demos_for(VECTOR_TEXT)
    return _checked(step, extractor.adapter.prompt(extractor.predict.signature, demos, {INPUT: VECTOR_TEXT}), known)


def _seen(extractor: Extractor, text: str) -> runner.Seen | None:
    """A text as the extractor's index needs it."""
    direction = extractor.direction(text)
    return None if direction is None else runner.Seen(direction, extractor.withheld([text]))


def _index_entry(extractor: Extractor) -> IndexEntry | None:
    """The index with its demos as they stand in a prompt.

    Raises:
        ProgramError: A demo is not one turn of the user and one of the assistant, apart from all else.
    """
    index = extractor.index
    if index is None:
        return None

    def messages(demos: list[dict[str, Any]]) -> tuple[Message, ...]:
        return extractor.adapter.prompt(extractor.predict.signature, demos, {INPUT: ""}).messages

    blank = messages([])
    turns = []
    for demo in index.demos:
        made = messages([{INPUT: demo.text, **demo.labels}])
        first, second = made[len(blank) - 1 : -1]
        if (first.role, second.role) != ("user", "assistant") or (*made[:-3], made[-1]) != blank:
            raise ProgramError("the program's demos are no turns of their own; such a program has no bundle")
        turns.append((first.content, second.content))
    # Hashes of ids and patients are left behind: a short number is found from its hash by trying all.
    marks = tuple(texts_only(own) for own in index.neighbours.marks)
    return IndexEntry.of(replace(index.neighbours, marks=marks), index.embedder, turns=tuple(turns))


def translate_step(translator: Translator) -> TranslateStep:
    """The step of a translator.

    Raises:
        ProgramError: Its prompt has no single place for the text.
    """

    def messages(text: str) -> tuple[Message, ...]:
        return translator.adapter.messages(translator.predict.signature, translator.predict.demos, {SOURCE: text})

    step = TranslateStep(
        messages=template(messages),
        max_tokens=translator.adapter.max_tokens,
        target=translator.target,
        repeat_penalty=translator.adapter.repeat_penalty,
    )
    limit = token_limit(VECTOR_TEXT, translator.adapter.max_tokens)
    return _checked(step, Prompt(messages(VECTOR_TEXT), limit, repeat_penalty=translator.adapter.repeat_penalty))


def template(render: Callable[[str], tuple[Message, ...]]) -> tuple[MessageEntry, ...]:
    """Messages with a slot, from what a program makes of a text.

    The slot is found by a mark that nothing else in the messages holds.

    Raises:
        ProgramError: The text is not once in the last message and nowhere else.
    """
    blank = render("")
    mark = "⟦slot⟧"
    while any(mark in m.content for m in blank):
        mark += "⟧"
    marked = render(mark)
    before, found, after = marked[-1].content.partition(mark)
    if marked[:-1] != blank[:-1] or not found or before + after != blank[-1].content:
        raise ProgramError("the program's text is not once in its last message; such a program has no bundle")
    parts = (*((before,) if before else ()), Slot(), *((after,) if after else ()))
    fixed = (MessageEntry(role=m.role, parts=(m.content,)) for m in marked[:-1])
    return (*fixed, MessageEntry(role=marked[-1].role, parts=parts))


def _checked(step: _Step, expected: Prompt, known: runner.Seen | None = None) -> _Step:
    if runner.prompt(step, VECTOR_TEXT, known) != expected:
        raise ProgramError("the program asks about each text in another way; such a program has no bundle")
    return step


def _check_exportable(folder: Path, run: Mapping[str, Any]) -> None:
    """Refuse a run that holds no program.

    Raises:
        InputError: A bundle or a baseline answered.
    """
    bundle = run.get("bundle")
    if bundle is not None:
        raise InputError(
            f"{folder}: the bundle {bundle['path']} answered in this run, and a bundle cannot be taken apart into a program. That file is "
            f"the bundle, so hand it on as it is; for one that holds these scores, evaluate the program it was made of (the program.json "
            f"of the run {bundle['run']}) on the same part, and export that run"
        )
    if run.get("trained_on") is not None:
        raise InputError(f"{folder}: is the run of a baseline, which asks no model; only a program can be exported")


def _dev(found: Mapping[str, Any] | None) -> DevEntry | None:
    return None if found is None else DevEntry(**{**found, "warnings": tuple(found["warnings"])})


def _scores(folder: Path) -> tuple[bytes, Scores]:
    path = folder / "metrics.json"
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except FileNotFoundError:
        raise RunError(f"{path}: is missing; run `balin evaluate` again") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__}); run `balin evaluate` again") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: is not what a run leaves; run `balin evaluate` again")
    return data, Scores.from_dict(content)


def _model(identity: Mapping[str, Any]) -> ModelEntry:
    return ModelEntry(**identity)


def _json(content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8")
