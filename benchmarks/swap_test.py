"""How often the arms are told apart although they do not differ: the swap test and the bootstrap interval, at 5 %.

    .venv/bin/python benchmarks/swap_test.py                             # 1,000 samples of each case
    .venv/bin/python benchmarks/swap_test.py --simulations 100           # a quick look

Two arms read invented transcripts, six features each. In every case the true difference of the means and of the medians is 0:

same      both arms are alike in every feature, and the transcripts that are hard for one are hard for the other
opposite  each arm is far better in half of the features, where the other is worse by as much
trade     one arm finds more and the other errs less in every feature, so that their MCC is the same

5 % is right. The swap test asks whether it matters which arm answered. In `opposite` it does, in every feature, and swapping makes
the arms' features alike, so that their medians vary less than they do: the test's p for the difference of *medians* is too small.
So Balin gives none; a median's difference is told by its interval.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from rich.console import Console
from scipy.optimize import brentq

from balin.eval.grids import Grid, figure
from balin.eval.intervals import bootstrap_bounds
from balin.eval.metrics import AnswerTable, Floats, counts, over_features, rates
from balin.eval.paired import PAIRED, resampled_values, swap_p_values

SIZES = (100, 300)
PREVALENCES = np.array((0.15, 0.15, 0.25, 0.25, 0.40, 0.40))
MCC = PAIRED.index("mcc")
ALPHA = 0.05


def main() -> None:
    """Simulate, print a table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--permutations", type=int, default=399)
    parser.add_argument("--resamples", type=int, default=400)
    options = parser.parse_args()
    found = [
        {"case": name, "n": n, **false_alarms(*arms, n, options.simulations, options.permutations, options.resamples)}
        for name, arms in _cases().items()
        for n in SIZES
    ]
    columns = ("case", "n", "mean_swap", "mean_interval", "median_swap", "median_interval", "features_swap")
    rows = tuple((str(r["case"]), str(r["n"]), *(figure(100 * float(r[c]), 1) for c in columns[2:])) for r in found)
    names = ("Case", "n", "Mean,\nswap", "Mean,\ninterval", "Median,\nswap", "Median,\ninterval", "Features,\nswap")
    Console(width=110).print(Grid(f"Told apart, % of {options.simulations} samples (MCC, 5 % level)", names, rows))
    print(json.dumps({**vars(options), "found": found}))


def false_alarms(
    first: Floats, second: Floats, n: int, simulations: int, permutations: int, resamples: int
) -> dict[str, float]:
    """Shares of samples in which test or interval tells the arms' MCC apart; of the features the mean share."""
    by_swap, by_interval = [], []
    for index in range(simulations):
        one, other = _tables(first, second, n, np.random.default_rng([index, n]))
        by_swap.append(swap_p_values(one, other, "false", permutations, index)[MCC] <= ALPHA)
        drawn = resampled_values((one, other), "false", resamples, index)
        low, high, _ = bootstrap_bounds((drawn[1] - drawn[0])[:, MCC], _mcc(other) - _mcc(one), n)
        by_interval.append(~((low <= 0) & (high >= 0)))
    swap, interval = np.mean(by_swap, axis=0), np.mean(by_interval, axis=0)
    return {
        "mean_swap": float(swap[-2]),
        "mean_interval": float(interval[-2]),
        "median_swap": float(swap[-1]),
        "median_interval": float(interval[-1]),
        "features_swap": float(swap[:-2].mean()),
    }


def _cases() -> dict[str, tuple[Floats, Floats]]:
    """Sensitivity and specificity of each arm by feature, [k, 2]."""
    k, (good, bad) = len(PREVALENCES), ((0.95, 0.97), (0.70, 0.90))
    finding = np.tile((0.90, 0.88), (k, 1))
    careful = []
    for prevalence, (sensitivity, specificity) in zip(PREVALENCES, finding, strict=True):
        wanted = _true_mcc(prevalence, sensitivity, specificity)
        found = brentq(lambda x, p=prevalence, w=wanted: _true_mcc(p, 0.75, x) - w, 0.5, 1 - 1e-9)
        careful.append((0.75, found))
    same = np.tile((0.85, 0.94), (k, 1))
    return {
        "same": (same, same),
        "opposite": (np.tile((good, bad), (k // 2, 1)), np.tile((bad, good), (k // 2, 1))),
        "trade": (finding, np.array(careful)),
    }


def _true_mcc(prevalence: float, sensitivity: float, specificity: float) -> float:
    p, q = prevalence, 1 - prevalence
    cells = (p * sensitivity, q * (1 - specificity), p * (1 - sensitivity), q * specificity)
    return float(rates(np.array(cells))["mcc"])


def _tables(first: Floats, second: Floats, n: int, draw: np.random.Generator) -> tuple[AnswerTable, AnswerTable]:
    """Both arms' answers; in half of the answers the same luck decides for both."""
    shape = (n, len(PREVALENCES))
    gold = draw.random(shape) < PREVALENCES
    luck = draw.random(shape)
    other = np.where(draw.random(shape) < 0.5, luck, draw.random(shape))
    return _table(gold, luck, first), _table(gold, other, second)


def _table(gold: np.ndarray, luck: Floats, skill: Floats) -> AnswerTable:
    said = np.where(luck < np.where(gold, skill[:, 0], skill[:, 1]), gold, ~gold)
    ids, features = tuple(f"t{i}" for i in range(len(gold))), tuple(f"f{j}" for j in range(gold.shape[1]))
    state, unknown = said.astype(np.int8), np.full(gold.shape, np.nan)
    return AnswerTable(ids, (None,) * len(ids), features, gold.astype(np.int8), state, unknown)


def _mcc(table: AnswerTable) -> Floats:
    """By feature, then mean and median."""
    values = rates(counts(table))["mcc"]
    mean, median = over_features(values)
    return np.concatenate((values, [mean, median]))


if __name__ == "__main__":
    main()
