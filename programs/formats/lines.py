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
from .values import WORD, fold, read_value

_MARK = r"[^\S\n]|[*_`\"'«»“”(\[{#>|\-–—•.)\]}]"
_BREAK = re.compile(r"[\n,;،؛|]")
_NUMBER = re.compile(r"\W*(?:\d+|[a-z])[.)]")


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
    followed by a separator. It stands at the beginning of a line or of a part of one, or directly behind a value, so that
    "no fever: true" says nothing of fever. The value ends at the line's end, a comma or semicolon, or the next name. A feature
    that is named more than once keeps its first readable value.
    """
    names = _names(feature_set)
    patterns = sorted((pattern for pattern, _ in names.values()), key=len, reverse=True)
    name = re.compile(
        rf"(?<![^\W_])({'|'.join(patterns)})(?:{_MARK})*(?:\([^()\n]{{0,80}}\)(?:{_MARK})*)?[:=→?؟](?:{_MARK})*"
    )
    folded = fold(text)
    matches: list[re.Match[str]] = []
    for match in name.finditer(folded):
        if _stands_alone(folded, match.start(), matches[-1].end() if matches else None):
            matches.append(match)
    found: dict[str, bool] = {}
    for i, match in enumerate(matches):
        end = matches[i + 1].start() if i + 1 < len(matches) else len(folded)
        value = _value(folded[match.end() : end])
        if value is not None:
            found.setdefault(names[_key(match.group(1))][1], value)
    return found


def _stands_alone(folded: str, start: int, floor: int | None) -> bool:
    """Whether a name at `start` begins a line or part, or stands directly behind the value of the name that ends at `floor`."""
    parts = _BREAK.split(folded[floor or 0 : start])
    words = WORD.findall(_NUMBER.sub("", parts[-1], count=1))
    if not words:
        return True
    return floor is not None and len(parts) == 1 and len(words) == 1 and read_value(words[0]) is not None


def _value(text: str) -> bool | None:
    """The value behind a separator: on the same line, or alone on the next that says anything."""
    first, *rest = text.split("\n")
    if not WORD.search(first):
        first = next((line for line in rest if WORD.search(line)), "")
        if _NUMBER.match(first):
            return None  # the number of the next item of a list, not the value 1 or 0
    return read_value(_BREAK.split(first, maxsplit=1)[0])


def _names(feature_set: FeatureSet) -> dict[str, tuple[str, str]]:
    """For every name, without white space, its pattern and the feature's id; labels go before short labels and ids."""
    names: dict[str, tuple[str, str]] = {}
    for texts in ("label", "short", "id"):
        for feature in feature_set:
            found = [feature.id] if texts == "id" else getattr(feature, texts).values()
            for text in found:
                names.setdefault(_key(fold(text)), (_pattern(text), feature.id))
    return names


def _key(folded: str) -> str:
    return re.sub(r"\s+", "", folded)


def _pattern(text: str) -> str:
    """A name as a pattern: any white space for a space, and any or none for a half-space, which is typed in many ways."""
    words = [r"\s*".join(re.escape(fold(half)) for half in word.split("\u200c")) for word in text.split()]
    return r"\s+".join(words)
