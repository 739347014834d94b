"""What the files of a bundle hold, as checked types: the manifest, the steps and the test vector.

Only plain values are in them: texts, numbers, hashes. Whatever has another shape or an unknown key is refused, so nothing
in a bundle can be run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
    model_validator,
)

from ..data.store import canonical
from ..engines.protocol import ModelIdentity, Role
from ..programs.decisions import check_thresholds
from ..programs.formats import FORMATS
from ..programs.index_file import NeighboursEntry
from ..programs.votes import Votes
from ..signatures.features import Feature, FeatureSet

SCHEMA_VERSION = 1
SCHEMA_WITH_INDEX = 2
SCHEMAS = (SCHEMA_VERSION, SCHEMA_WITH_INDEX)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# No path and nothing hidden: a bundle is flat.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
StepKind = Literal["translate", "extract"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FeatureEntry(_Strict):
    """A `Feature`."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    columns: tuple[str, ...]
    label: dict[str, str]
    short: dict[str, str]
    definition: dict[str, str]
    counts: dict[str, str]
    excludes: dict[str, str]


class FeatureSetEntry(_Strict):
    """A `FeatureSet`, whole, so that a bundle runs where its YAML file is not."""

    id: str
    title: str
    source_language: str
    subject: dict[str, str]
    rules: dict[str, str]
    columns: dict[str, tuple[str, ...]]
    features: Annotated[tuple[FeatureEntry, ...], Field(min_length=1)]

    @classmethod
    def of(cls, feature_set: FeatureSet) -> Self:
        """The entry for a feature set."""
        names = ("id", "columns", "label", "short", "definition", "counts", "excludes")
        features = tuple(FeatureEntry(**{n: _plain(getattr(f, n)) for n in names}) for f in feature_set)
        plain = {n: _plain(getattr(feature_set, n)) for n in cls.model_fields if n != "features"}
        return cls(**plain, features=features)

    def feature_set(self) -> FeatureSet:
        """The feature set that was written."""
        values = {n: getattr(self, n) for n in type(self).model_fields}
        return FeatureSet(**values | {"features": tuple(Feature(**f.model_dump()) for f in self.features)})


class Slot(_Strict):
    """The place of the text that is read."""

    slot: Literal["text"] = "text"


class MessageEntry(_Strict):
    """One turn: its texts in order, with the slot where the text that is read goes."""

    role: Role
    parts: tuple[str | Slot, ...]

    def content(self, text: str) -> str:
        """The turn's content for a text. Parts are joined and nothing is searched for, so no text can be taken for a slot."""
        return "".join(text if isinstance(part, Slot) else part for part in self.parts)


class _Asking(_Strict):
    messages: Annotated[tuple[MessageEntry, ...], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _one_slot(self) -> Self:
        slots = [index for index, m in enumerate(self.messages) for part in m.parts if isinstance(part, Slot)]
        if slots != [len(self.messages) - 1] or self.messages[-1].role != "user":
            raise ValueError("a step has one slot, in its last message, which is the user's")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of all that decides what is asked: the step's name in the store. Thresholds change no question."""
        # An index has a hash of its own, worked out once: it is large, and this is asked for every transcript.
        content = self.to_dict(exclude={"thresholds", "index"})
        index = getattr(self, "index", None)
        return hashlib.sha256(canonical(content | ({"index": index.hash} if index else {}))).hexdigest()

    def to_dict(self, exclude: set[str] | None = None) -> dict[str, Any]:
        """JSON-ready; without a key for votes or an index where there are none, as before there were any."""
        content = self.model_dump(mode="json", by_alias=True, exclude=exclude)
        return {k: v for k, v in content.items() if k not in ("votes", "index") or v is not None}


class TranslateStep(_Asking):
    """The source text into another language; the answer, without white space around it, is the translation."""

    kind: Literal["translate"] = "translate"
    target: str
    repeat_penalty: Annotated[float, Field(ge=1)]


class VotesEntry(_Strict):
    """A `Votes`: that many answers are sampled, and the majority counts."""

    n: int
    temperature: float

    @property
    def votes(self) -> Votes:
        """The votes.

        Raises:
            InputError: The numbers mean nothing.
        """
        return Votes(self.n, self.temperature)


class IndexEntry(NeighboursEntry):
    """The demos that are chosen from for each text, as they stand in the prompt: between the messages and the last of them.

    Attributes:
        turns: What the user says and what the assistant answers, for each demo.
    """

    turns: tuple[tuple[str, str], ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of all of it; worked out once, as an index is large and asked about for every transcript."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    @model_validator(mode="after")
    def _a_turn_each(self) -> Self:
        if len(self.turns) != len(self.costs):
            raise ValueError("an index has a turn for each demo")
        return self


class ExtractStep(_Asking):
    """A text to one answer a feature. Everything but messages, thresholds and index is as in `Prompt` and `Task`."""

    kind: Literal["extract"] = "extract"
    format: str
    language: str
    definitions: bool
    instructions: str
    json_schema: dict[str, Any] | None
    top_logprobs: Annotated[int, Field(ge=0, le=20)]
    partial: bool
    probes: tuple[str, ...]
    thresholds: dict[str, float]
    votes: VotesEntry | None = None
    index: IndexEntry | None = None


Step = TranslateStep | ExtractStep
STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Annotated[Step, Field(discriminator="kind")], ...])


class ModelEntry(_Strict):
    """A `ModelIdentity`, with the options the model was asked with."""

    name: str
    digest: str
    engine: Literal["ollama", "embedded"]
    engine_version: str
    num_ctx: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 0

    @property
    def identity(self) -> ModelIdentity:
        """The model without the options."""
        return ModelIdentity(self.name, self.digest, self.engine, self.engine_version, self.num_ctx)


class ProgramEntry(_Strict):
    """The program that the bundle was made of."""

    name: str
    hash: Sha256


class DataEntry(_Strict):
    """What the scores were measured on."""

    name: str
    sha256: Sha256
    part: str
    n: int
    split_sha256: Sha256 | None
    test_scored: int | None


class DemoEntry(_Strict):
    """Where a worked example comes from: the shipped corpus, which is invented, or a file that somebody allowed."""

    id: str
    source: Literal["corpus", "allowed"]


class ChoiceEntry(_Strict):
    """An optimization or search that the program won; a `Choice` of `eval.choice`."""

    by: str
    tried: Annotated[int, Field(ge=0)]
    objective: str
    score: float | None
    n: int
    out_of_fold: bool
    demos: tuple[str, ...]


class DevEntry(_Strict):
    """The program's scores on dev, to stand beside those of another part, with what their run warned of."""

    run: str
    data: str
    sha256: Sha256
    split_sha256: Sha256 | None
    n: int
    scores: dict[str, Any]
    warnings: tuple[str, ...]


class Manifest(_Strict):
    """`manifest.json`.

    Attributes:
        reads: What of a row the first step reads: its text, or its English text.
        models: The model of each kind of step.
        scores: Metric to its mean over the features with a 95 % interval, missing as False; metrics.json has all of them.
        warnings: What the run that measured the scores said of them.
        tried: Configurations among which this one was chosen, or None where that is not known.
        chosen: The optimizations and searches that tried them.
        dev: Its scores on dev, where `scores` are those of another part and the others are known.
        files: SHA-256 of every other file.
    """

    schema_version: Annotated[Literal[1, 2], Field(alias="schema")] = 1
    kind: Literal["bundle"] = "bundle"
    balin: str
    created: str
    run: str
    route: Literal["direct", "translated"]
    reads: Literal["text", "english"]
    program: ProgramEntry
    models: dict[StepKind, ModelEntry]
    feature_set: FeatureSetEntry
    feature_set_hash: Sha256
    data: DataEntry
    scores: dict[str, Any]
    warnings: tuple[str, ...] = ()
    tried: int | None
    chosen: tuple[ChoiceEntry, ...] = ()
    dev: DevEntry | None = None
    demos: tuple[DemoEntry, ...]
    files: dict[FileName, Sha256]

    def on_dev(self) -> DevEntry | None:
        """The scores on dev: `dev`, or the bundle's own where they are of that part."""
        if self.data.part != "dev":
            return self.dev
        return DevEntry(
            run=self.run,
            data=self.data.name,
            sha256=self.data.sha256,
            split_sha256=self.data.split_sha256,
            n=self.data.n,
            scores=self.scores,
            warnings=self.warnings,
        )


class Vector(_Strict):
    """The test vector: an invented text, and the SHA-256 of each step's messages for it.

    Attributes:
        text: The text.
        messages: The hashes.
        direction: The text's embedding, where demos are chosen for each text.
    """

    text: str
    messages: tuple[Sha256, ...]
    direction: str | None = None

    @model_serializer(mode="wrap")
    def _without_no_direction(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if v is not None}


def check_steps(steps: tuple[Step, ...], manifest: Manifest, feature_set: FeatureSet) -> None:
    """Check that steps can be run.

    Raises:
        ValueError: They cannot; the message says why.
        InputError: Thresholds or votes cannot be.
    """
    kinds = tuple(s.kind for s in steps)
    if kinds not in (("extract",), ("translate", "extract")) or set(kinds) != set(manifest.models):
        raise ValueError(f"the steps are {', '.join(kinds) or 'none'}; they must be extract, or translate and extract")
    last = steps[-1]
    assert isinstance(last, ExtractStep)  # noqa: S101  # by the kinds above
    if last.format not in FORMATS:
        raise ValueError(f"the answer format {last.format!r} is unknown; there are: {', '.join(FORMATS)}")
    if last.language not in feature_set.languages:
        raise ValueError(f"the language {last.language!r} is not one of the feature set's")
    if last.probes and len(last.probes) != len(feature_set):
        raise ValueError(f"{len(last.probes)} probes for {len(feature_set)} features")
    if bool(last.probes) != (last.format == "probe"):
        raise ValueError(f"probes and the format {last.format!r} do not go together")
    if last.votes is not None:
        if last.probes:
            raise ValueError("probes are read and not written, so there is nothing to vote on")
        last.votes.votes  # noqa: B018  # refuses numbers that mean nothing
    check_thresholds(last.thresholds, feature_set.ids)
    if (last.index is not None) != (manifest.schema_version == SCHEMA_WITH_INDEX):
        raise ValueError(f"bundles with an index of demos are of version {SCHEMA_WITH_INDEX}, and only those")


def _plain(value: Any) -> Any:
    """A mapping of texts or tuples as a dict, everything else as it is."""
    return dict(value) if isinstance(value, Mapping) else value
