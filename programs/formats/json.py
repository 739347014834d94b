"""The format `json`: one object of booleans under a JSON schema, with P(true) from the token that begins each value.

{"pain": true, "fever": false}
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ...engines.protocol import Completion, TokenChoice
from ...signatures.answers import MISSING, Answer
from .prompt import Demo, Prompt, Task, conversation
from .values import probability, read_value


class Json:
    """See the module."""

    name = "json"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        names = {f.id: f'"{f.id}" ({f.label[task.language]})' for f in task.feature_set}
        system = "\n\n".join((task.instructions, f"{task.words('json')}\n{task.listing(names)}"))
        # A space after each colon: the value then begins at the boundary of the models' own tokens (" true").
        turns = [(d.text, json.dumps({i: d.labels[i] for i in task.feature_set.ids})) for d in demos]
        return Prompt(conversation(task, system, turns, text), task.max_tokens, _schema(task), top_logprobs=10)

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; text that is no object makes every answer missing."""
        completion = completions[0]
        values = _object(completion.text)
        answers: dict[str, Answer] = {}
        for identifier in task.feature_set.ids:
            value = _boolean(values.get(identifier))
            choice = None if value is None else _value_token(completion.tokens, identifier)
            answers[identifier] = (
                MISSING if value is None else Answer.of(value, probability(choice) if choice else None)
            )
        return answers


def _schema(task: Task) -> dict[str, Any]:
    ids = task.feature_set.ids
    return {
        "type": "object",
        "properties": {i: {"type": "boolean"} for i in ids},
        "required": list(ids),
        "additionalProperties": False,
    }


def _object(text: str) -> dict[str, Any]:
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1]) if 0 <= begin < end else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return read_value(str(value)) if isinstance(value, str | int) else None


def _value_token(tokens: Sequence[TokenChoice], identifier: str) -> TokenChoice | None:
    """The token that holds the first character of the value behind `"identifier":`."""
    text = "".join(t.token for t in tokens)
    match = re.search(rf'"{re.escape(identifier)}"\s*:\s*"?(?=\w)', text)
    if match is None:
        return None
    place = 0
    for token in tokens:
        place += len(token.token)
        if place > match.end():
            return token
    return None
