"""The one tree of errors: what was wrong, where, and what to do.

Every error that a user can cause or meet is a `BalinError`. Its message is one or two sentences for the terminal; it
names files, rows, ids, keys and limits, and it never holds text of a transcript. `exit_code` is what the command line
returns: 1 a check failed, 2 wrong use or wrong input, 3 no engine or no model to work with.

    BalinError
    ├── CheckFailed            1  the work was done and a check on it failed
    ├── InputError             2  an option, a file or a value of the user's
    │   ├── DataError             a data file: file and row
    │   ├── FeatureSetError       a feature-set file: file, line and key
    │   ├── ProgramError          a program file
    │   └── RunError              a run folder or a store
    ├── EngineUnavailable      3  nothing can be asked: no server, no weights, no such model
    │   ├── ModelMissing
    │   ├── ModelChanged
    │   └── RemoteRefused
    └── CallError              1  one request failed; the work goes on and the answer is `error`
        ├── PromptTooLong
        ├── IncompleteAnswer
        ├── EmptyAnswer
        └── CallTimeout
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BalinError",
    "CallError",
    "CallTimeout",
    "CheckFailed",
    "DataError",
    "EmptyAnswer",
    "EngineUnavailable",
    "FeatureSetError",
    "IncompleteAnswer",
    "InputError",
    "ModelChanged",
    "ModelMissing",
    "ProgramError",
    "PromptTooLong",
    "RemoteRefused",
    "RunError",
]


class BalinError(Exception):
    """The root: everything that Balin raises on purpose."""

    exit_code = 1


class CheckFailed(BalinError):
    """The work was done, and a check on its result failed."""


class InputError(BalinError):
    """An option, a file or a value that the user gave cannot be used."""

    exit_code = 2


class DataError(InputError):
    """A data file cannot be read or does not hold what was asked of it."""


class FeatureSetError(InputError):
    """A feature-set file is wrong; the message names file, line and key."""


class ProgramError(InputError):
    """A program file is wrong or of an unknown version."""


class RunError(InputError):
    """A run folder or a store is wrong, locked or of an unknown version."""


class EngineUnavailable(BalinError):
    """Nothing can be asked of the engine; the command stops with the work so far kept."""

    exit_code = 3


class ModelMissing(EngineUnavailable):
    """The engine answers, but it does not have this model; or the weights are not on this machine."""


class ModelChanged(EngineUnavailable):
    """The model's digest is not the one that this study or run began with."""


class RemoteRefused(EngineUnavailable):
    """The host or the model would take the text out of this machine, and nobody allowed that."""


class CallError(BalinError):
    """One request failed for a reason of its own; other transcripts can still be asked.

    Attributes:
        kind: A short stable name of the reason, stored with the answer (for example `prompt_too_long`).
    """

    kind = "call_failed"


class PromptTooLong(CallError):
    """The prompt and the room for the answer do not fit the context.

    Args:
        needed: Tokens of the prompt plus tokens reserved for the answer.
        limit: The context in tokens (`num_ctx`).
    """

    kind = "prompt_too_long"

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__(
            f"the prompt needs {needed} tokens and the context has {limit}: {needed - limit} too many; "
            "use fewer demos or raise --num-ctx"
        )
        self.needed = needed
        self.limit = limit


class IncompleteAnswer(CallError):
    """The model stopped in the middle: the length limit, `done: false` or a repetition guard."""

    kind = "incomplete_answer"


class EmptyAnswer(CallError):
    """The model wrote nothing, or only its thinking."""

    kind = "empty_answer"


class CallTimeout(CallError):
    """No answer within the time limit, after all retries."""

    kind = "timeout"


# Failures of a call that are the program's own: another one might have finished. Of the others (a timeout, a lost connection) it
# is innocent, and they may pass.
OWN_FAULTS: Final = frozenset({PromptTooLong.kind, IncompleteAnswer.kind, EmptyAnswer.kind})
# The kind of failure of a transcript without an English text, where that is what is read.
NO_ENGLISH: Final = "no_english_text"
