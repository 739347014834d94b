"""The recorded results of the shipped corpus, which the demo and the README show: measures them and writes them down.

    .venv/bin/python benchmarks/recorded.py --out runs/recorded            # about an hour on two cores; resumes
    .venv/bin/python benchmarks/recorded.py --out runs/recorded --write    # and replaces eval/recorded_results.json

Every transcript of the corpus but the demos and their patients is scored, with the embedded default model, by both routes; the
route on given English is the ceiling of translating, not evidence for it.
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

from balin.data.corpus import read_corpus
from balin.engines.opening import EngineSettings
from balin.eval import recorded
from balin.eval.arm import ArmSettings
from balin.eval.job import Job, Outcome, run_evaluation
from balin.eval.tables import compare_table
from balin.signatures.features import load_feature_set

MODEL = "qwen2.5-coder:1.5b"
PARTS = {"all": "all but demos and their patients", "pool": "pool", "dev": "dev part", "test": "test part"}
ARMS = {
    "Persian direct, study's protocol": {"route": "direct", "format": "lines"},
    "Persian direct, probe": {"route": "direct", "format": "probe"},
    "translated by the model, study's protocol": {"route": "translated", "format": "lines"},
    "translated by the model, probe": {"route": "translated", "format": "probe"},
    "given English, study's protocol (ceiling)": {"route": "translated", "english": "given", "format": "lines"},
    "given English, probe (ceiling)": {"route": "translated", "english": "given", "format": "probe"},
}


def main() -> None:
    """Run the arms, print the table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/recorded"))
    parser.add_argument("--write", action="store_true", help="replace the recorded results that Balin ships")
    parser.add_argument("--part", default="all", choices=("all", "pool", "dev", "test"))
    parser.add_argument("--route", choices=("direct", "translated"), help="only the arms of one route")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    feature_set = load_feature_set("palliative13")
    corpus = read_corpus(feature_set)
    outcomes: dict[str, Outcome] = {}
    for name, arm in ARMS.items():
        if options.route not in (None, arm["route"]):
            continue
        job = Job(
            arm=ArmSettings(model=MODEL, program="study", **arm),  # type: ignore[arg-type]
            dataset=corpus,
            feature_set=feature_set,
            engines=EngineSettings(choice="embedded"),
            out=options.out,
            part=options.part,
            limit=options.limit,
            command=("python", *sys.argv),
        )
        outcomes[name] = run_evaluation(job, say=_say, advance=_advance)
        print(f"{name}: mean MCC {outcomes[name].scores.summary()['mcc']['mean']:.3f}", flush=True)
    result = {
        "what": f"{next(iter(outcomes.values())).scores.n} transcripts of the shipped corpus ({PARTS[options.part]}), "
        f"{MODEL}, 3 random demos",
        "date": date.today().isoformat(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, no GPU",
        "arms": [{"name": name, **_kept(outcome)} for name, outcome in outcomes.items()],
    }
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    if options.write and options.limit is None:
        (Path(recorded.__file__).parent / "recorded_results.json").write_text(text, encoding="utf-8")
    print(compare_table([(arm["name"], arm) for arm in result["arms"]]).markdown())
    print(json.dumps({"out": str(options.out), "arms": len(outcomes)}))


def _kept(outcome: Outcome) -> dict[str, Any]:
    """What is worth shipping of a run's document: no path, no machine."""
    document = outcome.document()
    return {k: v for k, v in document.items() if k not in ("run", "stored", "errors_exceeded")}


def _say(text: str) -> None:
    print(text, flush=True)


def _advance(phase: str, done: int, total: int) -> None:
    if done and done % 10 == 0:
        print(f"  {phase} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
