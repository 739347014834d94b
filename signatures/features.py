"""Features and feature sets: the yes/no questions, read from one YAML file.

A feature set is an ordered list of features with their labels and definitions in one or more languages. Prompts, schemas,
column names and reports all derive from it, so a study with nine other features in German needs a file and no code.
See `palliative13.yaml` for a whole example.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ..errors import FeatureSetError

SCHEMA_VERSION = 1
SHIPPED = ("palliative13",)

_ID = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
# Columns of data files, fields of a prediction, and attributes of a DSPy signature.
_RESERVED_IDS = frozenset(
    {"id", "text", "text_en", "group", "part", "register", "phenomena", "transcript"}
    | {"answers", "telemetry", "raw"}
    | {"instructions", "fields", "signature", "input_fields", "output_fields", "model_config"}
)
_TEXTS = ("label", "short", "definition", "counts", "excludes")
_SET_KEYS = frozenset({"schema", "id", "title", "source_language", "subject", "columns", "rules", "features"})
_FEATURE_KEYS = frozenset({"id", "columns", *_TEXTS})
_COLUMN_KEYS = ("id", "text", "english", "group")


@dataclass(frozen=True)
class Feature:
    """One yes/no question.

    Attributes:
        id: Lower-case name, used in columns, schemas and stored answers.
        columns: Other column names under which data files hold its labels.
        label: Per language, the name as a clinician would say it.
        short: Per language, a short name: what `probe` asks, and for tables; the label where the file gives none.
        definition: Per language, one sentence.
        counts: Per language, what counts as present; may be empty.
        excludes: Per language, what does not; may be empty.
    """

    id: str
    columns: tuple[str, ...]
    label: Mapping[str, str]
    short: Mapping[str, str]
    definition: Mapping[str, str]
    counts: Mapping[str, str] = field(default_factory=dict)
    excludes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureSet:
    """An ordered list of features with what they are about.

    Attributes:
        id: Name of the set.
        title: One line for people.
        source_language: Language code of the transcripts.
        subject: Per language, what a transcript is ("a phone call to …").
        rules: Per language, when any feature counts as present.
        columns: For `id`, `text`, `english` and `group`: the accepted column names, in order.
        features: The questions, in order.
    """

    id: str
    title: str
    source_language: str
    subject: Mapping[str, str]
    rules: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]
    features: tuple[Feature, ...]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def ids(self) -> tuple[str, ...]:
        """The features' ids, in order."""
        return tuple(f.id for f in self.features)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages in which every feature has label and definition, in the file's order."""
        return tuple(k for k in self.subject if all(k in f.label and k in f.definition for f in self.features))

    def column_of(self, name: str) -> str | None:
        """The feature id that a data file's column holds, or None."""
        return self._by_column.get(name)

    @cached_property
    def _by_column(self) -> dict[str, str]:
        return {c: f.id for f in self.features for c in (f.id, *f.columns)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the content: equal for equal questions, whatever the file's layout."""
        content = {
            "id": self.id,
            "source_language": self.source_language,
            "subject": dict(self.subject),
            "rules": dict(self.rules),
            "features": [{"id": f.id, **{k: dict(getattr(f, k)) for k in _TEXTS}} for f in self.features],
        }
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def require_language(self, language: str) -> str:
        """`language`, if every feature is written in it.

        Raises:
            FeatureSetError: It is not; the message names the languages there are.
        """
        if language not in self.languages:
            raise FeatureSetError(
                f"feature set {self.id} has no {language!r} texts for every feature; it has: {', '.join(self.languages)}"
            )
        return language


def load_feature_set(source: str | Path) -> FeatureSet:
    """Read a feature set: the name of a shipped one (`palliative13`) or the path of a YAML file.

    Raises:
        FeatureSetError: The file is missing or wrong; the message names file, line and key.
    """
    name = str(source)
    if name in SHIPPED:
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return _Reader(f"{name}.yaml", text).read()
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise FeatureSetError(
            f"no feature set {name!r}: it is neither a file nor one of the shipped sets ({', '.join(SHIPPED)})"
        ) from None
    except UnicodeDecodeError as error:
        raise FeatureSetError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise FeatureSetError(f"{path}: cannot be read: {error.strerror}") from None
    return _Reader(str(path), text).read()


class _Reader:
    """Checks one YAML text, keeping the line of every key for the errors."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        try:
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"line {mark.line + 1}: " if mark else ""
            raise FeatureSetError(f"{name}: {where}not valid YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            raise FeatureSetError(f"{name}: not valid YAML: {error}") from None

    def fail(self, node: yaml.Node | None, key: str, what: str) -> FeatureSetError:
        line = f"line {node.start_mark.line + 1}: " if node is not None else ""
        return FeatureSetError(f"{self.name}: {line}{key}: {what}")

    def read(self) -> FeatureSet:
        top = self.mapping(
            self.root, "the file", _SET_KEYS, required=("schema", "id", "source_language", "subject", "features")
        )
        version = self.scalar(top["schema"], "schema")
        if version != str(SCHEMA_VERSION):
            raise self.fail(
                top["schema"], "schema", f"version {version!r} is unknown; this Balin reads {SCHEMA_VERSION}"
            )
        subject = self.texts(top["subject"], "subject", ())
        languages = tuple(subject)
        return FeatureSet(
            id=self.identifier(top["id"], "id"),
            title=self.scalar(top["title"], "title") if "title" in top else self.scalar(top["id"], "id"),
            source_language=self.scalar(top["source_language"], "source_language"),
            subject=subject,
            rules=self.texts(top["rules"], "rules", languages) if "rules" in top else {},
            columns=self.columns(top.get("columns")),
            features=self.features(top["features"], languages),
        )

    def features(self, node: yaml.Node, languages: tuple[str, ...]) -> tuple[Feature, ...]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.fail(node, "features", "must be a list of at least one feature")
        found: list[Feature] = []
        taken: dict[str, str] = {}
        for index, item in enumerate(node.value):
            feature = self.feature(item, f"features[{index}]", languages)
            for column in (feature.id, *feature.columns):
                if column in taken:
                    raise self.fail(
                        item, f"features[{index}]", f"{column!r} is already a name of feature {taken[column]!r}"
                    )
                taken[column] = feature.id
            found.append(feature)
        for language in languages:
            for kind in ("label", "short"):
                seen: dict[str, str] = {}
                for feature in found:
                    text = getattr(feature, kind)[language].casefold()
                    if text in seen:
                        raise self.fail(
                            node, "features", f"{seen[text]} and {feature.id} have the same {kind} in {language!r}"
                        )
                    seen[text] = feature.id
        return tuple(found)

    def feature(self, node: yaml.Node, key: str, languages: tuple[str, ...]) -> Feature:
        item = self.mapping(node, key, _FEATURE_KEYS, required=("id", "label", "definition"))
        identifier = self.identifier(item["id"], f"{key}.id")
        if identifier in _RESERVED_IDS:
            raise self.fail(
                item["id"], f"{key}.id", f"{identifier!r} is a name that Balin uses itself; choose another id"
            )
        texts = {k: self.texts(item[k], f"{key}.{k}", languages) for k in _TEXTS if k in item}
        return Feature(
            id=identifier,
            columns=self.names(item["columns"], f"{key}.columns") if "columns" in item else (),
            label=texts["label"],
            short=texts.get("short", texts["label"]),
            definition=texts["definition"],
            counts=texts.get("counts", {}),
            excludes=texts.get("excludes", {}),
        )

    def columns(self, node: yaml.Node | None) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {
            "id": ("id",),
            "text": ("text",),
            "english": ("text_en",),
            "group": ("group",),
        }
        if node is not None:
            for key, value in self.mapping(node, "columns", frozenset(_COLUMN_KEYS)).items():
                found[key] = tuple(dict.fromkeys((*found[key], *self.names(value, f"columns.{key}"))))
        return found

    def mapping(
        self, node: yaml.Node | None, key: str, allowed: frozenset[str], required: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, key, "must be a mapping of keys to values")
        found: dict[str, yaml.Node] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self.fail(name, key, "a key must be a plain word")
            if name.value not in allowed:
                raise self.fail(name, f"{key}.{name.value}", f"unknown key; allowed: {', '.join(sorted(allowed))}")
            if name.value in found:
                raise self.fail(name, f"{key}.{name.value}", "given twice")
            found[name.value] = value
        for name in required:
            if name not in found:
                raise self.fail(node, key, f"the key {name!r} is missing")
        return found

    def texts(self, node: yaml.Node, key: str, languages: tuple[str, ...]) -> dict[str, str]:
        """A mapping of language to text; `languages` must all be there, and where it is empty any are taken."""
        if not isinstance(node, yaml.MappingNode) or not node.value:
            raise self.fail(node, key, "must give a text per language, for example {en: …}")
        found: dict[str, str] = {}
        for name, value in node.value:
            language = self.scalar(name, key)
            if language in found:
                raise self.fail(name, f"{key}.{language}", "given twice")
            found[language] = self.scalar(value, f"{key}.{language}")
        for language in languages:
            if language not in found:
                raise self.fail(node, key, f"has no text in {language!r}")
        for language in found:
            if languages and language not in languages:
                raise self.fail(node, f"{key}.{language}", f"language is not one of the set's: {', '.join(languages)}")
        return found

    def names(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.fail(node, key, "must be a list of column names")
        return tuple(self.scalar(n, key) for n in node.value)

    def identifier(self, node: yaml.Node, key: str) -> str:
        text = self.scalar(node, key)
        if not _ID.match(text):
            raise self.fail(node, key, f"{text!r} must be lower-case letters, digits and _, beginning with a letter")
        return text

    def scalar(self, node: Any, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self.fail(node, key, "must be a text that is not empty")
        return str(node.value).strip()
