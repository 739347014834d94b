"""`Scores`: what evaluating one arm gives, as plain values. `Scores.to_dict()` is what `metrics.json` holds.

JSON has no NaN: what is undefined is None here and null there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ..errors import RunError
from .intervals import CONFIDENCE
from .metrics import METRICS, Policy

SCHEMA_VERSION = 1
ERROR_LIMIT = 0.02
SCARCE = 15


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        method: "bootstrap" (percentile, by group) or "wilson".
        resamples: Resamples in which the quantity was defined; None for Wilson's.
    """

    low: float
    high: float
    method: Literal["bootstrap", "wilson"] = "bootstrap"
    resamples: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {"low": self.low, "high": self.high, "method": self.method, "resamples": self.resamples}


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted, for one feature or pooled over all.

    Attributes:
        n: Scored answers: there is a gold label and the call did not fail. The sum of the next four.
        tp: True positives.
        fp: False positives.
        fn: False negatives.
        tn: True negatives. These four are under the scores' own missing policy.
        positives: Gold positives among the scored.
        missing: Missing answers among the scored.
        errors: Failed calls where there is a gold label; not in `n`.
        auc_n: Scored answers with a P(true).
    """

    n: int
    tp: int
    fp: int
    fn: int
    tn: int
    positives: int
    missing: int
    errors: int
    auc_n: int

    @property
    def scarcer_class(self) -> int:
        """The number of gold labels of the rarer class among the scored."""
        return min(self.positives, self.n - self.positives)

    @property
    def of_n(self) -> str:
        """`12/90`, gold positives of the scored, with a † where a class is so scarce that intervals are not to be relied on."""
        return f"{self.positives}/{self.n}" + (" †" if 0 < self.scarcer_class < SCARCE else "")

    def to_dict(self) -> dict[str, int]:
        """A JSON-ready dictionary."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts, metrics and intervals of one feature, or pooled over all.

    Attributes:
        count: What was counted.
        values: For each name of `metrics.METRICS` the value, None where undefined.
        intervals: For each of these its interval, None where refused.
    """

    count: Count
    values: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary: counts and values side by side, and `intervals`."""
        return {**self.count.to_dict(), **self.values, "intervals": {k: _json(v) for k, v in self.intervals.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            count=Count(**{name: values[name] for name in Count.__slots__}),
            values={name: values[name] for name in METRICS},
            intervals={name: _interval(values["intervals"][name]) for name in METRICS},
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over the defined features; None where none is defined or the interval is refused."""

    mean: float | None
    median: float | None
    mean_interval: Interval | None
    median_interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {name: _json(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            values["mean"], values["median"], _interval(values["mean_interval"]), _interval(values["median_interval"])
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """The score of one arm on one part.

    Attributes:
        policy: How `features` and `pooled` read a missing answer: "false" or "wrong".
        n: Transcripts.
        groups_repeat: Whether any group has several transcripts.
        resamples: Bootstrap resamples asked for; 0 for no bootstrap.
        seed: The bootstrap's seed.
        features: Feature id to its figures, in the feature set's order.
        pooled: The same of all features' answers thrown together; a common feature weighs more here. No AUC.
        missing_as_false: For each metric its summary over features, a missing answer counting as False.
        missing_as_wrong: The same, a missing answer counting as the wrong class.
        answers: How many answers are true, false, missing and error, over all transcripts and features, labelled or not.
        undefined: The features whose scored gold labels have one class; left out of the summaries.
        transcripts_with_error: Transcripts with at least one failed call.
    """

    policy: Policy
    n: int
    groups_repeat: bool
    resamples: int
    seed: int
    features: Mapping[str, Measured]
    pooled: Measured
    missing_as_false: Mapping[str, Summary]
    missing_as_wrong: Mapping[str, Summary]
    answers: Mapping[str, int]
    undefined: tuple[str, ...]
    transcripts_with_error: int

    @property
    def error_share(self) -> float:
        """The share of transcripts with an error, 0 to 1."""
        return self.transcripts_with_error / self.n if self.n else 0.0

    @property
    def too_many_errors(self) -> bool:
        """Whether more than 2 % of the transcripts have an error: a run then ends with exit code 1."""
        return self.error_share > ERROR_LIMIT

    @property
    def scarce(self) -> tuple[str, ...]:
        """The defined features with under 15 gold labels of one class: their intervals are not to be relied on."""
        return tuple(
            name
            for name, item in self.features.items()
            if name not in self.undefined and item.count.scarcer_class < SCARCE
        )

    def summaries(self, policy: Policy | None = None) -> Mapping[str, Summary]:
        """For each metric its summary under `policy`; by default under the scores' own."""
        return self.missing_as_wrong if (policy or self.policy) == "wrong" else self.missing_as_false

    def summary(self, policy: Policy | None = None) -> dict[str, dict[str, Any]]:
        """`summaries` as a JSON-ready dictionary: `summary()["mcc"]["mean"]`."""
        return {name: item.to_dict() for name, item in self.summaries(policy).items()}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without NaN."""
        return {
            "schema": SCHEMA_VERSION,
            "policy": self.policy,
            "n": self.n,
            "groups_repeat": self.groups_repeat,
            "resamples": self.resamples,
            "seed": self.seed,
            "confidence": CONFIDENCE,
            "features": {name: item.to_dict() for name, item in self.features.items()},
            "pooled": self.pooled.to_dict(),
            "missing_as_false": self.summary("false"),
            "missing_as_wrong": self.summary("wrong"),
            "answers": dict(self.answers),
            "undefined": list(self.undefined),
            "scarce": list(self.scarce),
            "errors": {"transcripts": self.transcripts_with_error, "share": self.error_share},
            "too_many_errors": self.too_many_errors,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            RunError: The version is unknown, or a part is missing.
        """
        version = values.get("schema")
        if version != SCHEMA_VERSION:
            raise RunError(f"the scores have schema version {version!r}; this Balin reads {SCHEMA_VERSION}")
        try:
            return cls(
                policy=values["policy"],
                n=values["n"],
                groups_repeat=values["groups_repeat"],
                resamples=values["resamples"],
                seed=values["seed"],
                features={name: Measured.from_dict(item) for name, item in values["features"].items()},
                pooled=Measured.from_dict(values["pooled"]),
                missing_as_false={name: Summary.from_dict(values["missing_as_false"][name]) for name in METRICS},
                missing_as_wrong={name: Summary.from_dict(values["missing_as_wrong"][name]) for name in METRICS},
                answers=dict(values["answers"]),
                undefined=tuple(values["undefined"]),
                transcripts_with_error=values["errors"]["transcripts"],
            )
        except KeyError as error:
            raise RunError(f"the scores are incomplete: {error.args[0]!r} is missing") from None


def _json(value: Interval | float | None) -> dict[str, Any] | float | None:
    return value.to_dict() if isinstance(value, Interval) else value


def _interval(value: Mapping[str, Any] | None) -> Interval | None:
    return None if value is None else Interval(**value)
