"""The recorded results of the shipped corpus, which the demo and the README show: measures them and writes them down.

    .venv/bin/python benchmarks/recorded.py --out runs/recorded                  # dev, more than an hour on two cores; resumes
    .venv/bin/python benchmarks/recorded.py --parts pool --write                 # the pool, for replays
    .venv/bin/python benchmarks/recorded.py --out runs/recorded --write          # and replaces what Balin ships in eval/

`--write` replaces the shipped answers of the arms and parts that were run and keeps the others; the table is that of dev.

The embedded default model reads the dev part by both routes, with the study's protocol and with the format `probe`, and the
same demos. The route on given English is the ceiling of translating, not evidence for it. The test part stays locked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from balin.data.corpus import read_corpus
from balin.data.transcripts import Dataset
from balin.engines.opening import EngineSettings
from balin.eval import recorded
from balin.eval.arm import ArmSettings
from balin.eval.job import Job, Outcome, run_evaluation
from balin.eval.tables import compare_table
from balin.signatures.features import FeatureSet, load_feature_set

MODEL = "qwen2.5-coder:1.5b"
ARMS: dict[str, dict[str, Any]] = {
    "Persian direct, study's protocol": {"route": "direct", "format": "lines"},
    "Persian direct, probe": {"route": "direct", "format": "probe"},
    "translated by the model, study's protocol": {"route": "translated", "format": "lines"},
    "translated by the model, probe": {"route": "translated", "format": "probe"},
    "given English, study's protocol (ceiling)": {"route": "translated", "english": "given", "format": "lines"},
    "given English, probe (ceiling)": {"route": "translated", "english": "given", "format": "probe"},
}
COSTS = ["seconds", "prompt_tokens", "cached_tokens", "generated_tokens", "translation_seconds"]


def main() -> None:
    """Run the arms, print a table of each part; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/recorded"))
    parser.add_argument("--parts", nargs="+", default=["dev"], choices=("dev", "pool"))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--write", action="store_true", help="replace the recorded results that Balin ships")
    parser.add_argument("--slots", type=int, default=1, help="requests at once; seconds are then shares of the time")
    parser.add_argument("--limit", type=int, help="only the first transcripts of each part")
    parser.add_argument(
        "--no-seconds", action="store_true", help="leave seconds out: the machine or the engine was not itself"
    )
    parser.add_argument("--remark", help="what else there is to say of the machine and the engine")
    options = parser.parse_args()
    if options.no_seconds and not options.write:
        parser.error("--no-seconds goes with --write: it leaves them out of what is shipped")
    if options.remark and not (options.write and "dev" in options.parts):
        parser.error("--remark goes with --write and the part dev, whose table has it")
    feature_set = load_feature_set("palliative13")
    corpus = read_corpus(feature_set)
    outcomes = {
        (name, part): _run(name, part, corpus, feature_set, options) for part in options.parts for name in options.arms
    }
    if options.write:
        _write(outcomes, options)
    for part in options.parts:
        table = [(name, outcome.scores) for (name, of), outcome in outcomes.items() if of == part]
        print(f"{part}\n\n{compare_table(table).markdown()}")
    print(json.dumps({"out": str(options.out), "arms": len(outcomes)}))


def _write(outcomes: dict[tuple[str, str], Outcome], options: argparse.Namespace) -> None:
    """Replace the shipped answers of what was run and, where dev was, the table."""
    folder = Path(recorded.__file__).parent
    arms = [{"name": n, **_kept(o, options.no_seconds)} for (n, part), o in outcomes.items() if part == "dev"]
    if arms:
        which = f"the first {options.limit} calls" if options.limit else f"all of the {arms[0]['n']} calls"
        result = {
            "what": f"{which} of the corpus's dev part, {MODEL}, 3 random demos",
            "date": date.today().isoformat(),
            "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, no GPU"
            + (f"; {options.remark}" if options.remark else ""),
            "arms": arms,
        }
        text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
        (folder / "recorded_results.json").write_text(text, encoding="utf-8")
    shipped = recorded.recorded_predictions()
    asked = set(outcomes)
    kept = shipped[[(arm, part) not in asked for arm, part in zip(shipped["arm"], shipped["part"], strict=True)]]
    frame = pd.concat([kept, *(_answers(n, part, o.folder) for (n, part), o in outcomes.items())], ignore_index=True)
    if options.no_seconds:
        frame[["seconds", "translation_seconds"]] = float("nan")
    for column in ("arm", "part", "id", "group", "feature", "state"):
        frame[column] = frame[column].astype("str").astype("category")
    frame.to_parquet(folder / "recorded_predictions.parquet", index=False, compression="zstd")


def _run(name: str, part: str, corpus: Dataset, feature_set: FeatureSet, options: argparse.Namespace) -> Outcome:
    job = Job(
        arm=ArmSettings(model=MODEL, program="study", **ARMS[name]),
        dataset=corpus,
        feature_set=feature_set,
        engines=EngineSettings(choice="embedded", slots=options.slots),
        out=options.out,
        part=part,
        limit=options.limit,
        command=("python", *sys.argv),
    )
    outcome = run_evaluation(job, say=_say, advance=_advance)
    summary = outcome.scores.summary()
    print(f"{part}, {name}: mean MCC {summary['mcc']['mean']:.3f}", flush=True)
    return outcome


def _answers(name: str, part: str, folder: Path) -> pd.DataFrame:
    """A run's answers with what each transcript cost."""
    answers = pd.read_parquet(folder / "predictions.parquet")
    costs = pd.read_parquet(folder / "transcripts.parquet")[["id", *COSTS]].round(
        {"seconds": 2, "translation_seconds": 2}
    )
    costs["translation_seconds"] = costs["translation_seconds"].astype("float64")
    frame = answers.merge(costs, on="id", validate="many_to_one")
    frame["p_true"] = frame["p_true"].round(4)
    frame.insert(0, "arm", name)
    frame.insert(1, "part", part)
    return frame


def _kept(outcome: Outcome, no_seconds: bool) -> dict[str, Any]:
    """What is worth shipping of a run's document: no path, no machine."""
    document = outcome.document()
    kept = {k: v for k, v in document.items() if k not in ("run", "stored", "errors_exceeded")}
    return kept | {k: None for k in kept if no_seconds and "seconds" in k}


def _say(text: str) -> None:
    print(text, flush=True)


def _advance(phase: str, done: int, total: int) -> None:
    if done and done % 10 == 0:
        print(f"  {phase} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
