"""The format `present`: a JSON array of the ids that are present, under a schema; the cheapest to decode.

["pain", "fever"]
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...engines.protocol import Completion
from ...signatures.answers import MISSING, Answer
from .prompt import Demo, Prompt, Task, conversation


class Present:
    """See the module."""

    name = "present"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        ids = task.feature_set.ids
        names = {f.id: f'"{f.id}" ({f.label[task.language]})' for f in task.feature_set}
        system = "\n\n".join((task.instructions, f"{task.words('present')}\n{task.listing(names)}"))
        turns = [(d.text, json.dumps([i for i in ids if d.labels[i]])) for d in demos]
        schema = {"type": "array", "items": {"type": "string", "enum": list(ids)}, "maxItems": len(ids)}
        return Prompt(conversation(task, system, turns, text), task.max_tokens, schema)

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; text that is no array makes every answer missing."""
        text = completions[0].text
        begin, end = text.find("["), text.rfind("]")
        try:
            found = json.loads(text[begin : end + 1]) if 0 <= begin < end else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            return dict.fromkeys(task.feature_set.ids, MISSING)
        ids = task.feature_set.ids
        named = {item for item in found if isinstance(item, str)}
        # An item that is no id may be a feature under another name: what is not named is then not known to be absent.
        unknown = len(named) < len(found) - _repeats(found) or not named <= set(ids)
        return {i: Answer.of(True) if i in named else MISSING if unknown else Answer.of(False) for i in ids}


def _repeats(found: list[object]) -> int:
    """How many items say again what an item before them said."""
    texts = [item for item in found if isinstance(item, str)]
    return len(texts) - len(set(texts))
