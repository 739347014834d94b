"""The format `lines`: the study's template, one `Label: True` or `Label: False` a line, read by a tolerant parser.

Pain: True
Fever: False
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...engines.protocol import Completion
from ...signatures.answers import MISSING, Answer
from ...signatures.features import FeatureSet
from .prompt import Demo, Prompt, Task, conversation
from .values import fold, read_value

_MARKS = r"[\s*_`\"'«»“”(\[{#>|\-–—•.)\]}]"


class Lines:
    """See the module."""

    name = "lines"

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """See `AnswerFormat.prompt`."""
        labels = {f.id: f.label[task.language] for f in task.feature_set}
        parts = [task.instructions]
        if task.definitions:
            parts.append(f"{task.words('features')}\n{task.listing(labels)}")
        parts.append(task.words("lines") + "\n" + "\n".join(f"{label}:" for label in labels.values()))
        turns = [(d.text, written(labels, d.labels)) for d in demos]
        messages = conversation(task, "\n\n".join(parts), turns, text)
        return Prompt(messages, task.max_tokens, partial=True)

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """See `AnswerFormat.read`; of a cut answer the last line is not trusted."""
        completion = completions[0]
        text = completion.text
        if completion.finish == "length":
            text = text[: text.rfind("\n") + 1]
        found = parse_lines(text, task.feature_set)
        return {i: Answer.of(found[i]) if i in found else MISSING for i in task.feature_set.ids}


def written(labels: Mapping[str, str], values: Mapping[str, bool]) -> str:
    """The filled template."""
    return "\n".join(f"{label}: {values[i]}" for i, label in labels.items())


def parse_lines(text: str, feature_set: FeatureSet) -> dict[str, bool]:
    """The values that a text gives, by feature id; features without a readable value are left out.

    A name is a feature's label, short label or id in any of the set's languages, in any case, with any marks around it,
    followed by a separator. The value ends at the line's end, a comma or semicolon, or the next name. A feature that is
    named more than once keeps its first readable value.
    """
    names = _names(feature_set)
    alternatives = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)({alternatives}){_MARKS}*[:=→?]{_MARKS}*")
    folded = fold(text)
    matches = list(pattern.finditer(folded))
    found: dict[str, bool] = {}
    for i, match in enumerate(matches):
        end = matches[i + 1].start() if i + 1 < len(matches) else len(folded)
        # The marks after the separator may swallow the line's end; a value on the next line still belongs to this name.
        value = read_value(re.split(r"[\n,;،؛]", folded[match.end() : end], maxsplit=1)[0])
        if value is not None:
            found.setdefault(names[match.group(1)], value)
    return found


def _names(feature_set: FeatureSet) -> dict[str, str]:
    names: dict[str, str] = {}
    for feature in feature_set:
        for text in (feature.id, *feature.label.values(), *feature.short.values()):
            names.setdefault(fold(text), feature.id)
    return names
