"""The store of translations and predictions: what a model has said once is never asked again.

One append-only JSONL file a kind, for example `translations.jsonl`. Its first line is a header with the schema version; every
other line is `{"key": …, "record": …}`. A record is on the disk before `put` returns. A line that a power cut tore is skipped,
and of two lines with one key the later wins. Several threads and several processes may write to one store.

The keys are made by `key_of` from all that the record depends on: hashes of text and program, and the model's identity.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from .files import append_line

SCHEMA_VERSION = 1

_KIND = re.compile(r"[a-z][a-z_]*\Z")


def canonical(value: object) -> bytes:
    """The one JSON form of a JSON-ready value: sorted keys, no spaces, UTF-8.

    Raises:
        TypeError: It is not JSON-ready.
        ValueError: It holds a NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def key_of(**parts: object) -> str:
    """SHA-256 (64 hex digits) of the named, JSON-ready parts; their order does not matter."""
    return hashlib.sha256(canonical(parts)).hexdigest()


class Store:
    """Records by kind and key, in one folder.

    All lines of a kind are held in memory, as bytes (about the file's size).

    Args:
        folder: Made with mode 0700 where it is missing.

    Raises:
        RunError: The folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: the store cannot be made: {error.strerror}") from None
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The record (a new dictionary at each call), or None. A miss looks for what other processes have added.

        Raises:
            RunError: The file is of an unknown version, is not a store or cannot be read.
        """
        with self._lock:
            line = self._file(kind).find(key)
        if line is None:
            return None
        record: dict[str, Any] = json.loads(line)["record"]
        return record

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a JSON-ready record; it is on the disk when this returns.

        Raises:
            RunError: The file is of an unknown version, is not a store or cannot be written.
            TypeError: The record is not JSON-ready.
            ValueError: The record holds a NaN or an infinity.
        """
        line = canonical({"key": key, "record": dict(record)})
        with self._lock:
            self._file(kind).add(line)

    def count(self, kind: str) -> int:
        """How many keys of a kind have a record."""
        with self._lock:
            file = self._file(kind)
            file.refresh()
            return len(file.lines)

    def __len__(self) -> int:
        return sum(self.count(path.stem) for path in self.folder.glob("*.jsonl") if _KIND.match(path.stem))

    def _file(self, kind: str) -> _File:
        if kind not in self._files:
            if not _KIND.match(kind):
                raise ValueError(f"{kind!r} is no kind of record: lower-case letters and _ only")
            self._files[kind] = _File(self.folder / f"{kind}.jsonl", kind)
        return self._files[kind]


class _File:
    """One file of the store: the last line of every key, and how far the file has been read."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.header = canonical({"schema": SCHEMA_VERSION, "kind": kind})
        self.lines: dict[str, bytes] = {}
        self.offset = 0
        self.begun = False

    def find(self, key: str) -> bytes | None:
        if key not in self.lines:
            self.refresh()
        return self.lines.get(key)

    def add(self, line: bytes) -> None:
        self.refresh()
        try:
            append_line(self.path, line, self.header)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from None
        self.refresh()

    def refresh(self) -> None:
        """Read the whole lines that were added since the last time."""
        try:
            size = self.path.stat().st_size
            if size < self.offset:
                raise RunError(
                    f"{self.path}: has become shorter while it was in use; nothing but Balin may write to it"
                )
            if size == self.offset:
                return
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            if self.offset:
                raise RunError(f"{self.path}: has gone while it was in use") from None
            return
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read: {error.strerror}") from None
        end = data.rfind(b"\n") + 1
        for line in data[:end].split(b"\n"):
            if line:
                self.take(line)
        self.offset += end
        if not self.begun and not self.header.startswith(data[end:]):
            raise self.foreign()

    def take(self, line: bytes) -> None:
        """One whole line: the header if it is the first, else a record; a line that was torn once is passed over."""
        if not self.begun:
            if line != self.header and self.header.startswith(line):
                return
            self.check_header(line)
            self.begun = True
            return
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if isinstance(entry, dict) and isinstance(entry.get("key"), str) and isinstance(entry.get("record"), dict):
            self.lines[entry["key"]] = line

    def check_header(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            raise self.foreign() from None
        expected = json.loads(self.header)
        if not isinstance(entry, dict) or entry.get("kind") != expected["kind"] or "schema" not in entry:
            raise self.foreign()
        if entry["schema"] != SCHEMA_VERSION:
            raise RunError(
                f"{self.path}: store version {entry['schema']!r} is unknown; this Balin reads version {SCHEMA_VERSION}"
            )

    def foreign(self) -> RunError:
        return RunError(f"{self.path}: is not a store of Balin's; move it away or choose another folder")
