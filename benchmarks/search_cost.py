"""What a search costs: the regret of `balin search` against calls, beside random search, on predictions that are stored.

    .venv/bin/python benchmarks/search_cost.py --record      # asks the models, writes the predictions beside this file, and replays
    .venv/bin/python benchmarks/search_cost.py               # replays what was recorded
    .venv/bin/python benchmarks/search_cost.py --simulate --predictions simulated.parquet      # invented predictions

48 configurations × 40 dev calls of the shipped corpus in their given English. Recording asks each of two models 12 programs (two
formats; no demos, 3 random ones, 3 of `coverage`; two wordings of the instructions, without the features' definitions) and asks for no program that the file
has already; each program is two configurations, with and without thresholds, which share their answers. Nothing is asked afterwards: the search's own loop replays the file.

A call is one transcript asked of one program; it is paid once, whichever configuration needs it first, by both searches. Regret
is the mean macro-F1 of the best of all configurations less that of the best one that was finished within the budget, all on the
same 40 calls: it measures the search, not how well a choice holds elsewhere. The search begins with zero-shot and prunes; random search
takes all configurations in random order and asks each about everything. Either chooses by scores whose thresholds have folds of its own seed, and is judged by those of
one seed, so that regret need not end at 0. With the whole grid's calls both have tried everything; that they are equal then
does not count as better, so the exit code is 1 for that budget alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from balin.data.corpus import read_corpus
from balin.data.files import private_folder
from balin.data.transcripts import Dataset, Transcript
from balin.engines.opening import EngineSettings
from balin.eval.metrics import STATE_CODES, AnswerTable
from balin.optimizers.budget import Budget, Halt, Meter
from balin.optimizers.examination import decided
from balin.optimizers.goals import Goals
from balin.optimizers.places import Places
from balin.optimizers.plan import Plan
from balin.optimizers.pruning import LOOKS, first_rows, ordered
from balin.optimizers.search import Search, Searching
from balin.optimizers.space import Choices, Space, Value, describe, key
from balin.optimizers.strategies import study, zero_shot
from balin.optimizers.study import Keeper, PlaceSampler, outcome, quietly, result, spent, tried
from balin.optimizers.trial import Cost, Scored, objective_of
from balin.optimizers.workers import Worker
from balin.signatures.features import FeatureSet, load_feature_set

NOTES = 40
SHIPPED = Path(__file__).with_suffix(".parquet")
BUDGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LIMIT, AT, FROM = 0.02, 0.4, 0.2
RECORDED = Space(
    models=("qwen2.5-coder:1.5b", "smollm2:135m"), routes=("translated",), english="given", formats=("probe", "json"),
    strategies=("random", "coverage"), demos=(3,), draws=1, instructions=("default", "exclusions"), thresholds="off",
    definitions="off",
)  # fmt: skip
COLUMNS = ["configuration", "id", "feature", "gold", "state", "p_true", "cost"]


def main() -> None:
    """Record or invent predictions where that is wanted, and replay; the last line is JSON. Exit code 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=Path, default=SHIPPED, help="Parquet; written by --record and --simulate")
    parser.add_argument("--record", action="store_true", help="ask models for what is not in the store of --out")
    parser.add_argument("--simulate", action="store_true", help="write invented predictions")
    parser.add_argument("--out", type=Path, default=Path("runs/search-cost"))
    parser.add_argument("--slots", type=int, default=1, help="requests to models at once")
    parser.add_argument("--seed", type=int, default=0, help="of invented predictions")
    parser.add_argument("--seeds", type=int, default=10, help="how many runs of each search")
    parser.add_argument("--model", choices=RECORDED.models, help="replay only this model's half of the grid")
    options = parser.parse_args()
    if options.simulate and options.predictions == SHIPPED:
        parser.error("--simulate needs --predictions FILE: invented predictions do not replace the recorded ones")
    feature_set = load_feature_set("palliative13")
    corpus = read_corpus(feature_set)
    order, _ = ordered(corpus, feature_set, NOTES, LOOKS, 0)
    if options.record:
        _record(corpus, feature_set, order, options)
    elif options.simulate:
        _write(list(_simulated(feature_set, order, options.seed)), options.predictions)
    if not options.predictions.exists():
        parser.error(f"{options.predictions}: there are no predictions yet; --record asks the models for them")
    frame = pd.read_parquet(options.predictions)
    programs = {key(chosen) for chosen in asked_programs()}
    if not programs <= set(frame["configuration"]):
        known = len(programs & set(frame["configuration"]))
        parser.error(
            f"{options.predictions.name}: {known} of {len(programs)} programs are recorded; --record asks for the rest"
        )
    if options.model:
        frame = frame[[json.loads(name)["model"] == options.model for name in frame["configuration"]]]
    replayed = Replayed(frame)
    found = _measured(replayed, range(options.seeds))
    found["predictions"] = "simulated" if options.simulate else str(options.predictions.name)
    _show(replayed, found)
    print(json.dumps(found))
    sys.exit(not found["passed"])


def asked_programs() -> list[dict[str, Value]]:
    """The configurations whose answers are recorded, without thresholds."""
    return [chosen for chosen in RECORDED.configurations() if chosen["strategy"] != study.NAME]


def _record(corpus: Dataset, feature_set: FeatureSet, order: Sequence[Transcript], options: argparse.Namespace) -> None:
    """Ask every program about every transcript, one model after the other, but for those that the file has already."""
    rows: list[tuple[Any, ...]] = []
    if options.predictions.exists():
        rows = list(pd.read_parquet(options.predictions).astype(object).itertuples(index=False, name=None))
    known = {row[0] for row in rows}
    base = Plan(
        dataset=corpus, feature_set=feature_set, models=RECORDED.models, routes=RECORDED.routes, english="given",
        limit=NOTES, engines=EngineSettings(choice="embedded", slots=options.slots), out=options.out,
    )  # fmt: skip
    private_folder(options.out)

    def advance(phase: str, done: int, total: int) -> None:
        if done == total:
            print(f"{phase}: {done}", flush=True)

    places = Places(base, RECORDED, corpus, order, base.folder("search-cost"), Meter(), print, advance)
    try:
        for chosen in asked_programs():
            if key(chosen) in known:
                continue
            candidate = places.at(chosen).candidate(chosen)
            if candidate is None:
                sys.exit(f"{describe(chosen)} makes no program")
            answers = places.at(chosen).answers(candidate.program, order, describe(chosen))
            for transcript, answered in zip(order, answers, strict=True):
                for feature, answer in answered.answers.items():
                    gold = transcript.labels[feature]
                    rows.append(
                        (key(chosen), transcript.id, feature, int(bool(gold)), answer.state.value, answer.p_true,
                        answered.telemetry.requests)
                    )  # fmt: skip
            _write(rows, options.predictions)
    finally:
        places.close()


def _write(rows: list[tuple[Any, ...]], path: Path) -> None:
    """One row for each program, transcript and feature."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["p_true"] = frame["p_true"].astype("float64").round(5)
    for name in ("configuration", "id", "feature", "state"):
        frame[name] = frame[name].astype("category")
    frame.to_parquet(path, index=False, compression="zstd")


def _simulated(feature_set: FeatureSet, order: Sequence[Transcript], seed: int) -> Iterator[tuple[Any, ...]]:
    """Invented answers to real labels: P(true) from a sum of effects of the choices, of the feature and of the note, and noise.

    Each program and feature has a bias of its own, as real ones have, so that thresholds help some more than others.
    """
    rng = np.random.default_rng(seed)
    effects = {
        "qwen2.5-coder:1.5b": 1.6, "smollm2:135m": 0.2, "probe": 0.35, "json": 0.0, "zero-shot": -0.4, "random": 0.0,
        "coverage": 0.25, "default": 0.0, "exclusions": 0.1,
    }  # fmt: skip
    gold = np.array([[int(bool(t.labels[i])) for i in feature_set.ids] for t in order])
    note, feature = rng.normal(0, 0.7, (len(order), 1)), rng.normal(0, 0.5, gold.shape[1])
    for chosen in asked_programs():
        strength = sum(effects[str(chosen[n])] for n in ("model", "format", "strategy", "instructions"))
        strength = np.maximum(0.0, strength + rng.normal(0, 0.15) + feature + rng.normal(0, 0.3, gold.shape[1]))
        bias = rng.normal(0, 0.8, gold.shape[1])
        logit = strength * (2 * gold - 1) + bias + note + rng.normal(0, 1.0, gold.shape)
        p_true = 1 / (1 + np.exp(-logit))
        for i, transcript in enumerate(order):
            for j, name in enumerate(feature_set.ids):
                state = "true" if p_true[i, j] >= 0.5 else "false"
                calls = len(feature_set) if chosen["format"] == "probe" else 1
                yield key(chosen), transcript.id, name, int(gold[i, j]), state, float(p_true[i, j]), calls


@dataclass(frozen=True)
class Listed(Space):
    """A space that holds the configurations of a list and no others."""

    listed: tuple[dict[str, Value], ...] = ()

    def dimensions(self, chosen: Choices) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """Name and choices of each dimension; one is there where a configuration that begins as chosen has it."""
        for name in dict.fromkeys(n for c in self.listed for n in c):
            if any(name in c and all(c.get(n) == v for n, v in chosen.items()) for c in self.listed):
                yield name, tuple(dict.fromkeys(c[name] for c in self.listed if name in c))

    def baselines(self) -> tuple[dict[str, Value], ...]:
        """Zero-shot with the first of everything else."""
        return tuple(c for c in self.listed if c["strategy"] == zero_shot.NAME)[:1]


class Replayed:
    """An examiner that answers from a table of predictions.

    Args:
        frame: With `COLUMNS`; every configuration has the same transcripts in the same order.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.meter = Meter()
        self.tables: dict[str, AnswerTable] = {}
        codes = {state.value: code for state, code in STATE_CODES.items()}
        for name, rows in frame.groupby("configuration", sort=False, observed=True):
            ids, features = (tuple(dict.fromkeys(rows[column])) for column in ("id", "feature"))
            if len(rows) != len(ids) * len(features):
                sys.exit(f"{name}: {len(rows)} rows for {len(ids)} transcripts and {len(features)} features")
            shape = (len(ids), len(features))
            p_true = rows["p_true"].to_numpy(dtype=np.float64, na_value=np.nan).reshape(shape)
            state = rows["state"].map(codes).to_numpy(dtype=np.int8).reshape(shape)
            gold = rows["gold"].to_numpy(dtype=np.int8).reshape(shape)
            self.tables[str(name)] = AnswerTable(ids, (None,) * len(ids), features, gold, state, p_true)
        listed: list[dict[str, Value]] = []
        for name, table in self.tables.items():
            chosen = json.loads(name)
            # One choice for all: P(true) is what thresholds need.
            listed += [
                chosen | {"thresholds": t} for t in ((False, True) if not np.isnan(table.p_true).all() else (False,))
            ]
        self.space = Listed(models=("recorded",), listed=tuple(listed))
        self.gold = next(iter(self.tables.values()))
        if {key(c) for c in self.space.configurations()} != {key(c) for c in listed}:
            sys.exit("the configurations are no whole space: some combination of their choices is not among them")

    def table(self, chosen: Choices) -> AnswerTable:
        """The recorded answers of a configuration; those with thresholds are the same."""
        return self.tables[asked(chosen)]

    def look(self, chosen: Choices, count: int) -> Scored:
        """As `Examiner` says."""
        table = first_rows(self.table(chosen), count)
        for i in table.ids:
            self.meter.add(f"{asked(chosen)} {i}", 1, 0)
        return Scored(objective_of(table, "macro_f1"), {}, None, table, Cost(count, count))

    def facts(self, chosen: Choices) -> dict[str, Any]:
        """As `Examiner` says."""
        return {}

    def scores(self, seed: int) -> dict[str, float]:
        """The mean macro-F1 of every configuration on all transcripts, as a search of that seed scores it: thresholds have folds."""
        found = {}
        for chosen in self.space.listed:
            value, _, _ = decided(self.look(chosen, len(self.gold.ids)), chosen, "macro_f1", seed)
            found[key(chosen)] = -1.0 if value is None else value
        return found

    @property
    def calls(self) -> int:
        """Of the whole grid."""
        return len(self.tables) * len(self.gold.ids)


def asked(chosen: Choices) -> str:
    """What is asked of a model in a configuration."""
    return key({k: v for k, v in chosen.items() if k != "thresholds"})


def searched(replayed: Replayed, scores: dict[str, float], seed: int) -> list[tuple[int, float]]:
    """After each trial of the product's search the calls so far and the score of its best, until every configuration was tried.

    Args:
        replayed: Answers.
        scores: Of each configuration, the same for both searches.
        seed: Of the search.
    """
    n = len(replayed.gold.ids)
    task = Searching(replayed.space, Budget(trials=None), Goals("macro_f1"), seed)
    ends = (*(look for look in LOOKS if look < n), n)
    with quietly(), tempfile.TemporaryDirectory() as folder, Worker(Path(folder)) as worker:
        keeper = Keeper(optuna.create_study(direction="maximize", sampler=PlaceSampler(seed)), worker, shared=True)
        meter = replayed.meter = Meter()
        search = Search(keeper, task, replayed, ends, replayed.gold, Halt(None, Path(folder) / "STOP"), meter)
        search.begin()
        search.run()
        trials = tried(keeper.trials())
        path: list[tuple[int, float]] = []
        best, held = -1.0, -1.0
        for i, trial in enumerate(trials):
            # The search holds what it scored best itself; with thresholds it has folds of its own seed.
            if outcome(trial) == "scored" and result(trial)["score"] > best:
                best, held = result(trial)["score"], scores[key(trial.user_attrs["asked"])]
            path.append((spent(trials[: i + 1]).calls, held))
    return path


def drawn(replayed: Replayed, scores: dict[str, float], seed: int) -> list[tuple[int, float]]:
    """The same for random search."""
    order = list(replayed.space.listed)
    random.Random(seed).shuffle(order)
    own, paid, path = replayed.scores(seed), set(), []
    best = order[0]
    for chosen in order:
        paid.add(asked(chosen))
        best = max(best, chosen, key=lambda c: own[key(c)])
        path.append((len(paid) * len(replayed.gold.ids), scores[key(best)]))
    return path


def at(path: list[tuple[int, float]], calls: float) -> float:
    """The score of the best that was there within so many calls; 0 where there was none."""
    return next((score for used, score in reversed(path) if used <= calls), 0.0)


def _measured(replayed: Replayed, seeds: range) -> dict[str, Any]:
    """Median and mean regret of both searches at each budget."""
    scores = replayed.scores(0)
    top = max(scores.values())
    paths = {
        "search": [searched(replayed, scores, seed) for seed in seeds],
        "random": [drawn(replayed, scores, seed) for seed in seeds],
    }
    budgets = []
    for share in BUDGETS:
        regrets = {name: [top - at(p, share * replayed.calls) for p in found] for name, found in paths.items()}
        row: dict[str, Any] = {"share": share, "calls": round(share * replayed.calls)}
        row |= {f"{name}_median": round(float(np.median(r)), 4) for name, r in regrets.items()}
        row |= {f"{name}_mean": round(float(np.mean(r)), 4) for name, r in regrets.items()}
        budgets.append(row)
    within = next(r["search_median"] for r in budgets if r["share"] == AT) <= LIMIT
    not_better = [r["share"] for r in budgets if r["share"] >= FROM and r["search_mean"] >= r["random_mean"]]
    return {
        "configurations": len(scores), "notes": len(replayed.gold.ids), "calls": replayed.calls, "best": round(top, 4),
        "worst": round(min(scores.values()), 4), "median": round(float(np.median(list(scores.values()))), 4),
        "whole_search_calls": [p[-1][0] for p in paths["search"]], "budgets": budgets,
        "median_regret_kept": within, "not_better_than_random": not_better, "passed": within and not not_better,
    }  # fmt: skip


def _show(replayed: Replayed, found: dict[str, Any]) -> None:
    print(
        f"{found['configurations']} configurations × {found['notes']} calls ({found['predictions']}): the best has {found['best']}, the "
        f"median {found['median']}, the worst {found['worst']}; the grid takes {found['calls']} calls"
    )
    print("share   calls   search: median  mean   random: median  mean")
    for row in found["budgets"]:
        print(
            f"{row['share']:4.0%} {row['calls']:8} {row['search_median']:15.4f} {row['search_mean']:6.4f} "
            f"{row['random_median']:15.4f} {row['random_mean']:6.4f}"
        )
    kept = "kept" if found["median_regret_kept"] else "not kept"
    print(f"a median regret of at most {LIMIT} at {AT:.0%} of the calls: {kept}")
    lost = ", ".join(f"{share:.0%}" for share in found["not_better_than_random"]) or "none"
    print(f"budgets from {FROM:.0%} at which the search's mean regret is not below random search's: {lost}")


if __name__ == "__main__":
    main()
