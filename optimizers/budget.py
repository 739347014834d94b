"""How much a search may spend: trials, calls and generated tokens of the whole study, seconds of one command; and a stop file.

What a study has spent does not depend on what the store held or on how often it was interrupted: an answer counts once, for
the trial that needed it first, with what it cost when it was made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .space import Space


@dataclass(frozen=True)
class Budget:
    """Limits; None is no limit. The trial that crosses one in calls or tokens is finished.

    Attributes:
        trials: Configurations tried, pruned ones included, repeated ones not.
        calls: Requests to engines.
        tokens: Generated tokens.
        seconds: Wall time of this command.
    """

    trials: int | None = 40
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def check(self) -> None:
        """Refuse what is not positive.

        Raises:
            InputError: The message names the option.
        """
        for name in ("trials", "calls", "tokens", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"--max-{name} must be above 0")

    def used_up(self, spent: Spent) -> str | None:
        """Which limit in counts is reached, as a sentence; None where none is."""
        for name, words in (("trials", "configurations tried"), ("calls", "calls"), ("tokens", "generated tokens")):
            limit, used = getattr(self, name), getattr(spent, name)
            if limit is not None and used >= limit:
                return f"the budget of {limit} {words} is used up"
        return None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a study has cost so far; see `Budget`."""

    trials: int = 0
    calls: int = 0
    tokens: int = 0


@dataclass
class Meter:
    """Counts answers, each once.

    Attributes:
        seen: Short keys of the answers that earlier trials paid for.
        charged: Those that the trial at work needed first: key to (calls, generated tokens).
    """

    seen: set[str] = field(default_factory=set)
    charged: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self, seen: Iterable[str]) -> None:
        """A new trial; `seen` are the keys that others have paid for."""
        self.seen = set(seen)
        self.charged = {}

    def add(self, key: str, calls: int, tokens: int) -> None:
        """An answer was needed."""
        if key not in self.seen:
            self.charged[key] = (calls, tokens)

    @property
    def calls(self) -> int:
        """Of the trial at work."""
        return sum(calls for calls, _ in self.charged.values())

    @property
    def tokens(self) -> int:
        """Of the trial at work."""
        return sum(tokens for _, tokens in self.charged.values())


class Halted(Exception):
    """The clock or the stop file ends the search in the middle of a trial; the message says which."""


class Halt:
    """The clock and the stop file, looked at between transcripts.

    Args:
        seconds: Wall time from now on, or None.
        stop_file: The search ends when this file is there.
        clock: Tells the time in seconds.
    """

    def __init__(self, seconds: float | None, stop_file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._seconds = seconds
        self.stop_file = stop_file

    def check(self) -> None:
        """Go on or not.

        Raises:
            Halted: Not.
        """
        if self._end is not None and self._clock() >= self._end:
            raise Halted(f"the budget of {self._seconds:g} seconds is used up")
        if self.stop_file.exists():
            raise Halted(f"the stop file {self.stop_file} is there; remove it and give the command again to go on")


def estimate(budget: Budget, transcripts: int, dev: int, features: int, space: Space) -> str:
    """What the search will take at most, in sentences, before anything is asked.

    Args:
        budget: Its limits.
        transcripts: Scored in each trial.
        dev: Transcripts that finalists are scored on.
        features: Calls that one answer of `probe` takes.
        space: What is searched.
    """
    configurations = sum(1 for _ in space.configurations())
    most = configurations if budget.trials is None else min(budget.trials, configurations)
    probes = features if "probe" in space.formats else 1
    votes = max(space.votes) if space.formats != ("probe",) else 1
    calls = most * transcripts * max(probes, votes)
    why = [f"a probe takes {probes} short ones"] * (probes > 1) + [f"up to {votes} votes"] * (votes > 1)
    text = (
        f"{most} of {configurations} configurations on {transcripts} transcripts: at most {most * transcripts} answers, "
        f"{calls} calls" + (f" ({', '.join(why)})" if why else "")
    )
    limits = [
        f"{limit:g} {name}"
        for name, limit in (("calls", budget.calls), ("generated tokens", budget.tokens), ("seconds", budget.seconds))
        if limit is not None
    ]
    text += f"; it stops at {' or '.join(limits)}" if limits else ""
    if dev > transcripts:
        text += f". Then, outside the limits, the best few on the other {dev - transcripts} transcripts of dev"
    return text
