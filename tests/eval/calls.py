"""Invented calls in a file with the study's own columns, and an engine that reads them at once.

A call names, in Persian, the features that it has; its English text names them in English. `WordEngine` looks for those
names, so its answers are known, and it keeps what it was asked.
"""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from balin.data.readers import read_dataset
from balin.data.transcripts import Dataset
from balin.engines import opening
from balin.engines.opening import EngineSettings
from balin.engines.protocol import ChatRequest, Completion, Engine, Message, ModelIdentity, Telemetry, TokenChoice
from balin.eval.arm import ArmSettings
from balin.eval.job import Job
from balin.signatures.features import FeatureSet, load_feature_set

SET = load_feature_set("palliative13")
LEAD = "The patient's condition is as follows: "
IDENTITY = ModelIdentity("smollm2:135m", "sha256:" + "a" * 64, "embedded", "words 1", 4096)


@dataclass(frozen=True)
class Call:
    """One row: its id, the features it has, and what else a data file may say."""

    id: str
    present: frozenset[str] = frozenset()
    group: str | None = None
    part: str | None = None
    remark: str = ""
    english: bool = True

    def text(self, language: str) -> str:
        names = [f.label[language] for f in SET if f.id in self.present]
        opening_ = {"fa": "بیمار", "en": "The patient"}[language]
        return f"{opening_} {self.id} {self.remark}: {'; '.join(names) or '–'}."


def some_calls(count: int, begin: int = 0, **fields: Any) -> list[Call]:
    """Calls c0, c1, …: every feature is in some and lacks in others."""
    ids = SET.ids
    return [
        Call(f"c{i}", frozenset(f for j, f in enumerate(ids) if (i + j) % 3 == 0), **fields)
        for i in range(begin, begin + count)
    ]


def write_calls(path: Path, calls: Iterable[Call], feature_set: FeatureSet = SET) -> Path:
    """A CSV file as the study has it: id, medical_history, medical_history_en, com_*; and patient_id and part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = [f.columns[0] for f in feature_set]
        writer.writerow(["id", "patient_id", "part", "medical_history", "medical_history_en", *columns])
        for call in calls:
            english = call.text("en") if call.english else ""
            labels = [str(i in call.present) for i in feature_set.ids]
            writer.writerow([call.id, call.group or "", call.part or "", call.text("fa"), english, *labels])
    return path


@dataclass
class WordEngine:
    """Says that a feature is there if the text names it; translates a call by its id; counts and keeps the requests.

    Attributes:
        identity: What it calls itself.
        slots: Requests at once.
        before: Called with the number of each request, from 1, before it is answered; may raise.
        english: Source text to translation; by default the call's own English.
        deaf: Features that it never hears.
        asked: The messages of each request; for `read` the rendered prompt.
    """

    identity: ModelIdentity = IDENTITY
    slots: int = 1
    before: Callable[[int], None] = lambda _: None
    english: Callable[[str], str] = lambda text: to_english(text)
    deaf: Collection[str] = ()
    asked: list[Any] = field(default_factory=list)
    closed: int = 0
    lock: Any = field(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        return len(self.asked)

    def translations(self) -> int:
        """How many of the requests were for a translation."""
        return sum(1 for asked in self.asked if not isinstance(asked, str) and is_translation(asked))

    def chat(self, request: ChatRequest) -> Completion:
        self._count(request.messages)
        text = request.messages[-1].content
        if is_translation(request.messages):
            return self._said(self.english(text), text)
        found = self._heard(text)
        if request.schema is None:
            return self._said("\n".join(f"{f.label['en']}: {f.id in found}" for f in SET), text)
        if request.schema["type"] == "array":
            return self._said(json.dumps([f.id for f in SET if f.id in found]), text)
        return self._said(json.dumps({f.id: f.id in found for f in SET}), text)

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        self._count(prompt)
        text, _, probe = prompt.rpartition("<|user|>")[2].partition("<|assistant|>")
        (feature,) = [f for f in SET if f"- {f.short['en']}:" == probe]
        chosen = feature.id in self._heard(text)
        top = ((f" {chosen}", -0.25), (f" {not chosen}", -1.5))
        return Completion(f" {chosen}", "length", (TokenChoice(*top[0], top),), self._cost(prompt, 1))

    def render(self, messages: Sequence[Message]) -> str:
        return "".join(f"<|{m.role}|>{m.content}" for m in messages) + "<|assistant|>"

    def close(self) -> None:
        self.closed += 1

    def _count(self, asked: Any) -> None:
        with self.lock:
            self.asked.append(asked)
            number = len(self.asked)
        self.before(number)

    def _heard(self, text: str) -> set[str]:
        named = {f.id for f in SET if f.label["en"] in text or f.label["fa"] in text}
        return named - set(self.deaf)

    def _said(self, text: str, source: str) -> Completion:
        return Completion(text, "stop", (), self._cost(source, len(text.split())))

    def _cost(self, prompt: str, generated: int) -> Telemetry:
        words = len(prompt.split())
        return Telemetry(1, 0, 100 + words, 90, generated, 0.25, 0.125, 0.0, 0.5)


def is_translation(messages: Sequence[Message]) -> bool:
    return "medical translator" in messages[0].content


def to_english(text: str) -> str:
    """The English of a call's Persian, name by name."""
    for feature in sorted(SET, key=lambda f: -len(f.label["fa"])):
        text = text.replace(feature.label["fa"], feature.label["en"])
    return text.replace("بیمار", "The patient")


def take(monkeypatch: pytest.MonkeyPatch, engines: Engine | Mapping[str, Engine]) -> list[str]:
    """Open this engine (or the one of the model's name) wherever the embedded one is asked for.

    Returns:
        The models in the order in which they are opened.
    """
    opened: list[str] = []

    def embedded(model: str, *_: object) -> Engine:
        opened.append(model)
        return engines[model] if isinstance(engines, Mapping) else engines

    monkeypatch.setattr(opening, "_embedded", embedded)
    return opened


def texts_asked(engine: WordEngine) -> list[str]:
    """The transcript of each request for answers, as the model saw it."""
    found = []
    for asked in engine.asked:
        if isinstance(asked, str):
            found.append(asked.rpartition("<|user|>")[2].partition("<|assistant|>")[0].removeprefix(LEAD))
        elif not is_translation(asked):
            found.append(asked[-1].content.removeprefix(LEAD))
    return found


def demo_texts(engine: WordEngine) -> set[str]:
    """The texts of the worked examples in all requests for answers."""
    found: set[str] = set()
    for asked in engine.asked:
        if isinstance(asked, str):
            turns = re.findall(r"<\|user\|>(.*?)<\|assistant\|>", asked, re.DOTALL)[:-1]
        elif is_translation(asked):
            continue
        else:
            turns = [m.content for m in asked[:-1] if m.role == "user"]
        found |= {turn.removeprefix(LEAD) for turn in turns}
    return found


def job(folder: Path, data: Path | Dataset, **fields: Any) -> Job:
    """A job on a data file (or a dataset) with runs in `folder`/runs; settings of the arm and of the job mixed."""
    of_arm = {k: fields.pop(k) for k in list(fields) if k in ArmSettings.__dataclass_fields__}
    arm = ArmSettings(**({"model": IDENTITY.name, "program": "study", "demos": 0} | of_arm))
    dataset = read_dataset(data, SET) if isinstance(data, Path) else data
    settings_ = {"engines": EngineSettings(choice="embedded"), "out": folder / "runs"} | fields
    return Job(arm=arm, dataset=dataset, feature_set=SET, **settings_)


def calls_file(folder: Path, count: int = 4, **fields: Any) -> Path:
    """A CSV file of `count` calls, calls.csv."""
    return write_calls(folder / "calls.csv", some_calls(count, **fields))
