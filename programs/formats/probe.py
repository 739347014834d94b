"""The format `probe`: nothing is written; for each feature one token is read behind a prefix that is computed once.

The system message, the demos and the transcript are the shared prefix. Behind it each feature's short label is appended
alone, as if the answer began with it, and P(true) is read from the next token. No answer sees another, so the order
of the features does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...engines.protocol import Completion
from ...signatures.answers import MISSING, Answer
from .lines import written
from .prompt import Demo, Prompt, Task, conversation
from .values import probability


class Probe:
    """See the module."""

    name = "probe"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        names = {f.id: f.short[task.language] for f in task.feature_set}
        system = "\n\n".join((task.instructions, f"{task.words('probe')}\n{task.listing(names)}"))
        turns = [(d.text, written(names, d.labels)) for d in demos]
        messages = conversation(task, system, turns, text)
        return Prompt(messages, 1, top_logprobs=20, probes=tuple(f"{n}:" for n in names.values()))

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; a feature is missing where neither value is among the likeliest tokens."""
        answers: dict[str, Answer] = {}
        for identifier, completion in zip(task.feature_set.ids, completions, strict=True):
            p_true = probability(completion.tokens[0]) if completion.tokens else None
            answers[identifier] = MISSING if p_true is None else Answer.of(p_true >= 0.5, p_true)
        return answers
