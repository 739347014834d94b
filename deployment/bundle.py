"""The bundle: the winner as a folder, or as one zip file that ends in .balin.

    manifest.json      what it is, where it comes from, its feature set, its scores, and the SHA-256 of every other file
    steps.json         what is asked: messages with a slot for the text, format, probes, schema, thresholds
    test_vector.json   an invented text with the hash of its messages
    metrics.json       the scores it was chosen by, whole
    MODEL_CARD.md      for people
    Modelfile, ollama-create.json   where they were asked for

Reading checks everything before anything is asked: every hash, the versions, and that the steps still make the messages of
the test vector. A zip is never unpacked to the disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..data.files import private_folder, write_private
from ..errors import InputError, ProgramError
from ..programs.index_file import unpacked
from ..signatures.features import FeatureSet
from .manifest import SCHEMAS, STEPS, ExtractStep, Manifest, ModelEntry, TranslateStep, Vector, check_steps
from .runner import Seen, messages_hash

ENDING = ".balin"
MANIFEST = "manifest.json"
NEEDED = ("steps.json", "test_vector.json", "metrics.json", "MODEL_CARD.md")
# A bundle is some hundred kilobytes; a file of more is no part of one, whatever a zip says it unpacks to.
LARGEST = 64 * 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been checked.

    Attributes:
        path: Where it was read from.
        hash: SHA-256 (hex) of its manifest, and so of all of it.
        manifest: What it is.
        feature_set: The questions.
        translation: The first step on the translated route, or None.
        extraction: The last step.
        vector: The test vector.
    """

    path: Path
    hash: str
    manifest: Manifest
    feature_set: FeatureSet
    translation: TranslateStep | None
    extraction: ExtractStep
    vector: Vector

    def model(self, step: TranslateStep | ExtractStep) -> ModelEntry:
        """The model of a step."""
        return self.manifest.models[step.kind]


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        ProgramError: There is none, it is of an unknown version, or it is not what was exported.
    """
    return check_bundle(path, _files(path))


def check_bundle(path: Path, files: Mapping[str, bytes]) -> Bundle:
    """A bundle of its files' bytes; `path` is for errors.

    Raises:
        ProgramError: As `read_bundle`.
    """
    if MANIFEST not in files:
        raise ProgramError(f"{path}: no {MANIFEST} in it; give what `balin export` wrote")
    _check_version(path, files[MANIFEST])
    manifest = _parsed(path, MANIFEST, files[MANIFEST], Manifest)
    _check_hashes(path, manifest, files)
    feature_set = manifest.feature_set.feature_set()
    if feature_set.hash != manifest.feature_set_hash:
        raise ProgramError(f"{path}: {MANIFEST}: the feature set is not the one that was exported")
    try:
        steps = STEPS.validate_json(files["steps.json"])
        check_steps(steps, manifest, feature_set)
    except ValidationError as error:
        raise _invalid(path, "steps.json", error) from None
    except (ValueError, InputError) as error:
        raise ProgramError(f"{path}: steps.json: {error}") from None
    vector = _parsed(path, "test_vector.json", files["test_vector.json"], Vector)
    first, last = steps[0], steps[-1]
    assert isinstance(last, ExtractStep)  # noqa: S101  # check_steps has made sure
    known = _seen(path, vector, last)
    if vector.messages != tuple(messages_hash(step, vector.text, known) for step in steps):
        raise ProgramError(
            f"{path}: this Balin would not ask what the bundle's program asked (its test vector differs); "
            f"use Balin {manifest.balin}, or export the run again"
        )
    return Bundle(
        path=path,
        hash=hashlib.sha256(files[MANIFEST]).hexdigest(),
        manifest=manifest,
        feature_set=feature_set,
        translation=first if isinstance(first, TranslateStep) else None,
        extraction=last,
        vector=vector,
    )


def _seen(path: Path, vector: Vector, step: ExtractStep) -> Seen | None:
    """The test vector's text as the index needs it, without an embedder."""
    if step.index is None:
        return None
    try:
        (direction,) = unpacked(vector.direction or "", step.index.width)
    except ValueError:
        raise ProgramError(f"{path}: test_vector.json: direction: is no embedding of the index") from None
    return Seen(direction)


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle in one step, for its owner's eyes only; a bundle that is there is replaced.

    Args:
        path: A folder, or a file that ends in .balin.
        files: All of them, the manifest among them.

    Raises:
        ProgramError: Something that is no bundle stands in its place.
        InputError: It cannot be written.
    """
    path = path.absolute()
    if path.exists() and not _is_bundle(path):
        raise ProgramError(f"{path}: exists and is no bundle, so it is not replaced; choose another --to")
    private_folder(path.parent)
    if is_zip(path):
        write_private(path, _zipped(files))
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        private_folder(temporary)
        for name, data in files.items():
            write_private(temporary / name, data)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def is_zip(path: Path) -> bool:
    """Whether a bundle of this name is one file."""
    return path.suffix.casefold() == ENDING


def _is_bundle(path: Path) -> bool:
    """Whether what stands there is of the kind that would be written, and a bundle or an empty folder: all in it will be gone."""
    if path.is_dir() and not is_zip(path) and not any(path.iterdir()):
        return True
    if path.is_dir() == is_zip(path):
        return False
    try:
        files = _files(path)
        manifest = json.loads(files[MANIFEST])
        return manifest.get("kind") == "bundle" and set(files) <= {MANIFEST, *manifest["files"]}
    except (ProgramError, KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on the files alone."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, files[name])
    return made.getvalue()


def _files(path: Path) -> dict[str, bytes]:
    """The files of a folder or a zip by name.

    Raises:
        ProgramError: It cannot be read, or holds something that no bundle holds.
    """
    try:
        if path.is_dir():
            found = [f for f in path.iterdir() if not f.name.startswith(".")]
            if not (path / MANIFEST).is_file():
                raise ProgramError(f"{path}: is no bundle, as it has no {MANIFEST}; give what `balin export` wrote")
            for file in found:
                if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
                    raise ProgramError(
                        f"{path}: holds {file.name!r}, which is no file of a bundle; move it elsewhere if you need it"
                    )
            return {f.name: f.read_bytes() for f in found}
        with zipfile.ZipFile(path) as archive:
            return _unzipped(path, archive)
    except FileNotFoundError:
        raise ProgramError(f"{path}: there is no such bundle") from None
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ProgramError(f"{path}: is no bundle, or a damaged one ({type(error).__name__}); copy it again") from None


def _unzipped(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in archive.infolist():
        name = entry.orig_filename
        if "/" in name or "\\" in name or ".." in name or "\0" in name or entry.is_dir():
            raise ProgramError(f"{path}: holds {name[:60]!r}, which is a path; a bundle is flat. It is not used")
        if name in files:
            raise ProgramError(f"{path}: holds {name[:60]!r} twice; it is not used")
        if entry.file_size > LARGEST or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ProgramError(
                f"{path}: {name[:60]!r} is larger than any file of a bundle, or packed in another way; it is not used"
            )
        files[name] = archive.read(entry)
    return files


def _check_version(path: Path, data: bytes) -> None:
    """Told apart before all else: of another version nothing else is known."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ProgramError(f"{path}: {MANIFEST} is not JSON; copy the bundle again") from None
    version = content.get("schema") if isinstance(content, dict) else None
    if type(version) is not int or version not in SCHEMAS:
        raise ProgramError(
            f"{path}: bundle version {version!r} is unknown; this Balin reads version {', '.join(map(str, SCHEMAS))}: "
            "use the Balin that made it, or export the run again"
        )


def _check_hashes(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    missing = [name for name in (*NEEDED, *manifest.files) if name not in files or name not in manifest.files]
    if missing:
        raise ProgramError(f"{path}: {missing[0]!r} is missing; copy the bundle again")
    unlisted = [name for name in files if name not in manifest.files and name != MANIFEST]
    if unlisted:
        raise ProgramError(
            f"{path}: holds {unlisted[0]!r}, which its manifest does not know; move it elsewhere if you need it"
        )
    for name, digest in manifest.files.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ProgramError(f"{path}: {name} is not what was exported (its SHA-256 differs); it is not used")


def _parsed(path: Path, name: str, data: bytes, kind: type[_Model]) -> _Model:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(path, name, error) from None


def _invalid(path: Path, name: str, error: ValidationError) -> ProgramError:
    """Place and kind only: pydantic's message would quote the value, which may be a demo's text."""
    first = error.errors(include_input=False)[0]
    return ProgramError(f"{path}: {name}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['type']}")
