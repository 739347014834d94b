"""The format `probe`: each feature is read alone, as one token behind its short label.

Nothing is written. Behind the rendered prompt stands `- Fever:`, and P(true) is read from the next token; then the same
behind the next short label. Instructions, demos and transcript are a prefix that has been computed before, so a feature
costs the few tokens of its label. No answer sees another, so their order has no effect and none can be missing for want
of a label.

The leading dash makes each label begin with a space, where a word is one token in most vocabularies, and is itself part of
the cached prefix. How the wording and the labels were chosen, and what else was tried, is in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...engines.protocol import Completion
from ...signatures.answers import MISSING, Answer
from .prompt import Demo, Prompt, Task, conversation
from .values import probability


class Probe:
    """See the module."""

    name = "probe"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        names = {f.id: f.short[task.language] for f in task.feature_set}
        labels = {i: f"- {name}:" for i, name in names.items()}
        listing = task.listing(names) if task.definitions else "\n".join(f"- {name}" for name in names.values())
        system = "\n\n".join((task.instructions, f"{task.words('probe')}\n{listing}"))
        turns = [(d.text, "\n".join(f"{labels[i]} {d.labels[i]}" for i in labels)) for d in demos]
        messages = conversation(task, system, turns, text)
        return Prompt(messages, max_tokens=1, top_logprobs=20, probes=tuple(labels.values()))

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; a feature is missing where neither value is among the likeliest tokens."""
        answers: dict[str, Answer] = {}
        for identifier, completion in zip(task.feature_set.ids, completions, strict=True):
            p_true = probability(completion.tokens[0]) if completion.tokens else None
            answers[identifier] = MISSING if p_true is None else Answer.of(p_true >= 0.5, p_true)
        return answers
