"""DSPy adapters: thin wrappers that turn a signature and demos into a prompt of ours, and the model's text into fields.

DSPy's own chat format costs about 900 prompt tokens for a short note and fails a whole record over one bad field. These
adapters render an answer format, ask the engine below the language model, and always return every field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engines.lm import engine_of
from ..engines.protocol import ChatRequest, Completion, Engine, Message, Telemetry
from ..errors import InputError
from ..signatures import translate
from ..signatures.features import FeatureSet
from ..signatures.private_dspy import dspy
from ..signatures.wording import INPUT
from .formats import AnswerFormat, Demo, Prompt, Task
from .translation import token_limit
from .votes import Votes, count_votes


def ask(engine: Engine, prompt: Prompt, *, temperature: float = 0.0, seed: int = 0) -> list[Completion]:
    """Ask one prompt: one completion, or one for each probe.

    Raises:
        CallError: This transcript could not be answered.
        EngineUnavailable: Nothing further can be asked.
    """
    if prompt.probes:
        return _read_probes(engine, prompt)
    request = ChatRequest(
        messages=prompt.messages,
        max_tokens=prompt.max_tokens,
        schema=prompt.schema,
        top_logprobs=prompt.top_logprobs,
        temperature=temperature,
        seed=seed,
        partial=prompt.partial,
        repeat_penalty=prompt.repeat_penalty,
    )
    return [engine.chat(request)]


def _read_probes(engine: Engine, prompt: Prompt) -> list[Completion]:
    """One token behind each probe; all share the rendered messages, which the engine keeps."""
    text = engine.render(prompt.messages)
    return [engine.read(text + probe, top_logprobs=prompt.top_logprobs) for probe in prompt.probes]


class ExtractAdapter(dspy.Adapter):
    """An answer format as a DSPy adapter for the Extract signature.

    Each prediction holds the feature fields (True, False or None) and, beside them, `answers` (id → `Answer`), `telemetry`
    and `raw` (what the model wrote; for probes the likeliest token of each, for votes one after the other).
    """

    def __init__(
        self, answer_format: AnswerFormat, feature_set: FeatureSet, *, language: str, definitions: bool, max_tokens: int
    ) -> None:
        super().__init__()
        self.votes: Votes | None = None
        self.answer_format = answer_format
        self.feature_set = feature_set
        self.language = language
        self.definitions = definitions
        self.max_tokens = max_tokens

    def task(self, signature: Any) -> Task:
        """The task with the signature's instructions, which optimizers may have rewritten."""
        return Task(signature.instructions, self.feature_set, self.language, self.definitions, self.max_tokens)

    def prompt(self, signature: Any, demos: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]) -> Prompt:
        """The prompt for one transcript."""
        ids = self.feature_set.ids
        worked = [Demo(str(d[INPUT]), {i: _label(d, i) for i in ids}) for d in demos]
        return self.answer_format.prompt(self.task(signature), worked, str(inputs[INPUT]))

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages, in DSPy's own shape."""
        return [{"role": m.role, "content": m.content} for m in self.prompt(signature, demos, inputs).messages]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The fields that a written answer gives."""
        answers = self.answer_format.read(self.task(signature), [Completion(completion, "stop")])
        return {i: a.value for i, a in answers.items()}

    def __call__(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Render, ask and read, once or for each vote; one prediction."""
        prompt = self.prompt(signature, demos, inputs)
        task, engine = self.task(signature), engine_of(lm)
        if self.votes is None:
            completions = ask(engine, prompt, **_sampling(lm, lm_kwargs))
            answers = self.answer_format.read(task, completions)
        else:
            completions = [
                c
                for seed in self.votes.seeds
                for c in ask(engine, prompt, temperature=self.votes.temperature, seed=seed)
            ]
            answers = count_votes([self.answer_format.read(task, [c]) for c in completions])
        return [
            {
                **{i: a.value for i, a in answers.items()},
                "answers": answers,
                "telemetry": sum((c.telemetry for c in completions), Telemetry()),
                "raw": "\n".join(c.text for c in completions),
            }
        ]


class TranslateAdapter(dspy.Adapter):
    """Plain text in, plain text out: the translation is the whole answer."""

    def __init__(self, max_tokens: int, repeat_penalty: float) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.repeat_penalty = repeat_penalty

    def messages(
        self, signature: Any, demos: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
    ) -> tuple[Message, ...]:
        """Instructions, worked translations as turns, and the text."""
        turns = [Message("system", signature.instructions)]
        for demo in demos:
            turns += [Message("user", str(demo[translate.INPUT])), Message("assistant", str(demo[translate.OUTPUT]))]
        return (*turns, Message("user", str(inputs[translate.INPUT])))

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages, in DSPy's own shape."""
        return [{"role": m.role, "content": m.content} for m in self.messages(signature, demos, inputs)]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The translation without white space around it."""
        return {translate.OUTPUT: completion.strip()}

    def __call__(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Render, ask and read; one prediction."""
        prompt = Prompt(
            self.messages(signature, demos, inputs),
            token_limit(str(inputs[translate.INPUT]), self.max_tokens),
            repeat_penalty=self.repeat_penalty,
        )
        (completion,) = ask(engine_of(lm), prompt, **_sampling(lm, lm_kwargs))
        return [{**self.parse(signature, completion.text), "telemetry": completion.telemetry}]


def _label(demo: Mapping[str, Any], feature: str) -> bool:
    value = demo.get(feature)
    if not isinstance(value, bool):
        raise InputError(f"a demo has no label for {feature}; a demo needs true or false for every feature")
    return value


def _sampling(lm: Any, lm_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    given = {**getattr(lm, "kwargs", {}), **lm_kwargs}
    return {"temperature": given.get("temperature") or 0.0, "seed": given.get("seed") or 0}
