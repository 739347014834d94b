"""Files that are whole or not there, lines that survive a power cut, and both for the owner's eyes only.

`write_private` replaces a file in one step. `append_line` adds one line to a log that several processes share: the line is
on the disk when the function returns, and a line that a power cut tore is closed off first, so that it cannot spoil the next.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, mode 0600, to be written; it takes the place of `path` when the block ends well.

    Raises:
        InputError: The folder is missing or cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Make a folder, mode 0700, with those above it; one that is there is left as it is.

    Raises:
        InputError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"{path}: cannot be used as a folder: {error.strerror}") from None


def plain_name(text: str, length: int = 24) -> str:
    """`text` as a piece of a file name: letters, digits, "." and "_", at most `length` of them, no "." first."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)[:length].lstrip(".") or "_"


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, mode 0600.

    Raises:
        InputError: The folder is missing or cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def append_line(path: Path, line: bytes, header: bytes | None = None) -> None:
    """Append one line, under an exclusive lock, and return when it is on the disk.

    Args:
        path: The file, made with mode 0600 where it is missing.
        line: Without its newline.
        header: The first line of a new file. Left out where the file has a whole line already.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    new = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        with _locked(handle):
            whole, torn = _state(handle)
            lines = b"\n" if torn else b""
            if header is not None and not whole:
                lines += header + b"\n"
            _write_all(handle, lines + line + b"\n")
            os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        _sync_folder(path.parent)


def _state(handle: int) -> tuple[bool, bool]:
    """Whether the file has a whole line, and whether its last line lacks its end."""
    size = os.fstat(handle).st_size
    if size == 0:
        return False, False
    os.lseek(handle, size - 1, os.SEEK_SET)
    torn = os.read(handle, 1) != b"\n"
    if not torn:
        return True, False
    os.lseek(handle, 0, os.SEEK_SET)
    while block := os.read(handle, 1 << 16):
        if b"\n" in block:
            return True, True
    return False, True


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    """An exclusive lock between processes; on systems without `flock` there is none."""
    if sys.platform == "win32":
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk, where the system lets a folder be synced."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
