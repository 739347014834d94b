"""What a search looks for: one objective, or quality and speed together; and the limits that a configuration must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from ..eval.metrics import ERROR, MISSING, AnswerTable, counts, over_features, rates
from .metric import MetricName
from .trial import Cost

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Goals:
    """Objectives and limits.

    Attributes:
        objective: The quality, maximised: a mean over the features.
        pareto: Whether seconds a transcript are a second objective, minimised; then nothing is pruned.
        max_missing: Most missing answers, as a share of all, from 0 to 1.
        max_latency: Most seconds for a transcript, its translation included, as a mean.
        min_sensitivity: Least sensitivity, as a mean over the features, from 0 to 1.
    """

    objective: MetricName = "mcc"
    pareto: bool = False
    max_missing: float | None = None
    max_latency: float | None = None
    min_sensitivity: float | None = None

    def check(self) -> None:
        """Refuse limits that mean nothing.

        Raises:
            InputError: The message names the option.
        """
        for option, share in (("--max-missing", self.max_missing), ("--min-sensitivity", self.min_sensitivity)):
            if share is not None and not 0 <= share <= 1:
                raise InputError(f"{option} {share:g}: is a share, from 0 to 1")
        if self.max_latency is not None and not self.max_latency > 0:
            raise InputError("--max-latency: must be above 0 seconds")

    @property
    def directions(self) -> list[Direction]:
        """Optuna's directions of the objectives."""
        return ["maximize", "minimize"] if self.pareto else ["maximize"]

    def values(self, quality: float, cost: Cost) -> list[float]:
        """The objectives of a configuration."""
        return [quality, latency(cost)] if self.pareto else [quality]

    def excess(self, table: AnswerTable, cost: Cost) -> dict[str, float]:
        """Each limit that is set, with how far a configuration is beyond it; 0 or less keeps it."""
        found: dict[str, float] = {}
        if self.max_missing is not None:
            answered = max(1, int((table.state != ERROR).sum()))
            found["missing"] = float((table.state == MISSING).sum()) / answered - self.max_missing
        if self.max_latency is not None:
            found["latency"] = latency(cost) - self.max_latency
        if self.min_sensitivity is not None:
            mean = float(over_features(rates(counts(table))["sensitivity"])[0])
            # Without a positive there is nothing to miss.
            found["sensitivity"] = 0.0 if mean != mean else self.min_sensitivity - mean
        return found


def latency(cost: Cost) -> float:
    """Mean seconds of a transcript, its translation included; 0 where none was answered."""
    return (cost.seconds + cost.translation_seconds) / cost.answers if cost.answers else 0.0


def keeps(excess: Mapping[str, float]) -> bool:
    """Whether all limits are kept."""
    return all(value <= 0 for value in excess.values())


def broken(excess: Mapping[str, float]) -> str:
    """The limits that are not kept, in words."""
    words = {
        "missing": "share of missing answers {:.3f} too high",
        "latency": "{:.2f} seconds a transcript too slow",
        "sensitivity": "sensitivity {:.3f} too low",
    }
    return ", ".join(words[name].format(value) for name, value in excess.items() if value > 0)


def front(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those rows that no other beats in quality and seconds at once, best quality first; of equals the first.

    Args:
        rows: Each with `score` and `latency`.
    """
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (-r["score"], r["latency"])):
        if not kept or row["latency"] < kept[-1]["latency"]:
            kept.append(row)
    return kept
