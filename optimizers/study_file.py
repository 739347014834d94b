"""The study file: the options of `balin search` as YAML, checked by pydantic, with line numbers in errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..programs.formats import FORMATS
from ..signatures.wording import INSTRUCTIONS
from .space import SEARCHED

# What scikit-learn and NumPy take as a seed.
MOST_SEED = 2**32 - 1


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _wordings(value: Any) -> Any:
    """Instructions as name to text: of a list, and where the text is blank, Balin's own of that name."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = dict.fromkeys(value)
    if not isinstance(value, dict):
        return value
    for name, text in value.items():
        if text is None and name not in INSTRUCTIONS:
            raise ValueError(f"there are no instructions {name!r} without a text; there are: {', '.join(INSTRUCTIONS)}")
        if text is not None and name in INSTRUCTIONS:
            raise ValueError(f"{name!r} is a wording of Balin's own; give yours another name")
    return value


def _one_of(*known: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"there is no {name!r}; there are: {', '.join(known)}")
        return name

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1)]
Instructions = Annotated[dict[Text, Text | None], BeforeValidator(_wordings), Field(min_length=1)]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed), Field(min_length=1)]
Formats = Annotated[list[Annotated[str, _one_of(*FORMATS)]], BeforeValidator(_listed), Field(min_length=1)]
Strategies = Annotated[list[Annotated[str, _one_of(*SEARCHED)]], BeforeValidator(_listed), Field(min_length=1)]
Numbers = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), Field(min_length=1)]
Routes = Annotated[list[Literal["direct", "translated"]], BeforeValidator(_listed), Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class StudyFile(BaseModel):
    """The keys of a study file: the long names of the options, with _ for - inside; a list may be one value alone."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: str | None = None
    features: str | None = None
    model: Names | None = None
    route: Routes | None = None
    translator: Names | None = None
    translator_program: str | None = None
    english: Literal["model", "given"] | None = None
    language: Names | None = None
    format: Formats | None = None
    strategy: Strategies | None = None
    embedder: str | None = None
    demos: Numbers | None = None
    draws: Positive | None = None
    instructions: Instructions | None = None
    votes: Numbers | None = None
    temperature: Annotated[float, Field(gt=0, le=2)] | None = None
    thresholds: Literal["search", "on", "off"] | None = None
    definitions: Literal["search", "on", "off"] | None = None
    split: str | None = None
    split_seed: int | None = None
    limit: Positive | None = None
    objective: Literal["mcc", "macro_f1"] | None = None
    pareto: bool | None = None
    max_missing: Share | None = None
    max_latency: Annotated[float, Field(gt=0)] | None = None
    min_sensitivity: Share | None = None
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] | None = None
    prune: bool | None = None
    max_trials: Positive | None = None
    max_calls: Positive | None = None
    max_tokens: Positive | None = None
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    storage: str | None = None
    out: str | None = None
    engine: Literal["auto", "ollama", "embedded"] | None = None
    host: str | None = None
    num_ctx: Annotated[int, Field(ge=256)] | None = None
    timeout: Annotated[float, Field(ge=1)] | None = None
    threads: Positive | None = None
    slots: Positive | None = None


# Options whose parameter has another name, and those that are paths.
_PARAMETERS = {k: f"{k}s" for k in ("model", "route", "translator", "language", "format")} | {"strategy": "strategies"}
_PATHS = ("split", "out")


def read_study_file(path: Path) -> dict[str, Any]:
    """What a study file sets, by the names of the command's parameters, and `texts` of instructions. YAML's own `on` and `off` are read as words.

    Raises:
        InputError: The file is missing or wrong; the message names file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such study file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: {where}not valid YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise InputError(f"{path}: not valid YAML") from None
    except ValueError:
        raise InputError(f"{path}: a value looks like a date, and is none that there is; put it in quotes") from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: must be a mapping of options to values, for example `model: qwen2.5:7b-instruct`")
    _check_keys(root, path)
    for name in ("thresholds", "definitions"):
        if isinstance(content.get(name), bool):
            content[name] = "on" if content[name] else "off"
    try:
        read = StudyFile.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(_told(e, root) for e in error.errors())) from None
    found = read.model_dump(exclude_none=True)
    if read.instructions is not None:
        found["instructions"] = list(read.instructions)
        found["texts"] = {name: text for name, text in read.instructions.items() if text is not None}
    return {_PARAMETERS.get(k, k): Path(v) if k in _PATHS else v for k, v in found.items()}


def _check_keys(root: yaml.MappingNode, path: Path) -> None:
    """Refuse a key that is given twice, of which YAML keeps the last, or that is no word."""
    seen: set[str] = set()
    for name, _ in root.value:
        if not isinstance(name, yaml.ScalarNode):
            raise InputError(f"{path}: line {name.start_mark.line + 1}: a key must be a plain word")
        if name.value in seen:
            raise InputError(f"{path}: line {name.start_mark.line + 1}: {name.value}: given twice")
        seen.add(name.value)


def _told(error: Any, root: yaml.MappingNode) -> str:
    """One of pydantic's errors with the line where it is."""
    place = [part for part in error["loc"] if isinstance(part, int) or part in StudyFile.model_fields] or error["loc"]
    name = str(place[0]) if place else "the file"
    node: yaml.Node = root
    for key, value in root.value:
        if key.value == name:
            node = value if error["type"] != "extra_forbidden" else key
    index = next((part for part in place[1:] if isinstance(part, int)), None)
    if index is not None and isinstance(node, yaml.SequenceNode) and index < len(node.value):
        node = node.value[index]
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = f"unknown key; allowed: {', '.join(sorted(StudyFile.model_fields))}"
    return f"line {node.start_mark.line + 1}: {name}: {what}"
