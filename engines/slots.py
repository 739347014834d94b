"""Work over many items with as many requests at once as an engine has slots; results in the items' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import TypeVar

from .protocol import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    with ThreadPoolExecutor(engine.slots) as pool:
        # DSPy's settings are context variables, which threads of a pool do not inherit.
        futures = [pool.submit(copy_context().run, work, item) for item in items]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                advance(count, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]
