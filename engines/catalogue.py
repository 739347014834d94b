"""The model catalogue: what each name means, how large it is, under which licence, and where its weights come from.

`catalogue.yaml` names each model once. Ollama can run models that are not in it; the embedded engine cannot, for it accepts
only a file whose sha256 is pinned here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError

ModelRole = Literal["translator", "extractor", "test"]
_Text = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PackageParts(_Frozen):
    """Python packages that carry a file in parts; joined in order they are the file.

    Attributes:
        name: The packages' name, with `{n}` for the part's number.
        version: The one version that is asked for.
        member: Path of the part inside the wheel, with `{n}` in any format (`{n:02d}`).
        first: Number of the first part.
        last: Number of the last part.
        part_bytes: Length of every part but the last.
    """

    name: _Text
    version: _Text
    member: _Text
    first: int = Field(ge=0)
    last: int = Field(ge=0)
    part_bytes: int = Field(gt=0)

    @property
    def numbers(self) -> range:
        """The parts' numbers, in order."""
        return range(self.first, self.last + 1)

    def requirement(self, n: int) -> str:
        """Part `n` as a package client is asked for it: "name==version"."""
        return f"{self.name.format(n=n)}=={self.version}"


class Gguf(_Frozen):
    """One GGUF file, pinned.

    Attributes:
        file: Its name in the models' folder.
        bytes: Its length.
        sha256: Its digest, 64 lower-case hexadecimal digits.
        quantization: llama.cpp's name for how the weights are stored.
        hub: URL of the file on a model hub, or None.
        packages: Packages that carry it, or None.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.gguf$")
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    quantization: _Text
    hub: str | None = None
    packages: PackageParts | None = None

    @model_validator(mode="after")
    def _parts_make_the_file(self) -> Self:
        if self.packages is not None:
            count = len(self.packages.numbers)
            if not (count - 1) * self.packages.part_bytes < self.bytes <= count * self.packages.part_bytes:
                raise ValueError(f"{count} parts of {self.packages.part_bytes} bytes do not make {self.bytes}")
        return self

    def span(self, n: int) -> tuple[int, int]:
        """Offset and length in bytes of package part `n` in the file."""
        parts = self.packages
        if parts is None or n not in parts.numbers:
            raise ValueError(f"{self.file} has no part {n}")
        offset = (n - parts.first) * parts.part_bytes
        return offset, min(parts.part_bytes, self.bytes - offset)


class ModelEntry(_Frozen):
    """One model.

    Attributes:
        name: What the user types.
        title: The model's name for people.
        study: Its name in the study's table of results, or None.
        ollama: The tag that Ollama is asked for.
        parameters: Their number, for people ("1.54B").
        licence: Name of the licence of the weights.
        context: Tokens it was trained on.
        num_ctx: Tokens it is opened with unless the user says otherwise.
        roles: What it serves for here.
        gguf: The file that the embedded engine accepts, or None: then only Ollama runs it.
    """

    name: _Text
    title: _Text
    study: str | None
    ollama: _Text
    parameters: _Text
    licence: _Text
    context: int = Field(gt=0)
    num_ctx: int = Field(gt=0)
    roles: tuple[ModelRole, ...] = Field(min_length=1, strict=False)
    gguf: Gguf | None

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.num_ctx > self.context:
            raise ValueError(f"num_ctx {self.num_ctx} is more than the {self.context} tokens of the model's context")
        return self


class _CatalogueFile(_Frozen):
    version: Literal[1] = Field(alias="schema")
    models: tuple[ModelEntry, ...] = Field(strict=False)


@dataclass(frozen=True)
class Catalogue:
    """The models, in the file's order."""

    models: tuple[ModelEntry, ...]

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def find(self, name: str) -> ModelEntry | None:
        """The model of that name, upper and lower case alike, or None: then it may still be a tag that Ollama knows."""
        wanted = name.strip().casefold()
        return next((m for m in self.models if m.name.casefold() == wanted), None)

    def get(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            InputError: There is none; the message names the closest one, or all.
        """
        found = self.find(name)
        if found is None:
            close = self.suggest(name)
            hint = f"did you mean {close}?" if close else f"it has: {', '.join(m.name for m in self.models)}"
            raise InputError(f"{name!r} is not in the catalogue; {hint}")
        return found

    def suggest(self, name: str) -> str | None:
        """The catalogue name that was probably meant by `name` (a typing error, or a model's name in the study), or None."""
        spellings = {s.casefold(): m.name for m in self.models for s in (m.study, m.title, m.name) if s}
        close = difflib.get_close_matches(name.strip().casefold(), spellings, n=1, cutoff=0.75)
        return spellings[close[0]] if close else None


@cache
def load_catalogue() -> Catalogue:
    """The shipped catalogue; read once a process."""
    return read_catalogue(resources.files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8"))


def read_catalogue(text: str) -> Catalogue:
    """A catalogue from its YAML text.

    Raises:
        ValueError: The text is no catalogue: unknown keys, a malformed sha256, parts that do not make the file, or a name
            or a file that is given twice. (`pydantic.ValidationError` is a ValueError.)
    """
    models = _CatalogueFile.model_validate(yaml.safe_load(text)).models
    for kind, values in (
        ("name", [m.name.casefold() for m in models]),
        ("file", [m.gguf.file.casefold() for m in models if m.gguf]),
    ):
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"the {kind} {twice[0]!r} is given twice")
    return Catalogue(models)
