"""The real small model through every format, both routes and both engines, from a file with the study's columns to a run.

The 135M model knows no medicine, so nothing here asks whether an answer is right: only that answers are read, stored,
counted and found again.
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from balin.cli import main
from balin.engines import opening
from balin.engines.protocol import ChatRequest, Completion, Engine, Message
from balin.eval.runs import read_predictions, read_run
from balin.programs.adapter import TranslateAdapter
from balin.programs.translator import REPEAT_PENALTY, Translator

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import SET, take  # type: ignore[import-not-found]
from ollama_server import serve  # type: ignore[import-not-found]

pytestmark = pytest.mark.live

MODEL = "smollm2:135m"
FORMATS = ("lines", "json", "present", "probe")
ROUTES = ("direct", "translated")
ENGINES = ("embedded", "ollama")

SENTENCES = [
    ("بیمار از دیروز تب دارد و غذا نمی‌خورد.", "Fever since yesterday, not eating.", {"fever", "loss_of_appetite"}),
    ("مادرم دیشب تشنج کرد و الان خواب است.", "My mother had a seizure last night and is asleep.", {"seizures"}),
    ("بیمار درد شکم دارد و استفراغ می‌کند.", "Belly ache and vomiting.", {"pain", "gastrointestinal_issues"}),
    ("بیمار درد شدید دارد و نمی‌خوابد.", "The patient has severe pain and does not sleep.", {"pain", "sleep_disorders"}),
    ("همسر بیمار درخواست ویزیت پزشک در منزل دارد.", "His wife asks for a home visit.", {"doctor_visit_request"}),
    ("بیمار درد شدید دارد و تب ندارد.", "Severe pain, no fever.", {"pain"}),
    ("بیمار تب شدید دارد و نمی‌خورد.", "High fever, not eating.", {"fever", "loss_of_appetite"}),
    ("بیمار ۷۴ ساله، درد لگن ۷ از ۱۰، تب ندارد، خوب می‌خوابد.", "Pelvic pain 7/10, no fever.", {"pain"}),
]


class Shared:
    """The shared engine with its requests counted; closing it leaves the model where it is.

    Answers end at 192 tokens: more than a whole one has, and far less than this model's endless ones.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.identity = engine.identity
        self.slots = engine.slots
        self.requests = 0
        self.stop_at: int | None = None

    def chat(self, request: ChatRequest) -> Completion:
        self._count()
        return self._engine.chat(replace(request, max_tokens=min(request.max_tokens, 192)))

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        self._count()
        return self._engine.read(prompt, top_logprobs=top_logprobs)

    def render(self, messages: tuple[Message, ...]) -> str:
        return self._engine.render(messages)

    def close(self) -> None:
        pass

    def _count(self) -> None:
        self.requests += 1
        if self.requests == self.stop_at:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Bench:
    """Two short calls to score, one to show as a demo, and the runs of all tests of this file."""

    folder: Path
    data: Path
    demos: Path

    def arguments(self, route: str, answer_format: str, out: str, *more: object) -> list[str]:
        return [
            *("evaluate", "--data", str(self.data), "--model", MODEL, "--route", route, "--format", answer_format),
            *("--demos", "1", "--demos-from", str(self.demos), "--num-ctx", "4096", "--out", str(self.folder / out)),
            *("--json", *map(str, more)),
        ]


def write(path: Path, rows: list[tuple[str, str, str, set[str]]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "medical_history", "medical_history_en", *(f.columns[0] for f in SET)])
        for identifier, text, english, present in rows:
            writer.writerow([identifier, text, english, *(str(i in present) for i in SET.ids)])
    return path


@pytest.fixture(scope="module")
def bench(small_engine, tmp_path_factory) -> Bench:
    """Of the sentences those that the model translates in a few words here: on some it never stops, and which varies."""
    chosen: list[tuple[str, str, str, set[str]]] = []
    translator = Translator(SET)
    for number, (text, english, present) in enumerate(SENTENCES):
        messages = TranslateAdapter(64, REPEAT_PENALTY).messages(translator.predict.signature, [], {"source": text})
        if small_engine.chat(ChatRequest(messages, 64, partial=True)).finish == "stop":
            chosen.append((f"k{number}", text, english, present))
        if len(chosen) == 3:
            break
    assert len(chosen) == 3, "the model finished fewer than three translations"
    folder = tmp_path_factory.mktemp("live")
    return Bench(folder, write(folder / "calls.csv", chosen[:2]), write(folder / "demos.csv", chosen[2:]))


@pytest.fixture
def counted(small_engine, monkeypatch) -> Shared:
    """The shared model, taken wherever the embedded engine is opened."""
    engine = Shared(small_engine)
    take(monkeypatch, engine)
    return engine


@pytest.fixture(scope="module")
def ollama(small_engine):
    """The shared model behind Ollama's API."""
    with serve(Shared(small_engine)) as server:
        yield server


def run(capfd: Any, arguments: list[str], code: int = 0) -> dict[str, Any]:
    capfd.readouterr()
    found = main(arguments)
    out, err = capfd.readouterr()
    assert found == code, err
    if code == 130:
        return {}
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_format_route_and_engine(capfd, bench, counted, ollama, engine, answer_format, route):
    options = ("--engine", "embedded") if engine == "embedded" else ("--engine", "ollama", "--host", ollama.url)
    arguments = bench.arguments(route, answer_format, engine, *options)
    first = run(capfd, arguments)
    assert (first["engine"], first["route"], first["format"], first["demos"]) == (engine, route, answer_format, 1)
    assert first["n"] == 2
    assert first["answers"]["error"] == 0
    assert sum(first["answers"].values()) == 26
    if answer_format != "lines":  # under a schema, or token by token, every answer can be read
        assert first["answers"]["missing"] == 0
    assert first["tokens"]["prompt"] > 100
    assert first["tokens"]["generated"] >= (13 if answer_format == "probe" else 1)
    assert (first["tokens"]["cached"] is None) == (engine == "ollama")
    assert 0 < first["engine_seconds_per_transcript"] <= first["seconds_per_transcript"]
    assert (first["translation_seconds_per_transcript"] is not None) == (route == "translated")

    folder = Path(first["run"])
    description = read_run(folder)
    assert description["model"]["digest"].startswith("sha256:")
    assert description["model"]["num_ctx"] == 4096
    table = read_predictions(folder)
    assert pd.notna(table.p_true).all() == (answer_format in ("probe", "json"))
    if answer_format in ("probe", "json"):
        assert ((table.p_true >= 0) & (table.p_true <= 1)).all()

    asked = counted.requests, len(ollama.requests)
    second = run(capfd, arguments)
    generating = [operation for operation, _ in ollama.requests[asked[1] :] if operation in ("chat", "read", "render")]
    assert (counted.requests, generating) == (asked[0], [])
    assert second == first | {"stored": 2}


@pytest.mark.parametrize("answer_format", ["json", "probe"])
def test_both_engines_give_the_same_probabilities(capfd, bench, counted, ollama, answer_format):
    """One model behind two doors; the runs are those of the test above, so nothing is asked.

    What is in the engine's cache changes the last digits of a probability, and so a value near one half; what the model
    is asked after such a value is another question, so each transcript is compared up to there.
    """
    tables = []
    for options in (("--engine", "embedded"), ("--engine", "ollama", "--host", ollama.url)):
        document = run(capfd, bench.arguments("direct", answer_format, options[1], *options))
        tables.append(read_predictions(Path(document["run"])))
    left, right = tables
    assert left.ids == right.ids
    for row in range(len(left.ids)):
        for column in range(len(left.features)):
            assert left.p_true[row, column] == pytest.approx(right.p_true[row, column], abs=0.15)
            if left.state[row, column] != right.state[row, column]:
                break


def test_interrupted_it_goes_on_and_asks_only_for_what_is_missing(capfd, bench, counted):
    arguments = bench.arguments("direct", "present", "interrupted", "--engine", "embedded")
    counted.stop_at = 2
    run(capfd, arguments, 130)
    counted.stop_at = None
    document = run(capfd, arguments)
    assert (counted.requests, document["stored"]) == (3, 1)
    uninterrupted = run(capfd, bench.arguments("direct", "present", "embedded", "--engine", "embedded"))
    assert document["scores"] == uninterrupted["scores"]


def test_the_files_own_english_asks_no_translator(capfd, bench, counted):
    arguments = bench.arguments("translated", "present", "given", "--engine", "embedded", "--english", "given")
    document = run(capfd, arguments)
    assert (document["english"], document["translator"], counted.requests) == ("given", None, 2)


def test_a_prompt_that_does_not_fit_is_an_error_that_is_counted(capfd, bench, counted, monkeypatch, small_engine):
    """Two hundred times the text: the engine says so, and nothing is cut off silently."""
    rows = list(csv.reader(bench.data.open(encoding="utf-8")))
    rows[1][1] = " ".join([rows[1][1]] * 200)
    long = bench.folder / "long.csv"
    with long.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    arguments = bench.arguments("direct", "present", "embedded", "--engine", "embedded")
    arguments[arguments.index("--data") + 1] = str(long)
    document = run(capfd, arguments, 1)
    assert (document["answers"]["error"], document["n"]) == (13, 2)
    assert read_run(Path(document["run"]))["failures"] == {"prompt_too_long": 1}


def test_the_model_is_loaded_by_the_command_itself(capfd, bench, monkeypatch, small_engine):
    """Without the shared model: weights found, verified, opened and closed."""
    opened: list[Any] = []
    embedded = opening._embedded

    def noted(*arguments: Any) -> Engine:
        engine = embedded(*arguments)
        opened.append(engine)
        return engine

    monkeypatch.setattr(opening, "_embedded", noted)
    document = run(capfd, bench.arguments("direct", "present", "own", "--engine", "embedded", "--limit", 1))
    assert document["answers"]["error"] == 0
    assert len(opened) == 1
    assert opened[0]._server is None
