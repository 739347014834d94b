"""What a format is given and what it makes: a task, demos, and the prompt they become. Pure values, no DSPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...engines.protocol import Completion, Message
from ...signatures.answers import Answer
from ...signatures.features import FeatureSet
from ...signatures.wording import describe

_WORDS = {
    "en": {
        "lead": "The patient's condition is as follows: ",
        "features": "The features:",
        "lines": "Fill in this template. After each label write True or False and nothing else:",
        "json": "Answer with one JSON object that has exactly these keys, each true or false.",
        "present": "Answer with a JSON array of the keys of the features that are present. If none is, answer [].",
        "probe": "For each label write True only if the patient has it now. "
        "If it is not mentioned, denied, over or somebody else's, write False.",
    },
    "fa": {
        "lead": "وضعیت بیمار به شرح زیر است: ",
        "features": "ویژگی‌ها:",
        "lines": "این الگو را پر کنید. پس از هر عنوان فقط True یا False بنویسید:",
        "json": "با یک شیء JSON پاسخ دهید که دقیقاً این کلیدها را دارد و مقدار هر کدام true یا false است.",
        "present": "با یک آرایهٔ JSON از کلید ویژگی‌های موجود پاسخ دهید. اگر هیچ‌کدام نیست [] بنویسید.",
        "probe": "برای هر عنوان فقط اگر بیمار اکنون آن را دارد True بنویسید. "
        "اگر ذکر نشده، نفی شده، برطرف شده یا مربوط به شخص دیگری است False بنویسید.",
    },
}


@dataclass(frozen=True)
class Task:
    """What is asked of every transcript.

    Attributes:
        instructions: The opening of the system message; the part that optimizers rewrite.
        feature_set: The questions.
        language: The language of labels and wording in the prompt.
        definitions: Whether each feature's definition is in the system message.
        max_tokens: Most tokens the model may write in one answer.
    """

    instructions: str
    feature_set: FeatureSet
    language: str
    definitions: bool
    max_tokens: int

    def words(self, key: str) -> str:
        """A fixed phrase of the prompt; English for a language that has no phrases of its own."""
        return _WORDS.get(self.language, _WORDS["en"])[key]

    def listing(self, names: Mapping[str, str]) -> str:
        """One line a feature: its name and, where definitions are wanted, its definition."""
        if not self.definitions:
            return "\n".join(names[f.id] for f in self.feature_set)
        return "\n".join(f"- {names[f.id]}: {describe(f, self.language)}" for f in self.feature_set)


@dataclass(frozen=True)
class Demo:
    """A worked example: a text and the value of every feature."""

    text: str
    labels: Mapping[str, bool]


@dataclass(frozen=True)
class Prompt:
    """Everything an engine needs for one answer.

    Attributes:
        messages: System, demos as turns, and the transcript last.
        max_tokens: Most tokens to write.
        schema: JSON schema of the answer, or None.
        top_logprobs: Alternatives wanted per token.
        partial: A cut answer is still of use to the format.
        probes: If not empty, the answer is not written but read: one token behind the rendered messages and each of these
            texts, of which none sees another.
        repeat_penalty: As in `ChatRequest`.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    top_logprobs: int = 0
    partial: bool = False
    probes: tuple[str, ...] = ()
    repeat_penalty: float = 1.0


class AnswerFormat(Protocol):
    """How a model is asked to write its answers, and how they are read. Stateless."""

    name: str

    def prompt(self, task: Task, demos: Sequence[Demo], text: str) -> Prompt:
        """The prompt for one transcript. The same task and demos give the same messages but for the last one."""

    def read(self, task: Task, completions: Sequence[Completion]) -> dict[str, Answer]:
        """An answer for every feature of the task, in order: never an exception for what a model wrote.

        Args:
            task: What was asked.
            completions: One, or one for each probe.
        """


def conversation(task: Task, system: str, demos: Sequence[tuple[str, str]], text: str) -> tuple[Message, ...]:
    """System message, demos as user and assistant turns, then the transcript."""
    lead = task.words("lead")
    turns = [Message("system", system)]
    for source, answer in demos:
        turns += [Message("user", lead + source), Message("assistant", answer)]
    return (*turns, Message("user", lead + text))
