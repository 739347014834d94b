"""What the program tests share: an engine that follows a script, and feature sets of several sizes and languages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from balin.data.transcripts import Transcript
from balin.engines.lm import language_model
from balin.engines.protocol import ChatRequest, Completion, Message, ModelIdentity, Telemetry, TokenChoice
from balin.signatures.features import Feature, FeatureSet, load_feature_set

GERMAN = """
schema: 1
id: wunden
source_language: de
subject: {de: eine Notiz der Wundambulanz}
rules: {de: Nur was jetzt besteht.}
features:
  - {id: wound_pain, label: {de: Wundschmerz}, short: {de: Schmerz}, definition: {de: Die Wunde schmerzt.}}
  - {id: smell, label: {de: Übler Geruch}, definition: {de: Die Wunde riecht.}}
  - {id: dressing, label: {de: Verband durchnässt}, definition: {de: Der Verband ist nass.}, excludes: {de: trocken}}
"""

# The same examples in every run, and no clock: the machine may be busy.
settings.register_profile("programs", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("programs")

COST = Telemetry(1, 0, 100, 40, 7, 0.5, 0.25, 0.0, 1.0)


class Scripted:
    """An engine whose answers come from functions; keeps every request.

    Args:
        reply: Text or `Completion` for a chat request, or an error to raise.
        next_token: For a rendered prompt that is to be read: the likeliest tokens with their log-probabilities.
        slots: Requests at once.
        identity: What of the identity is to be other than usual.
    """

    def __init__(
        self,
        reply: Callable[[ChatRequest], Any] = lambda _: "",
        next_token: Callable[[str], Any] = lambda _: ((" False", -0.1), (" True", -2.5)),
        *,
        slots: int = 1,
        **identity: Any,
    ) -> None:
        usual = ModelIdentity("scripted", "sha256:" + "0" * 64, "scripted", "1", 4096)
        self.identity = replace(usual, **identity)
        self.slots = slots
        self.reply = reply
        self.next_token = next_token
        self.requests: list[ChatRequest] = []
        self.renders: list[tuple[Message, ...]] = []
        self.reads: list[str] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> int:
        """Requests of every kind."""
        return len(self.requests) + len(self.renders) + len(self.reads)

    def chat(self, request: ChatRequest) -> Completion:
        with self._lock:
            self.requests.append(request)
        made = self.reply(request)
        if isinstance(made, BaseException):
            raise made
        return made if isinstance(made, Completion) else Completion(made, "stop", (), COST)

    def render(self, messages: Sequence[Message]) -> str:
        with self._lock:
            self.renders.append(tuple(messages))
        return "".join(f"<{m.role}>{m.content}" for m in messages) + "<assistant>"

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        with self._lock:
            self.reads.append(prompt)
        top = self.next_token(prompt)
        if isinstance(top, BaseException):
            raise top
        return Completion(top[0][0], "length", (TokenChoice(top[0][0], top[0][1], tuple(top[:top_logprobs])),), COST)

    def close(self) -> None:
        pass

    def lm(self, **options: Any) -> Any:
        """The engine as DSPy's language model."""
        return language_model(self, **options)


def _made_set(count: int) -> FeatureSet:
    features = tuple(
        Feature(
            f"sign_{n}",
            (),
            {"en": f"Sign number {n:02d} seen", "fa": f"نشانهٔ شمارهٔ {n:02d}"},
            {"en": f"Sign {n:02d}", "fa": f"نشانه {n:02d}"},
            {"en": f"The nurse saw sign {n}.", "fa": f"پرستار نشانهٔ {n} را دید."},
        )
        for n in range(count)
    )
    return FeatureSet(f"signs{count}", "Signs", "en", {"en": "a note", "fa": "یک یادداشت"}, {}, {}, features)


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture(scope="session")
def palliative() -> FeatureSet:
    return load_feature_set("palliative13")


@pytest.fixture(scope="session")
def german(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    path: Path = tmp_path_factory.mktemp("sets") / "wunden.yaml"
    path.write_text(GERMAN, encoding="utf-8")
    return load_feature_set(path)


@pytest.fixture(scope="session")
def feature_sets(palliative: FeatureSet, german: FeatureSet) -> dict[str, tuple[FeatureSet, str]]:
    """Feature sets with the language to ask in."""
    return {
        "palliative-en": (palliative, "en"),
        "palliative-fa": (palliative, "fa"),
        "german": (german, "de"),
        "one": (_made_set(1), "en"),
        "forty": (_made_set(40), "en"),
    }


@pytest.fixture(scope="session", params=["palliative-en", "palliative-fa", "german", "one", "forty"])
def asked(request: pytest.FixtureRequest, feature_sets: dict[str, tuple[FeatureSet, str]]) -> tuple[FeatureSet, str]:
    """Each feature set in turn, with the language to ask in."""
    return feature_sets[request.param]


@pytest.fixture(scope="session")
def calls(palliative: FeatureSet) -> list[Transcript]:
    """Twelve labelled transcripts of six patients, with an English text."""
    return [
        Transcript(
            id=f"c{n:02d}",
            text=f"بیمار شمارهٔ {n} امروز تماس گرفت.",
            english=f"Patient number {n} called today.",
            group=f"p{n // 2}",
            labels={i: (n + k) % 3 == 0 for k, i in enumerate(palliative.ids)},
        )
        for n in range(12)
    ]
