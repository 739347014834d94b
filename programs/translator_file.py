"""Translators as JSON files: what `programs.saving` is for extractors. Of demos the source and its translation only.

A loaded translator makes prompts that are byte for byte those of the saved one; the stored hash proves it. It holds for
texts of its source language, whatever is asked about them afterwards, so other questions need no other translations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..data.files import write_private
from ..errors import ProgramError
from ..signatures.features import FeatureSet
from ..signatures.translate import language_name
from .saving import Strict, check_text, read_checked
from .translation import ROOM
from .translator import Translator

SCHEMA_VERSION = 1


class _Demo(Strict):
    source: str
    translation: str


class _TranslatorFile(Strict):
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    kind: Literal["translate"]
    name: str
    hash: str
    source_language: str
    target: str
    max_tokens: Annotated[int, Field(ge=1)]
    room: Annotated[int, Field(ge=0)]
    repeat_penalty: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    instructions: Annotated[str, Field(min_length=1)]
    demos: list[_Demo]


def save_translator(translator: Translator, path: Path) -> None:
    """Write a translator; the file may hold the text of its demos, so only its owner can read it."""
    content = {
        "schema": SCHEMA_VERSION,
        "kind": "translate",
        "name": translator.name,
        "hash": translator.hash(),
        "source_language": translator.source_language,
        **translator.state(),
    }
    write_private(path, (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8"))


def load_translator(path: Path, feature_set: FeatureSet) -> Translator:
    """Read a translator for transcripts of a feature set's source language.

    Raises:
        ProgramError: No such file, not a translator, an unknown version, another source language, or changed prompts.
    """
    if not path.is_file():
        raise ProgramError(
            f"no translator program {str(path)!r}: give a file (--translator-program FILE) that `balin optimize --stage translate` left"
        )
    found = read_checked(
        path,
        {SCHEMA_VERSION: _TranslatorFile},
        "`balin optimize --stage translate` leaves such a file as translator.json",
    )
    if found.source_language != feature_set.source_language:
        raise ProgramError(
            f"{path}: it translates from {language_name(found.source_language)}, and the transcripts of feature set "
            f"{feature_set.id} are in {language_name(feature_set.source_language)}; choose one on your own data "
            "(balin optimize --stage translate)"
        )
    translator = Translator(
        feature_set,
        name=found.name,
        target=found.target,
        instructions=found.instructions,
        max_tokens=found.max_tokens,
        repeat_penalty=found.repeat_penalty,
    )
    check_text(path, "instructions", found.instructions)
    for index, demo in enumerate(found.demos):
        for text in (demo.source, demo.translation):
            check_text(path, f"demos[{index}]", text)
    translator.set_demos([(demo.source, demo.translation) for demo in found.demos])
    if translator.hash() != found.hash or found.room != ROOM:
        raise ProgramError(
            f"{path}: its prompts are not those it was saved with: the file or Balin's wording was changed"
        )
    return translator


def translator_of(program: str | None, feature_set: FeatureSet) -> Translator:
    """The translator of a file, or the default one where no file is named.

    Raises:
        ProgramError: As `load_translator`.
    """
    return Translator(feature_set) if program is None else load_translator(Path(program), feature_set)
