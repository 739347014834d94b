"""The answer formats: how a model is asked to write its answers, and how they are read. Pure, no DSPy.

prompt.py   Task, Demo, Prompt and the AnswerFormat protocol
values.py   True and False as models write them, and as probabilities
lines.py    `lines`: the study's template
json.py     `json`: an object of booleans under a schema
present.py  `present`: an array of what is present
probe.py    `probe`: the template written for the model, which fills in one token a feature
"""

from __future__ import annotations

from ...errors import InputError
from .json import Json
from .lines import Lines
from .present import Present
from .probe import Probe
from .prompt import AnswerFormat, Demo, Prompt, Task

__all__ = ["FORMATS", "AnswerFormat", "Demo", "Prompt", "Task", "answer_format"]

FORMATS: dict[str, AnswerFormat] = {f.name: f for f in (Lines(), Json(), Present(), Probe())}


def answer_format(name: str) -> AnswerFormat:
    """The format of that name.

    Raises:
        InputError: There is none.
    """
    if name not in FORMATS:
        raise InputError(f"no answer format {name!r}; there are: {', '.join(FORMATS)}")
    return FORMATS[name]
