"""How much choosing the demos gains: the winner on dev against five draws of the study's protocol, on the test part.

    .venv/bin/python benchmarks/gain.py --out runs/gain                       # from the answers beside this file, asking nothing
    .venv/bin/python benchmarks/gain.py --out runs/anew --fresh               # the same anew: hours on two cores; resumes where it stopped
    .venv/bin/python benchmarks/gain.py --out runs/gain --steps seconds       # how long the winner takes, one request at a time
    .venv/bin/python benchmarks/gain.py --out runs/seven --steps dev --strategies coverage labeled bootstrap random-search nearest mipro gepa    # all strategies, recorded too
    .venv/bin/python benchmarks/gain.py --out runs/gain --steps translated --test-limit 60    # the translated route as recorded; asks again for translations that did not finish
    .venv/bin/python benchmarks/gain.py --out runs/look --limit 12 --test-limit 6 --model smollm2:135m   # a look at the machinery

Steps: `dev` chooses a program on the corpus's English reference texts (at most `--candidates` of each strategy on 48 calls of
dev, the best few on all of it); `test` scores it once, and five draws of the study's three random examples, all on the same
calls; `translated` first chooses how the model translates, on the pool's references, and then does the same with one strategy on its translations (the strategy's best, also where a baseline is better on dev); `seconds` times the winner and the study's first draw on
two dozen calls of dev, in turns and one request at a time, and the translation of six. Scoring the test part is logged beside the split, as
with `balin evaluate`. gain.json keeps what the steps of earlier commands found, each with its model, machine and date. The defaults are what was recorded,
but for the 60 calls of test on the translated route.

Answers that lie beside this file (gain_answers.jsonl.xz) are taken from there, under the store's own keys, and only others are asked for; `--fresh`
asks for all. `--record` adds what this command asked. Their seconds are those of the machine that recorded them and say nothing, but for the step `seconds`,
which asks anew.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import platform
import statistics
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from speed import Metered, answer, blocks  # type: ignore[import-not-found]

from balin.data.corpus import read_corpus
from balin.data.store import Store, canonical
from balin.engines.embedding import open_embedder
from balin.engines.lm import language_model
from balin.engines.opening import EngineSettings, open_engine
from balin.errors import BalinError
from balin.eval.arm import ArmSettings, translate_all
from balin.eval.grids import Grid, figure, figure_with_interval
from balin.eval.intervals import RESAMPLES, bootstrap_bounds, group_numbers
from balin.eval.job import Job, Outcome, run_evaluation
from balin.eval.metrics import ERROR, AnswerTable, over_features, rates, tally, under
from balin.eval.paired import PAIRED, resampled_values
from balin.eval.runs import read_predictions
from balin.eval.scores import Interval
from balin.optimizers.ground import with_thresholds
from balin.optimizers.optimization import optimize
from balin.optimizers.plan import Plan
from balin.optimizers.strategies import BASELINES, STRATEGIES
from balin.optimizers.translation import choose_translator
from balin.optimizers.translation_report import translators_table
from balin.optimizers.verdict import judge
from balin.programs.builtin import BUILT_IN
from balin.programs.demos import choose_demos
from balin.programs.extractor import Extractor
from balin.programs.saving import load_program, save_program
from balin.signatures.features import load_feature_set

MODEL = "qwen2.5-coder:1.5b"
DRAWS = 5
TIMED, TRANSLATED = 24, 6
CHOSEN = ("coverage", "labeled", "bootstrap", "random-search")
STEPS = ("dev", "test", "seconds", "translated")
MCC = PAIRED.index("mcc")
SHIPPED = Path(__file__).with_name("gain_answers.jsonl.xz")


def main() -> None:
    """Read the options, and run the steps with the shipped answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    parser.add_argument("--steps", nargs="+", default=["dev", "test"], choices=STEPS)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--strategies", nargs="+", default=list(CHOSEN), choices=list(STRATEGIES))
    parser.add_argument("--translated-strategy", default="random-search", choices=list(STRATEGIES))
    parser.add_argument(
        "--translator-limit", type=int, default=12, help="calls of the pool that translators are compared on"
    )
    parser.add_argument("--candidates", type=int, default=3, help="of each strategy")
    parser.add_argument("--demos", type=int, default=3, help="most demos in a prompt; the study has three")
    parser.add_argument(
        "--definitions", action=argparse.BooleanOptionalAction, default=False, help="as of balin optimize"
    )
    parser.add_argument("--limit", type=int, default=48, help="calls of dev that candidates are compared on")
    parser.add_argument("--test-limit", type=int, help="only the first calls of test, for a look")
    parser.add_argument("--slots", type=int, default=1, help="answers asked for at once; translations are four")
    parser.add_argument("--record", action="store_true", help="keep the answers beside this file")
    parser.add_argument("--fresh", action="store_true", help="take no answers from beside this file")
    options = parser.parse_args()
    if not options.fresh:
        _restore(options.out)
    try:
        _run(options)
    except BalinError as error:
        sys.exit(f"gain.py: {error}")
    finally:
        if options.record:
            _record(options.out)


def _run(options: argparse.Namespace) -> None:
    """Run the steps, write gain.json, print the tables; the last line is JSON."""
    kept = options.out / "gain.json"
    result: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    by = {
        "model": options.model,
        "date": date.today().isoformat(),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, no GPU",
    }
    plan = _plan(options, "given", tuple(options.strategies))
    if set(options.steps) - {"translated"}:
        found, program = _chosen(plan)
        result["dev"] = by | found
        if "test" in options.steps:
            result["test"] = by | _tested(plan, program, options)
        if "seconds" in options.steps:
            result["seconds"] = by | _timed(plan, program)
    if "translated" in options.steps:
        translated = replace(plan, english="model", strategies=(options.translated_strategy,))
        found, frozen = _translator(translated, options)
        result["translator"] = by | found
        translated = replace(translated, translator_program=frozen)
        found, program = _chosen(translated, baselines=False)
        result["translated_dev"] = by | found
        result["translated_test"] = by | _tested(translated, program, options)
    options.out.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for name in ("test", "translated_test"):
        if name in result:
            print(_table(name, result[name]).markdown(), flush=True)
    told = {k: v["gain"] for k, v in result.items() if k.endswith("test")}
    print(json.dumps({"out": str(options.out), **told, "seconds": result.get("seconds")}))


def _restore(out: Path) -> None:
    """Put the shipped answers into the store of `out`, but for those that it has."""
    store, taken = Store(out / "store"), 0
    for row in _shipped():
        if store.get(row["kind"], row["key"]) is None:
            store.put(row["kind"], row["key"], row["record"])
            taken += 1
    print(f"{taken} answers taken from {SHIPPED.name}", flush=True)


def _shipped() -> list[dict[str, Any]]:
    if not SHIPPED.exists():
        return []
    with lzma.open(SHIPPED, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _record(out: Path) -> None:
    """Add the store's answers to the shipped ones, in an order of their own."""
    rows = {(row["kind"], row["key"]): row["record"] for row in _shipped()}
    for path in sorted((out / "store").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            with suppress(json.JSONDecodeError):  # a line that a kill tore
                row = json.loads(line)
                rows[path.stem, row["key"]] = row["record"]
    with lzma.open(SHIPPED, "wb", preset=9) as file:
        for (kind, key), record in sorted(rows.items()):
            file.write(canonical({"kind": kind, "key": key, "record": record}) + b"\n")


def _plan(options: argparse.Namespace, english: Any, strategies: tuple[str, ...]) -> Plan:
    feature_set = load_feature_set("palliative13")
    return Plan(
        dataset=read_corpus(feature_set),
        feature_set=feature_set,
        models=(options.model,),
        routes=("translated",),
        english=english,
        strategies=strategies,
        candidates=options.candidates,
        demos=options.demos,
        definitions=options.definitions,
        limit=options.limit,
        engines=EngineSettings(choice="embedded", slots=options.slots, translating=4),
        out=options.out,
        command=("python", *sys.argv),
    )


def _translator(plan: Plan, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The choice of the translator on the pool's references, and its file."""
    found = choose_translator(
        replace(plan, limit=options.translator_limit, candidates=1, demos=2), say=_say, advance=_advance
    )
    print(translators_table("Translators tried", found.trials).markdown(), flush=True)
    for sentence in found.document["says"]:
        print(sentence, flush=True)
    return {k: found.document[k] for k in ("best", "against", "says", "trials")}, str(found.program)


def _chosen(plan: Plan, *, baselines: bool = True) -> tuple[dict[str, Any], str]:
    """What was tried on dev, and the winner's file; without `baselines` the winner of the others, whatever beats it."""
    found = optimize(plan, say=_say, advance=_advance)
    (result,) = found.results
    print(result.table(plan.objective).markdown(), flush=True)
    for sentence in result.verdict.sentences(plan.objective, len(result.trials)):
        print(sentence, flush=True)
    document = result.to_dict(plan.objective)
    if baselines or result.verdict.best.candidate.strategy not in BASELINES:
        return document, result.arm.program
    own = [t for t in result.trials if t.candidate.strategy not in BASELINES and t.whole is not None]
    best = judge([*own, *with_thresholds(plan, own)], plan.goal()).best
    print(f"The best that is no baseline: {best.candidate.description}, {best.whole.value:.3f} on dev", flush=True)
    path = found.folder / "best-but-baselines.json"
    save_program(best.candidate.program, path)
    return document | {"best_but_baselines": best.to_dict()}, str(path)


def _tested(plan: Plan, program: str, options: argparse.Namespace) -> dict[str, Any]:
    """The winner and the study's draws on the same calls of test, and their paired difference."""
    arm = plan.arm(plan.models[0], "translated")
    winner = _scored(plan, replace(arm, program=program), options, "winner")
    draws = [_scored(plan, replace(arm, program="study", seed=seed), options, f"study-{seed}") for seed in range(DRAWS)]
    tables = _shared([read_predictions(o.folder) for o in (winner, *draws)])
    drawn = [
        values[:, MCC, len(t.features)]
        for values, t in zip(resampled_values(tables, "false", RESAMPLES, 0), tables, strict=True)
    ]
    gain = drawn[0] - np.mean(drawn[1:], axis=0)
    groups = len(set(group_numbers(tables[0].ids, tables[0].groups)))
    # Of the calls that every arm has answered, as the interval is.
    means = [float(over_features(rates(under("false", tally(t)))["mcc"])[0]) for t in tables]
    low, high, _ = bootstrap_bounds(gain, means[0] - statistics.mean(means[1:]), groups)
    return {
        "n": len(tables[0].ids),
        "arms": [
            {"name": name, "scores": o.scores.summary(), "cost": o.run["cost"], "run": o.folder.name}
            for name, o in zip(["winner", *(f"study, draw {s}" for s in range(DRAWS))], (winner, *draws), strict=True)
        ],
        "gain": {
            "winner": means[0],
            "study_mean": statistics.mean(means[1:]),
            "study_spread": [min(means[1:]), max(means[1:])],
            "difference": means[0] - statistics.mean(means[1:]),
            "interval": [float(low), float(high)],
        },
    }


def _timed(plan: Plan, program: str) -> dict[str, Any]:
    """Mean seconds a call of the winner and of the study's first draw, in turns of ten calls, each after an untimed one of the pool; and to translate."""
    pool, dev = (list(plan.dataset.part(p)) for p in ("pool", "dev"))
    demos, notes = choose_demos(pool, dev[:TIMED], plan.feature_set, 3, seed=0)
    drawn = BUILT_IN["study"].build(plan.feature_set, "en")
    drawn.set_demos([(d.english or "", d.labels) for d in demos])
    winner = load_program(Path(program), plan.feature_set)
    if winner.index is not None:
        winner.use_embedder(open_embedder(winner.index.embedder.name, plan.engines, wanted=winner.index.embedder))
    asked: dict[str, Extractor] = {"study": drawn, "winner": winner}
    warm = next(t for t in pool if t not in demos and t.english)
    engine = Metered(open_engine(plan.models[0], replace(plan.engines, slots=1)))
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for block in blocks(notes):
        for name, extractor in asked.items():
            extractor.set_lm(language_model(engine))
            rows = [
                answer(lambda text, e=extractor: dict(e(transcript=text).answers), note, engine, plan.feature_set.ids)
                for note in (warm, *block)
            ]
            seconds[name] += [row["seconds"] for row in rows[1:]]
            print(f"seconds, {name}: {statistics.mean(seconds[name]):.2f} a call of {len(seconds[name])}", flush=True)
    with TemporaryDirectory() as folder:
        made = translate_all(engine, plan.translating(), Store(Path(folder)), notes[:TRANSLATED])
    engine.close()
    means = {name: statistics.mean(values) for name, values in seconds.items()}
    finished = [m.seconds for m in made if m.failure is None]  # a failed one has no seconds
    translation = {"n": len(finished), "seconds": statistics.mean(finished) if finished else None}
    return {"n": len(notes), **means, "share": means["winner"] / means["study"], "translation": translation}


def _scored(plan: Plan, arm: ArmSettings, options: argparse.Namespace, name: str) -> Outcome:
    job: Job = replace(plan.job(arm), part="test", limit=options.test_limit, name=f"test-{plan.english}-{name}")
    outcome = run_evaluation(job, say=_say, advance=_advance)
    print(f"test, {plan.english} English, {name}: mean MCC {_mean_mcc(outcome):.3f}", flush=True)
    return outcome


def _mean_mcc(outcome: Outcome) -> float:
    return float(outcome.scores.summary()["mcc"]["mean"])


def _shared(tables: list[AnswerTable]) -> list[AnswerTable]:
    """The tables with those calls only that every arm has answered, in one order."""
    ids = [i for i in tables[0].ids if all(i in t.ids for t in tables)]
    rows = [np.array([t.ids.index(i) for i in ids]) for t in tables]
    kept = ~sum(
        ((t.state[r] == ERROR).any(axis=1) for t, r in zip(tables, rows, strict=True)), np.zeros(len(ids), bool)
    )
    return [
        AnswerTable(
            tuple(t.ids[i] for i in r[kept]), tuple(t.groups[i] for i in r[kept]), t.features, t.gold[r[kept]],
            t.state[r[kept]], t.p_true[r[kept]],
        )
        for t, r in zip(tables, rows, strict=True)
    ]  # fmt: skip


def _table(name: str, tested: dict[str, Any]) -> Grid:
    gain = tested["gain"]
    rows = [
        (
            arm["name"],
            figure(arm["scores"]["mcc"]["mean"], 3),
            figure(arm["scores"]["macro_f1"]["mean"], 3),
            "{prompt:.0f} / {cached:.0f} / {generated:.0f}".format(**arm["cost"]["tokens"]),
        )
        for arm in tested["arms"]
    ]
    told = figure_with_interval(gain["difference"], Interval(*gain["interval"]), 3)
    notes = (f"Gain in mean MCC over the mean of the draws: {told}.",)
    columns = ("Arm", "mean MCC", "mean macro-F1", "tokens: prompt / cached / written")
    return Grid(f"{name}, {tested['n']} calls", columns, tuple(rows), notes)


def _say(text: str) -> None:
    print(text, flush=True)


def _advance(phase: str, done: int, total: int) -> None:
    if done and done % 10 == 0:
        print(f"  {phase} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
