"""Who is at work on a study: each worker holds a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ..data.files import private_folder

if sys.platform != "win32":
    import fcntl


class Worker:
    """This process at work; others see by its lock file whether it lives.

    Args:
        folder: Shared by the workers of one machine (or file system).

    Attributes:
        name: Of this worker.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self._folder = folder
        self.name = uuid.uuid4().hex
        self._handle = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _try_lock(self._handle)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._handle)

    def alive(self, name: str) -> bool | None:
        """Whether another worker is at work; None where this machine cannot know."""
        if name == self.name:
            return True
        try:
            handle = os.open(self._folder / name, os.O_RDWR)
        except OSError:
            return None
        try:
            free = _try_lock(handle)
        finally:
            os.close(handle)
        return None if free is None else not free

    def others(self) -> list[str]:
        """The other workers of this folder that live."""
        return [p.name for p in self._folder.iterdir() if p.name != self.name and self.alive(p.name)]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One worker of a folder at a time; the others wait."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool | None:
    """Take the lock if it is free; None on systems without `flock`."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
