"""Seconds, tokens and scores of each way to ask: the study's protocol, plain DSPy, and Balin's formats.

    .venv/bin/python benchmarks/speed.py --out /tmp/speed
    .venv/bin/python benchmarks/speed.py --out /tmp/speed --limit 4       # a quick look

One engine, one model, the same 40 dev notes (the corpus's English texts; the last 40 of the part, on which no wording was tried)
and the same three demos for every arm. The arms take
turns in blocks of ten notes, so that whatever else the machine does falls on all of them; each block begins with an untimed
note of the pool, so that reading the shared prefix is measured apart. Every answer is kept the moment it exists: the same
command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from balin.data.corpus import read_corpus
from balin.data.transcripts import Transcript
from balin.engines.lm import language_model
from balin.engines.opening import EngineSettings, open_engine
from balin.engines.protocol import ChatRequest, Completion, Engine, Message, Telemetry
from balin.errors import CallError
from balin.eval.evaluation import evaluate_answers
from balin.eval.grids import Grid, figure, figure_with_interval
from balin.eval.metrics import AnswerRow, AnswerTable
from balin.eval.scores import Scores
from balin.programs.builtin import BUILT_IN
from balin.programs.demos import choose_demos
from balin.programs.formats import FORMATS
from balin.signatures.answers import MISSING, Answer, State
from balin.signatures.features import FeatureSet, load_feature_set
from balin.signatures.private_dspy import dspy
from balin.signatures.wording import default_instructions

BLOCK = 10
STUDY = "study (lines)"
PLAIN = "plain DSPy"
NOTES = 40


class Metered:
    """An engine that adds up what its requests cost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.identity = engine.identity
        self.slots = engine.slots
        self.spent = Telemetry()

    def _add(self, completion: Completion) -> Completion:
        self.spent = self.spent + completion.telemetry
        return completion

    def chat(self, request: ChatRequest) -> Completion:
        return self._add(self._engine.chat(request))

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        return self._add(self._engine.read(prompt, top_logprobs=top_logprobs))

    def render(self, messages: Sequence[Message]) -> str:
        return self._engine.render(messages)

    def close(self) -> None:
        self._engine.close()


Ask = Callable[[str], dict[str, Answer]]


def arms(feature_set: FeatureSet, demos: Sequence[Transcript], engine: Metered) -> dict[str, Ask]:
    """For each arm a function from a text to answers."""
    lm = language_model(engine)
    labelled = [(d.english or "", d.labels) for d in demos]

    def ours(name: str, answer_format: str) -> Ask:
        extractor = BUILT_IN[name].build(feature_set, "en")
        extractor.set_format(answer_format)
        extractor.set_demos(labelled)
        extractor.set_lm(lm)
        return lambda text: dict(extractor(transcript=text).answers)

    found: dict[str, Ask] = {STUDY: ours("study", "lines"), PLAIN: plain_dspy(feature_set, labelled, lm)}
    found |= {f"study's prompt, {name}": ours("study", name) for name in FORMATS if name != "lines"}
    return found


def plain_dspy(feature_set: FeatureSet, demos: Sequence[tuple[str, Any]], lm: Any) -> Ask:
    """What a DSPy user writes first: a signature of booleans, Predict, the default adapter, LabeledFewShot."""
    fields: dict[str, Any] = {"transcript": (str, dspy.InputField())}
    fields |= {f.id: (bool, dspy.OutputField(desc=f.label["en"])) for f in feature_set}
    signature = dspy.make_signature(fields, default_instructions(feature_set, "en"))
    examples = [dspy.Example(transcript=t, **labels).with_inputs("transcript") for t, labels in demos]
    program = dspy.LabeledFewShot(k=len(examples)).compile(dspy.Predict(signature), trainset=examples)

    def ask(text: str) -> dict[str, Answer]:
        with dspy.context(lm=lm, adapter=None):
            prediction = program(transcript=text)
        return {i: Answer.of(prediction[i]) for i in feature_set.ids}

    return ask


def answer(ask: Ask, transcript: Transcript, engine: Metered, ids: Sequence[str]) -> dict[str, Any]:
    """One note: its answers, seconds and tokens. A call that fails leaves every answer missing, as a DSPy user would see it."""
    engine.spent = Telemetry()
    started = time.perf_counter()
    try:
        answers, failure = ask(transcript.english or ""), None
    except (CallError, dspy.utils.exceptions.DSPyError) as error:
        answers, failure = dict.fromkeys(ids, MISSING), type(error).__name__
    seconds = time.perf_counter() - started
    return {
        "id": transcript.id,
        "seconds": seconds - engine.spent.load_seconds,
        "telemetry": engine.spent.to_dict(),
        "answers": {i: [a.state.value, a.p_true] for i, a in answers.items()},
        "failure": failure,
    }


def blocks(notes: Sequence[Transcript]) -> Iterator[Sequence[Transcript]]:
    """The notes in blocks."""
    for begin in range(0, len(notes), BLOCK):
        yield notes[begin : begin + BLOCK]


def measure(out: Path, limit: int | None, model: str) -> dict[str, Any]:
    """Ask every arm about every note, keeping each answer; returns the summary."""
    feature_set = load_feature_set("palliative13")
    corpus = read_corpus(feature_set)
    pool = list(corpus.part("pool"))
    demos, notes = choose_demos(pool, list(corpus.part("dev"))[-NOTES:][:limit], feature_set, 3, seed=0)
    warm = next(t for t in pool if t not in demos)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "answers.jsonl"
    done: dict[tuple[str, str], dict[str, Any]] = {}
    prefixes: dict[str, list[float]] = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            done[row["arm"], row["id"]] = row
    engine = Metered(open_engine(model, EngineSettings(choice="embedded", num_ctx=8192)))
    with kept.open("a", encoding="utf-8") as file:
        for block in blocks(notes):
            for name, ask in arms(feature_set, demos, engine).items():
                todo = [n for n in block if (name, n.id) not in done]
                if not todo:
                    continue
                prefixes.setdefault(name, []).append(answer(ask, warm, engine, feature_set.ids)["seconds"])
                for note in todo:
                    row = {"arm": name, **answer(ask, note, engine, feature_set.ids)}
                    done[name, note.id] = row
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                print(f"{name}: {sum(k[0] == name for k in done)}/{len(notes)}", flush=True)
    engine.close()
    rows = {name: [done[name, n.id] for n in notes] for name in arms(feature_set, demos, engine)}
    return {
        "what": f"{len(notes)} dev notes of the shipped corpus, English texts, 3 random demos (seed 0)",
        "date": date.today().isoformat(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, no GPU; shared",
        "model": engine.identity.to_dict(),
        "demos": [d.id for d in demos],
        "arms": [summary(name, rows[name], notes, feature_set, prefixes.get(name)) for name in rows],
    }


def summary(
    name: str,
    rows: list[dict[str, Any]],
    notes: Sequence[Transcript],
    feature_set: FeatureSet,
    prefixes: list[float] | None,
) -> dict[str, Any]:
    """One arm: means over the notes, and its scores."""
    n = len(rows)
    cost = [Telemetry.from_dict(r["telemetry"]) for r in rows]
    table = AnswerTable.from_rows(
        feature_set.ids,
        [
            AnswerRow(t.id, t.group, t.labels, {i: Answer(State(s), p) for i, (s, p) in r["answers"].items()})
            for t, r in zip(notes, rows, strict=True)
        ],
    )
    seconds = sum(r["seconds"] for r in rows)
    engine_seconds = sum(c.engine_seconds for c in cost)
    return {
        "name": name,
        "n": n,
        "seconds_per_note": seconds / n,
        "engine_seconds_per_note": engine_seconds / n,
        "outside_engine_share": 1 - engine_seconds / seconds,
        "outside_requests_share": 1 - sum(c.wall_seconds for c in cost) / seconds,
        "prefix_seconds": min(prefixes) if prefixes else None,
        "requests": sum(c.requests for c in cost) / n,
        "prompt_tokens": sum(c.prompt_tokens for c in cost) / n,
        "cached_tokens": sum(c.cached_tokens or 0 for c in cost) / n,
        "generated_tokens": sum(c.generated_tokens for c in cost) / n,
        "failures": sum(r["failure"] is not None for r in rows),
        "scores": evaluate_answers(table).to_dict(),
    }


def grid(result: dict[str, Any]) -> Grid:
    """The table of the arms; shares are of the study's and of plain DSPy's seconds."""
    by_name = {a["name"]: a for a in result["arms"]}
    rows = []
    for arm in result["arms"]:
        scores = Scores.from_dict(arm["scores"])
        mcc, f1 = scores.summaries()["mcc"], scores.summaries()["macro_f1"]
        rows.append(
            (
                arm["name"],
                figure(arm["seconds_per_note"]),
                f"{arm['seconds_per_note'] / by_name[STUDY]['seconds_per_note']:.0%}",
                f"{arm['seconds_per_note'] / by_name[PLAIN]['seconds_per_note']:.0%}",
                f"{arm['prompt_tokens'] - arm['cached_tokens']:.0f} / {arm['cached_tokens']:.0f} / {arm['generated_tokens']:.0f}",
                figure_with_interval(f1.mean, f1.mean_interval, 3),
                figure_with_interval(mcc.mean, mcc.mean_interval, 3),
                figure(scores.summaries()["auc"].mean, 3),
                f"{arm['outside_requests_share']:.1%}",
            )
        )
    columns = (
        "Arm", "s a note", "of study", "of DSPy", "new / cached / written tokens", "mean macro-F1", "mean MCC", "mean AUC", "outside requests"
    )  # fmt: skip
    return Grid(f"{result['what']}; {result['date']}; {result['machine']}", columns, tuple(rows))


def main() -> None:
    """Measure, write result.json, print the table as Markdown; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", default="qwen2.5-coder:1.5b")
    options = parser.parse_args()
    result = measure(options.out, options.limit, options.model)
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = grid(result)
    print(table.title + "\n")
    print(table.markdown())
    print(
        json.dumps(
            {"out": str(options.out), "arms": {a["name"]: round(a["seconds_per_note"], 3) for a in result["arms"]}}
        )
    )


if __name__ == "__main__":
    main()
