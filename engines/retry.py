"""Which failures may pass, and how long to wait for that: exponential backoff with jitter that gives up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import BalinError

T = TypeVar("T")


class TryAgain(Exception):
    """One attempt failed in a way that may pass.

    Args:
        final: The error to raise when no attempt is left, made of the attempts and of the seconds that they took.
        limit: Attempts worth making after failures of this kind, if fewer than the loop allows.
    """

    def __init__(self, final: Callable[[int, float], BalinError], *, limit: int | None = None) -> None:
        super().__init__("an attempt failed")
        self.final = final
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Backoff:
    """Attempts with growing pauses between them.

    Attributes:
        retries: Attempts after the first; 0 or more.
        first: Seconds of the first pause at most; each further one is at most twice as long.
        longest: Seconds that no pause exceeds.
        sleep: Waits; tests replace it.
        jitter: A number in [0, 1); spreads clients that failed together.
    """

    retries: int = 3
    first: float = 1.0
    longest: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """Seconds to wait after this many failures (1 or more): between half the current ceiling and all of it."""
        ceiling = self.first
        for _ in range(failures - 1):
            ceiling = min(2 * ceiling, self.longest)
        return min(ceiling, self.longest) * (0.5 + 0.5 * self.jitter())

    def run(self, attempt: Callable[[], T]) -> tuple[T, int]:
        """The first result of `attempt`, and the failures before it.

        Raises:
            BalinError: What the last `TryAgain` makes of it, without a cause: a client's own exceptions carry the request.
        """
        failures = 0
        started = time.perf_counter()
        while True:
            try:
                return attempt(), failures
            except TryAgain as error:
                failed = error
            failures += 1
            if failures > (self.retries if failed.limit is None else min(failed.limit, self.retries)):
                raise failed.final(failures, time.perf_counter() - started)
            self.sleep(self.pause(failures))
