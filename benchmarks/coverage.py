"""How often the 95 % intervals hold the true value, for several sizes and prevalences.

    .venv/bin/python benchmarks/coverage.py                                          # every size, 1,000 samples each
    .venv/bin/python benchmarks/coverage.py --sizes 60 --simulations 50 --resamples 200     # a quick look

Two arms of known sensitivity and specificity read n invented transcripts, one feature for each prevalence, so that the true value
of every metric is known; this is repeated with other transcripts. The intervals are Balin's own functions: `bootstrap` is what
reports show, `percentile` the plain percentile bootstrap beside it, and `wilson` what sensitivity and specificity of a feature
have where no group repeats. Covered is counted apart for samples with at least 15 gold labels of each class and for those with
fewer, and `refused` is the share of samples without an interval. What is to be seen: 93-97 % for MCC and macro-F1 from 15 labels on.

Fifty samples share their resamples, so that they are one matrix product.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console

from balin.eval.grids import Grid, figure
from balin.eval.intervals import Bounds, bootstrap_bounds, percentile_bounds, weight_blocks, wilson_bounds
from balin.eval.metrics import AnswerTable, Floats, limits, over_features, rates, tally, under
from balin.eval.scores import SCARCE
from balin.eval.smoothing import pseudo_counts, smoothed

SIZES = (60, 100, 300, 1221)
PREVALENCES = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
# Sensitivity and specificity of the two arms: about the study's best model, and one that finds less.
ARMS = ((0.90, 0.93), (0.80, 0.96))
SHOWN = ("mcc", "macro_f1", "sensitivity", "specificity")
COLUMNS = (*(f"{100 * p:.0f} %" for p in PREVALENCES), "mean", "median")
TOGETHER = 50
Flags = npt.NDArray[np.bool_]
Row = dict[str, Any]


class Seen(NamedTuple):
    """One interval in each of some samples.

    Attributes:
        what: Metric, method and prevalence.
        enough: At least 15 gold labels of each class; for a summary, in every feature.
        known: There is an interval.
        covered: It holds the true value.
        width: Its width; NaN where refused.
    """

    what: tuple[str, str, str]
    enough: Flags
    known: Flags
    covered: Flags
    width: Floats


def main() -> None:
    """Simulate, print a table for each size; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    found = {n: coverage(n, options.simulations, options.resamples, options.seed) for n in options.sizes}
    for n, rows in found.items():
        Console(width=110).print(_grid(n, rows, options.simulations))
    print(summary(found, options.simulations).markdown())
    document = {
        "simulations": options.simulations,
        "resamples": options.resamples,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "sizes": {str(n): rows for n, rows in found.items()},
    }
    print(json.dumps(document, allow_nan=False))


def coverage(n: int, simulations: int, resamples: int, seed: int) -> list[Row]:
    """For each metric, method and prevalence the share of intervals that hold the true value."""
    seen: dict[tuple[str, str, str], list[Seen]] = defaultdict(list)
    for begin in range(0, simulations, TOGETHER):
        draw = np.random.default_rng([seed, n, begin])
        for item in _simulate(n, min(TOGETHER, simulations - begin), draw, resamples, int(draw.integers(2**31))):
            seen[item.what].append(item)
    rows = []
    for (metric, method, prevalence), parts in seen.items():
        enough, known, covered = (
            np.concatenate([getattr(p, a) for p in parts]) for a in ("enough", "known", "covered")
        )
        widths = np.concatenate([p.width for p in parts])[known]
        rows.append(
            {
                "metric": metric,
                "method": method,
                "prevalence": prevalence,
                "enough": _share(covered[known & enough]),
                "enough_samples": int(enough.sum()),
                "scarce": _share(covered[known & ~enough]),
                "refused": float(1 - known.mean()),
                "width": float(widths.mean()) if len(widths) else None,
            }
        )
    return rows


def _simulate(n: int, samples: int, draw: np.random.Generator, resamples: int, seed: int) -> Iterator[Seen]:
    k = len(PREVALENCES)
    tables = _tables(n, samples, draw)
    point = [under("false", tally(table)).reshape(samples, k, 4) for table in tables]
    plain, smooth = (_resampled(tables, resamples, seed, pseudo=pseudo) for pseudo in (False, True))
    values, truths = [_values(counts) for counts in point], [_truth(*arm) for arm in ARMS]
    positives = (tables[0].gold == 1).sum(axis=0).reshape(samples, k)
    scarcer = np.minimum(positives, n - positives)
    enough = np.concatenate((scarcer >= SCARCE, np.repeat((scarcer >= SCARCE).all(axis=1)[:, None], 2, axis=1)), axis=1)
    for name, of in (("{}", lambda arms: arms[0]), ("difference of {}", lambda arms: arms[1] - arms[0])):
        for m, metric in enumerate(SHOWN):
            truth, own = of([t[m] for t in truths]), of([v[:, m] for v in values])
            ends = limits(metric) if name == "{}" else (-2.0, 2.0)
            kinds = {
                "bootstrap": bootstrap_bounds(of([d[:, :, m] for d in smooth]), own, n, limits=ends),
                "percentile": percentile_bounds(of([d[:, :, m] for d in plain])),
            }
            for method, bounds in kinds.items():
                for j, column in enumerate(COLUMNS):
                    yield _seen((name.format(metric), method, column), enough[:, j], truth[j], _column(bounds, j))
    tp, fp, fn, tn = np.moveaxis(point[0].astype(int), -1, 0)
    for metric, hits, trials in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp)):
        ends = np.vectorize(wilson_bounds)(hits, trials)
        for j in range(k):
            at = Bounds(ends[0][:, j], ends[1][:, j], trials[:, j])
            yield _seen((metric, "wilson", COLUMNS[j]), enough[:, j], truths[0][SHOWN.index(metric)][j], at)


def _tables(n: int, samples: int, draw: np.random.Generator) -> list[AnswerTable]:
    """Both arms; the features of all samples side by side."""
    shape = (n, samples * len(PREVALENCES))
    gold = (draw.random(shape) < np.tile(PREVALENCES, samples)).astype(np.int8)
    ids, features = tuple(f"t{i}" for i in range(n)), tuple(f"f{j}" for j in range(shape[1]))
    tables = []
    for sensitivity, specificity in ARMS:
        right = draw.random(shape) < np.where(gold == 1, sensitivity, specificity)
        state = np.where(right, gold, 1 - gold).astype(np.int8)
        tables.append(AnswerTable(ids, (None,) * n, features, gold, state, np.full(shape, np.nan)))
    return tables


def _resampled(tables: Sequence[AnswerTable], resamples: int, seed: int, *, pseudo: bool) -> list[Floats]:
    """The metrics of both arms in each resample, [B, samples, M, k + 2]."""
    k, found = len(PREVALENCES), []
    for table in tables:
        blocks = weight_blocks(table.ids, table.groups, resamples, seed)
        counted = np.concatenate([under("false", tally(table, weights)) for weights in blocks])
        if pseudo:
            counted = smoothed(counted, pseudo_counts(table, resamples, seed).confusion)
        found.append(_values(counted.reshape(resamples, -1, k, 4)))
    return found


def _values(confusion: Floats) -> Floats:
    """[..., M, k + 2] from counts [..., k, 4]: each feature, the mean and the median."""
    found = rates(confusion)
    by_feature = np.stack([found[metric] for metric in SHOWN], axis=-2)
    mean, median = over_features(by_feature)
    return np.concatenate((by_feature, mean[..., None], median[..., None]), axis=-1)


def _truth(sensitivity: float, specificity: float) -> Floats:
    """Each metric of an endless sample for each prevalence, then their mean and median, [M, k + 2]."""
    p = np.array(PREVALENCES)
    return _values(
        np.stack((p * sensitivity, (1 - p) * (1 - specificity), p * (1 - sensitivity), (1 - p) * specificity), axis=-1)
    )


def _column(bounds: Bounds, j: int) -> Bounds:
    return Bounds(*(values[:, j] for values in bounds))


def _seen(what: tuple[str, str, str], enough: Flags, truth: float, bounds: Bounds) -> Seen:
    # A true value at an end, as sensitivity 1, is covered whatever the last digit of rounding says.
    covered = (bounds.low - 1e-12 <= truth) & (truth <= bounds.high + 1e-12)
    return Seen(what, enough, ~np.isnan(bounds.low), covered, bounds.high - bounds.low)


def _share(covered: Flags) -> float | None:
    return float(covered.mean()) if len(covered) else None


def summary(found: Mapping[int, Sequence[Row]], simulations: int) -> Grid:
    """The share of intervals that hold the true value, over all prevalences of a size: the table of docs/compare.md."""
    enough = ("mcc", "macro_f1", "difference of mcc", "difference of macro_f1")
    scarce = ("mcc", "difference of mcc", "sensitivity")
    whole = (("mcc", "mean"), ("mcc", "median"), ("macro_f1", "median"))
    columns = (*enough, *(f"{m}, fewer than {SCARCE}" for m in scarce), *(f"{column} {m}" for m, column in whole))
    lines = []
    for n, rows in found.items():
        for method in ("bootstrap", "percentile"):
            of = {m: [r for r in rows if (r["metric"], r["method"]) == (m, method)] for m in (*enough, *scarce)}
            features = {m: [r for r in rs if r["prevalence"] not in ("mean", "median")] for m, rs in of.items()}
            shares = [_pooled(features[m], simulations, ("enough",)) for m in enough]
            shares += [_pooled(features[m], simulations, ("scarce",)) for m in scarce]
            shares += [
                _pooled([r for r in of[m] if r["prevalence"] == column], simulations, ("enough", "scarce"))
                for m, column in whole
            ]
            lines.append((str(n), method, *(figure(None if s is None else 100 * s, 1) for s in shares)))
    return Grid("Held, % of samples", ("n", "interval", *columns), tuple(lines), texts=2)


def _pooled(rows: Sequence[Row], simulations: int, kinds: Sequence[str]) -> float | None:
    """The share over samples of those kinds, each row counted by its samples; None where there are none."""
    held = count = 0.0
    for row in rows:
        samples = {"enough": row["enough_samples"], "scarce": simulations - row["enough_samples"]}
        for kind in kinds:
            if row[kind] is not None:
                held, count = held + row[kind] * samples[kind], count + samples[kind]
    return held / count if count else None


def _grid(n: int, rows: Sequence[Row], simulations: int) -> Grid:
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
