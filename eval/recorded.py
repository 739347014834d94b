"""The recorded results of the shipped corpus: measured once by `benchmarks/recorded.py`, shown beside every demo.

recorded_results.json          the arms' scores on dev
recorded_predictions.parquet   every answer behind them, and those on the pool, so that statistics, thresholds and searches can
                               be tried without a model: arm, part, id, group, feature, gold, state, p_true, and for each
                               transcript (repeated) tokens; seconds are empty, the engine having been built
                               for the recording
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def recorded_results() -> dict[str, Any]:
    """What, when and on which machine, and `arms`: for each its name, `n` and `scores` as `balin evaluate --json` gives them."""
    text = resources.files(__package__).joinpath("recorded_results.json").read_text(encoding="utf-8")
    recorded: dict[str, Any] = json.loads(text)
    return recorded


def recorded_predictions() -> pd.DataFrame:
    """One row for each arm, transcript and feature; see the module for the columns."""
    import pandas as pd

    with resources.as_file(resources.files(__package__).joinpath("recorded_predictions.parquet")) as path:
        return pd.read_parquet(path)
