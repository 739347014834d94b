"""The format `probe`: the template of `lines`, written for the model, which fills in one token a feature.

The prompt is that of `lines`. Behind it stands what the model would have written up to a value (`Pain:`), P(true) is read from
the next token, the likelier value is put there, and the next label follows. Nearly all of it is a prefix that was computed
before: an answer costs one token where `lines` writes seven, it cannot be missing for want of a label, and it has a
probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...engines.protocol import Completion
from ...signatures.answers import MISSING, Answer
from .lines import Lines
from .prompt import Demo, Prompt, Task
from .values import probability


class Probe:
    """See the module."""

    name = "probe"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        written = Lines().prompt(task, demos, text)
        labels = [f"{f.label[task.language]}:" for f in task.feature_set]
        probes = (labels[0], *(f"\n{label}" for label in labels[1:]))
        return replace(written, max_tokens=1, top_logprobs=20, partial=False, probes=probes)

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; a feature is missing where neither value is among the likeliest tokens."""
        answers: dict[str, Answer] = {}
        for identifier, completion in zip(task.feature_set.ids, completions, strict=True):
            p_true = probability(completion.tokens[0]) if completion.tokens else None
            answers[identifier] = MISSING if p_true is None else Answer.of(p_true >= 0.5, p_true)
        return answers
