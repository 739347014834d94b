"""The recorded results of the shipped corpus: measured once by `benchmarks/recorded.py`, shown beside every demo."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def recorded_results() -> dict[str, Any]:
    """What, when and on which machine, and `arms`: for each its name, `n` and `scores` as `balin evaluate --json` gives them."""
    text = resources.files(__package__).joinpath("recorded_results.json").read_text(encoding="utf-8")
    recorded: dict[str, Any] = json.loads(text)
    return recorded
