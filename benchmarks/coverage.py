"""How often the 95 % intervals hold the true value: percentile bootstrap and Wilson's, for several sizes and prevalences.

    .venv/bin/python benchmarks/coverage.py                                          # every size, 1,000 samples each
    .venv/bin/python benchmarks/coverage.py --sizes 60 --simulations 20 --resamples 200     # a quick look

Two arms of known sensitivity and specificity read n invented transcripts, one feature for each prevalence, so that the true value
of every metric is known; this is repeated with other transcripts. The intervals are Balin's own functions. Covered is counted
apart for samples with at least 15 gold labels of each class and for those with fewer, and `refused` is the share of samples without
an interval. What is to be seen: 93-97 % for MCC and macro-F1 from 15 labels on.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console

from balin.eval.grids import Grid, figure
from balin.eval.intervals import percentile_bounds, wilson_bounds
from balin.eval.metrics import AnswerTable, Floats, counts, over_features, rates
from balin.eval.paired import PAIRED, resampled_values
from balin.eval.scores import SCARCE

SIZES = (60, 100, 300, 1221)
PREVALENCES = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
# Sensitivity and specificity of the two arms: about the study's best model, and one that finds less.
ARMS = ((0.90, 0.93), (0.80, 0.96))
SHOWN = ("mcc", "macro_f1", "sensitivity", "specificity")


class Seen(NamedTuple):
    """One interval of one simulation.

    Attributes:
        what: Metric, method and prevalence.
        enough: At least 15 gold labels of each class; for a summary, in every feature.
        covered: It holds the true value; None where the interval was refused.
        width: Its width; NaN where refused.
    """

    what: tuple[str, str, str]
    enough: bool
    covered: bool | None
    width: float


def main() -> None:
    """Simulate, print a table for each size; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = {n: coverage(n, options.simulations, options.resamples, options.seed) for n in options.sizes}
    for n, rows in found.items():
        Console(width=110).print(_grid(n, rows, options.simulations))
    document = {
        "simulations": options.simulations,
        "resamples": options.resamples,
        "seed": options.seed,
        "sizes": {str(n): rows for n, rows in found.items()},
    }
    print(json.dumps(document, allow_nan=False))


def coverage(n: int, simulations: int, resamples: int, seed: int) -> list[dict[str, object]]:
    """For each metric, method and prevalence the share of intervals that hold the true value."""
    seen: dict[tuple[str, str, str], list[Seen]] = defaultdict(list)
    for index in range(simulations):
        draw = np.random.default_rng([seed, n, index])
        for item in _simulate(n, draw, resamples, int(draw.integers(2**31))):
            seen[item.what].append(item)
    return [
        {
            "metric": metric,
            "method": method,
            "prevalence": prevalence,
            "enough": _share([i for i in items if i.enough]),
            "enough_samples": sum(i.enough for i in items),
            "scarce": _share([i for i in items if not i.enough]),
            "refused": sum(i.covered is None for i in items) / len(items),
            "width": float(np.mean(widths)) if (widths := [i.width for i in items if i.covered is not None]) else None,
        }
        for (metric, method, prevalence), items in seen.items()
    ]


def _simulate(n: int, draw: np.random.Generator, resamples: int, seed: int) -> Iterator[Seen]:
    tables, truths = _tables(n, draw), [_truth(*arm) for arm in ARMS]
    drawn = resampled_values(tables, "false", resamples, seed)
    positives = (tables[0].gold == 1).sum(axis=0)
    enough = np.minimum(positives, n - positives) >= SCARCE
    enough = np.append(enough, [enough.all()] * 2)
    columns = [*(f"{100 * p:.0f} %" for p in PREVALENCES), "mean", "median"]
    bounds, apart = percentile_bounds(drawn[0]), percentile_bounds(drawn[1] - drawn[0])
    for j, column in enumerate(columns):
        for metric in SHOWN:
            m = PAIRED.index(metric)
            truth, difference = truths[0][metric][j], truths[1][metric][j] - truths[0][metric][j]
            yield _seen((metric, "bootstrap", column), enough[j], truth, bounds.low[m, j], bounds.high[m, j])
            yield _seen(
                (f"difference of {metric}", "bootstrap", column),
                enough[j],
                difference,
                apart.low[m, j],
                apart.high[m, j],
            )
    for j, (tp, fp, fn, tn) in enumerate(counts(tables[0]).astype(int).tolist()):
        for metric, hits, trials in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp)):
            low, high = wilson_bounds(hits, trials)
            yield _seen((metric, "wilson", columns[j]), enough[j], truths[0][metric][j], low, high)


def _tables(n: int, draw: np.random.Generator) -> list[AnswerTable]:
    shape = (n, len(PREVALENCES))
    gold = (draw.random(shape) < np.array(PREVALENCES)).astype(np.int8)
    ids, features = tuple(f"t{i}" for i in range(n)), tuple(f"f{j}" for j in range(shape[1]))
    tables = []
    for sensitivity, specificity in ARMS:
        right = draw.random(shape) < np.where(gold == 1, sensitivity, specificity)
        state = np.where(right, gold, 1 - gold).astype(np.int8)
        tables.append(AnswerTable(ids, (None,) * n, features, gold, state, np.full(shape, np.nan)))
    return tables


def _truth(sensitivity: float, specificity: float) -> dict[str, Floats]:
    """Each metric of an endless sample for each prevalence, then their mean and median."""
    p = np.array(PREVALENCES)
    confusion = np.stack(
        (p * sensitivity, (1 - p) * (1 - specificity), p * (1 - sensitivity), (1 - p) * specificity), axis=-1
    )
    return {metric: np.append(values, over_features(values)) for metric, values in rates(confusion).items()}


def _seen(what: tuple[str, str, str], enough: bool, truth: float, low: float, high: float) -> Seen:
    refused = bool(np.isnan(low))
    # A true value at an end, as sensitivity 1, is covered whatever the last digit of rounding says.
    return Seen(what, bool(enough), None if refused else bool(low - 1e-12 <= truth <= high + 1e-12), float(high - low))


def _share(items: Sequence[Seen]) -> float | None:
    known = [item.covered for item in items if item.covered is not None]
    return sum(known) / len(known) if known else None


def _grid(n: int, rows: Sequence[dict[str, object]], simulations: int) -> Grid:
    def share(value: object) -> str:
        return figure(100 * value if isinstance(value, float) else None, 1)

    return Grid(
        title=f"n = {n}: share of {simulations} samples whose 95 % interval holds the true value",
        columns=(
            "Metric",
            "Interval",
            "Prevalence",
            f"{SCARCE} or more\nof each class, %",
            "samples",
            "fewer, %",
            "refused, %",
            "width",
        ),
        rows=tuple(
            (
                *(str(row[key]) for key in ("metric", "method", "prevalence")),
                share(row["enough"]),
                str(row["enough_samples"]),
                share(row["scarce"]),
                share(row["refused"]),
                figure(row["width"] if isinstance(row["width"], float) else None, 3),
            )
            for row in rows
        ),
        texts=3,
    )


if __name__ == "__main__":
    main()
