"""Work over many items with as many requests at once as an engine has slots; results in the items' order.

Items that are worked on at once share the time: while n of them are, each is charged one n-th of every second, so that the
seconds of all add up to the seconds that passed. `seconds` is the clock that tells it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from .protocol import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")

_CLOCK: ContextVar[Callable[[], float]] = ContextVar("_CLOCK", default=time.perf_counter)


def seconds() -> float:
    """A clock for what one item takes: differences of it are seconds of its own share."""
    return _CLOCK.get()()


class SharedClock:
    """A clock that runs slower by as many as are at work.

    Args:
        now: Tells real time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._working = 0
        self._last = now()
        self._shared = 0.0

    def __call__(self) -> float:
        """Shared seconds since some moment."""
        with self._lock:
            return self._moved()

    @contextmanager
    def working(self) -> Iterator[None]:
        """One more is at work, and reads this clock as `seconds`."""
        self._changed(+1)
        token = _CLOCK.set(self)
        try:
            yield
        finally:
            _CLOCK.reset(token)
            self._changed(-1)

    def _changed(self, by: int) -> None:
        with self._lock:
            self._moved()
            self._working += by

    def _moved(self) -> float:
        now = self._now()
        self._shared += (now - self._last) / max(self._working, 1)
        self._last = now
        return self._shared


def each(
    engine: Engine, items: Sequence[Item], work: Callable[[Item], Result], advance: Callable[[int, int], None]
) -> list[Result]:
    """`work` on every item.

    Args:
        engine: Says how many at once.
        items: In the order in which they are begun.
        work: Called from several threads where the engine has several slots.
        advance: Told (done, of), first with 0.

    Returns:
        One result for each item. The first error stops the rest and is raised; what is running is waited for.
    """
    total = len(items)
    advance(0, total)
    done: list[Result] = []
    if engine.slots == 1:
        for item in items:
            done.append(work(item))
            advance(len(done), total)
        return done
    clock = SharedClock()

    def share(item: Item) -> Result:
        with clock.working():
            return work(item)

    with ThreadPoolExecutor(engine.slots) as pool:
        # DSPy's settings are context variables, which threads of a pool do not inherit.
        futures = [pool.submit(copy_context().run, share, item) for item in items]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                advance(count, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]
