"""Programs as JSON files: instructions, format and demos with the signature's fields only. No pickle, no model, no path.

A loaded program makes prompts that are byte for byte those of the saved
one; the stored hash proves it, and a program whose prompts would differ is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..data.files import write_private
from ..errors import InputError, ProgramError
from ..signatures.features import FeatureSet
from ..signatures.wording import INPUT
from .extractor import Extractor
from .formats import FORMATS, Demo
from .index_file import NeighboursEntry
from .retrieval import DemoIndex
from .votes import Votes

SCHEMA_VERSION = 1
SCHEMA_WITH_THRESHOLDS = 2
SCHEMA_WITH_MORE = 3


class Strict(BaseModel):
    """Exactly the fields that are named, of exactly their types."""

    model_config = ConfigDict(extra="forbid", strict=True)


File = TypeVar("File", bound=Strict)


class _FeatureSetReference(Strict):
    id: str
    hash: str


class _ProgramFile(Strict):
    schema_version: Annotated[Literal[1, 2, 3], Field(alias="schema")]
    kind: Literal["extract"]
    name: str
    hash: str
    feature_set: _FeatureSetReference
    format: str
    language: str
    definitions: bool
    max_tokens: Annotated[int, Field(ge=1)]
    instructions: str
    demos: list[dict[str, str | bool]]


class _ProgramWithThresholds(_ProgramFile):
    thresholds: Annotated[dict[str, float], Field(min_length=1)]


class _Votes(Strict):
    n: int
    temperature: float


class _ProgramWithMore(_ProgramFile):
    """With votes, or with an index: then its demos are those that are chosen from."""

    votes: _Votes | None = None
    index: NeighboursEntry | None = None
    thresholds: dict[str, float] = {}


_FILES: dict[int, type[_ProgramFile]] = {
    SCHEMA_VERSION: _ProgramFile,
    SCHEMA_WITH_THRESHOLDS: _ProgramWithThresholds,
    SCHEMA_WITH_MORE: _ProgramWithMore,
}


def save_program(extractor: Extractor, path: Path) -> None:
    """Write a program; the file may hold the text of its demos, so only its owner can read it."""
    thresholds, index = extractor.thresholds, extractor.index
    plain = SCHEMA_WITH_THRESHOLDS if thresholds else SCHEMA_VERSION
    content = {
        "schema": plain if extractor.votes is None and index is None else SCHEMA_WITH_MORE,
        "kind": "extract",
        "name": extractor.name,
        "hash": extractor.hash(),
        **extractor.state(),
    } | ({"thresholds": thresholds} if thresholds else {})
    if index is not None:
        content["demos"] = [{INPUT: d.text, **d.labels} for d in index.demos]
        content["index"] = NeighboursEntry.of(index.neighbours, index.embedder).model_dump(mode="json")
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_private(path, text.encode("utf-8"))


def load_program(path: Path, feature_set: FeatureSet) -> Extractor:
    """Read a program for a feature set. One with an index needs its embedder besides (`Extractor.use_embedder`).

    Raises:
        ProgramError: No such file, not a program, an unknown version, another feature set, or changed prompts.
    """
    found = read_checked(path, _FILES, "a program file is what `balin evaluate` leaves as program.json")
    if found.feature_set.id != feature_set.id or found.feature_set.hash != feature_set.hash:
        raise ProgramError(
            f"{path}: made for feature set {found.feature_set.id} ({found.feature_set.hash[:12]}), and this is "
            f"{feature_set.id} ({feature_set.hash[:12]}); give the feature set that it was made with (--features)"
        )
    if found.format not in FORMATS:
        raise ProgramError(f"{path}: format: {found.format!r} is unknown; there are: {', '.join(FORMATS)}")
    if found.language not in feature_set.languages:
        raise ProgramError(
            f"{path}: language: {found.language!r} is not one of the feature set's: {', '.join(feature_set.languages)}"
        )
    check_text(path, "instructions", found.instructions)
    extractor = Extractor(
        feature_set,
        name=found.name,
        format=found.format,
        language=found.language,
        instructions=found.instructions,
        definitions=found.definitions,
        max_tokens=found.max_tokens,
    )
    if isinstance(found, _ProgramWithMore) and found.votes is None and found.index is None:
        raise ProgramError(f"{path}: votes or index: missing")
    demos = [_demo(path, index, demo, feature_set) for index, demo in enumerate(found.demos)]
    try:
        if isinstance(found, _ProgramWithMore) and found.index is not None:
            extractor.set_index(_index(path, found.index, demos))
        else:
            extractor.set_demos(demos)
        if isinstance(found, _ProgramWithMore) and found.votes is not None:
            extractor.votes = Votes(found.votes.n, found.votes.temperature)
        if isinstance(found, _ProgramWithThresholds | _ProgramWithMore):
            extractor.thresholds = found.thresholds
    except InputError as error:
        raise ProgramError(f"{path}: {error}") from None
    if extractor.hash() != found.hash:
        raise ProgramError(
            f"{path}: its prompts, index or thresholds are not those it was saved with: the file or Balin's wording was changed"
        )
    return extractor


def read_checked(path: Path, files: Mapping[int, type[File]], made_by: str) -> File:
    """A file's content as the type of its version; `made_by` says where such files come from.

    Raises:
        ProgramError: No such file, not JSON, an unknown version, or a wrong field; never with a text that it holds.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProgramError(f"no program {str(path)!r}: it is neither a built-in one nor a file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path}: cannot be read ({type(error).__name__})") from None
    except (ValueError, RecursionError):
        raise ProgramError(f"{path}: not JSON; {made_by}") from None
    version = content.get("schema") if isinstance(content, dict) else None
    if type(version) is not int or version not in files:
        raise ProgramError(f"{path}: schema {version!r} is unknown; this Balin reads {', '.join(map(str, files))}")
    try:
        if isinstance(content.get("index"), dict):
            # In Python's own types a strict tuple is no list; read as JSON it is.
            content["index"] = NeighboursEntry.model_validate_json(json.dumps(content["index"]))
        return files[version].model_validate(content)
    except ValidationError as error:
        # Only place and kind: pydantic's message would quote the value, which may be a demo's text.
        first = error.errors(include_input=False)[0]
        raise ProgramError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['type']}") from None


def _index(path: Path, found: NeighboursEntry, demos: Sequence[tuple[str, dict[str, bool]]]) -> DemoIndex:
    if len(demos) != len(found.costs):
        raise ProgramError(f"{path}: index: it is of {len(found.costs)} demos, and there are {len(demos)}")
    return DemoIndex(tuple(Demo(*demo) for demo in demos), found.neighbours, found.embedder.identity)


def _demo(path: Path, index: int, demo: dict[str, Any], feature_set: FeatureSet) -> tuple[str, dict[str, bool]]:
    wanted = {INPUT, *feature_set.ids}
    if (
        set(demo) != wanted
        or not isinstance(demo[INPUT], str)
        or not all(isinstance(demo[i], bool) for i in feature_set.ids)
    ):
        raise ProgramError(
            f"{path}: demos[{index}]: must hold {INPUT!r} and true or false for every feature, nothing else"
        )
    check_text(path, f"demos[{index}]", demo[INPUT])
    return demo[INPUT], {i: demo[i] for i in feature_set.ids}


def check_text(path: Path, place: str, text: str) -> None:
    """Refuse a text that no model can be asked about.

    Raises:
        ProgramError: It holds half a character.
    """
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ProgramError(f"{path}: {place}: its text holds half a character, which no model can be asked about")
