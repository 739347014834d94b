"""The answer to one feature of one transcript: four states, and a probability where it can be had.

`missing` (the model gave no readable value) and `error` (the call failed) are states of their own. Nothing in Balin turns
them silently into "not present"; only a scoring policy does, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is known of one feature after asking."""

    TRUE = "true"
    FALSE = "false"
    MISSING = "missing"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Answer:
    """A state, with P(true) in [0, 1] or None where the format gives no probability."""

    state: State
    p_true: float | None = None

    @classmethod
    def of(cls, value: bool | None, p_true: float | None = None) -> Answer:
        """The answer for True, False or None (missing)."""
        state = State.MISSING if value is None else State.TRUE if value else State.FALSE
        return cls(state, p_true)

    @property
    def value(self) -> bool | None:
        """True or False, or None for both `missing` and `error`."""
        return {State.TRUE: True, State.FALSE: False}.get(self.state)


MISSING = Answer(State.MISSING)
ERROR = Answer(State.ERROR)
