"""What the search maximises: corpus objectives, and a surrogate for where one number per transcript is needed.

Mean MCC and mean macro-F1 are scores of a whole part: no mean of per-transcript numbers gives them. The surrogate is one that
such a mean does give, the macro balanced accuracy. It is not MCC, and at low prevalence the two can disagree: whatever it
chose is ranked again by the objective.

A failed call has no score, here as everywhere: the objectives leave it out and say so by `n`, the surrogate gives NaN, and
DSPy's metrics raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from ..errors import CallError, InputError
from ..eval.metrics import (
    FALSE,
    MISSING,
    POLICIES,
    TRUE,
    UNLABELLED,
    AnswerRow,
    AnswerTable,
    Codes,
    Floats,
    Policy,
    counts,
    over_features,
    rates,
)
from ..signatures.answers import Answer, State
from ..signatures.features import FeatureSet
from ..signatures.private_dspy import dspy

MetricName = Literal["mcc", "macro_f1"]


@dataclass(frozen=True, slots=True)
class ObjectiveScore:
    """An objective's value on one part.

    Attributes:
        value: The mean over the defined features; MCC in [-1, 1], macro-F1 in [0, 1].
        missed: For each feature with a floor, by how much its sensitivity is below it; 0 where it is reached.
        undefined: Features left out of the mean because what was scored has one gold class.
        n: Transcripts with a scored answer.
    """

    value: float
    missed: Mapping[str, float]
    undefined: tuple[str, ...]
    n: int

    @property
    def shortfall(self) -> float:
        """The sum of `missed`; 0 where every floor is reached."""
        return sum(self.missed.values())


@dataclass(frozen=True)
class Objective:
    """A corpus score with, for some features, the least sensitivity that is acceptable.

    Attributes:
        metric: "mcc" or "macro_f1", the mean over features.
        floors: Feature id to the least sensitivity, above 0 and at most 1.
        policy: How a missing answer is scored.
    """

    metric: MetricName = "mcc"
    floors: Mapping[str, float] = field(default_factory=dict)
    policy: Policy = "false"

    def __post_init__(self) -> None:
        """Check the names and the floors.

        Raises:
            InputError: There is no such metric or policy, or a floor is not in (0, 1].
        """
        if self.metric not in get_args(MetricName):
            raise InputError(f"no objective {self.metric!r}; there are: {', '.join(get_args(MetricName))}")
        if self.policy not in POLICIES:
            raise InputError(f"no missing policy {self.policy!r}; there are: {', '.join(POLICIES)}")
        for feature, floor in self.floors.items():
            if not 0 < floor <= 1:
                raise InputError(f"the sensitivity floor of {feature} must be above 0 and at most 1, got {floor}")

    def mean(self, table: AnswerTable) -> float:
        """The mean of the metric over the defined features; NaN where none is defined."""
        return float(over_features(rates(counts(table, policy=self.policy))[self.metric])[0])

    def score(self, table: AnswerTable) -> ObjectiveScore:
        """The value on a table, and by how much each floor is missed.

        Raises:
            InputError: No feature is defined, or a feature with a floor is not, so that nothing could be decided by it.
        """
        self.check_features(table)
        found = rates(counts(table, policy=self.policy))
        undefined = tuple(f for f, value in zip(table.features, found[self.metric], strict=True) if np.isnan(value))
        if len(undefined) == len(table.features):
            raise InputError("no feature has both true and false labels in what was scored; score a larger part")
        blind = [f for f in self.floors if f in undefined]
        if blind:
            raise InputError(
                f"the sensitivity floor of {', '.join(blind)} cannot be checked: what was scored has labels of one class "
                "only; drop the floor or score a part with both"
            )
        sensitivity = dict(zip(table.features, found["sensitivity"].tolist(), strict=True))
        missed = {f: max(0.0, floor - sensitivity[f]) for f, floor in self.floors.items()}
        value = float(over_features(found[self.metric])[0])
        return ObjectiveScore(value, missed, undefined, int(table.scored.any(axis=1).sum()))

    def check_features(self, table: AnswerTable) -> None:
        """Refuse a floor for a feature that the table does not have.

        Raises:
            InputError: There is one.
        """
        unknown = [f for f in self.floors if f not in table.features]
        if unknown:
            raise InputError(
                f"a sensitivity floor is set for {', '.join(unknown)}, which the feature set does not have"
            )


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Balanced accuracy as a number per transcript.

    For transcript i it is the mean over features of n·w·[right], w = 1/(2P) for a positive and 1/(2N) for a negative, with
    P and N counted over the n transcripts of the part. Each feature's mean over the part is its balanced accuracy, and the
    mean of all is the macro balanced accuracy, both exactly. One transcript's number is not bound to [0, 1]: a rare
    positive that was found is worth much. So the perfect score of GEPA and others (1.0) means nothing here.

    Attributes:
        features: The k features' ids.
        worth: [2, k]: what a right answer is worth, n/(2N) for a negative and n/(2P) for a positive; 0 for features left out.
        left_out: Features whose labels are of one class.
    """

    features: tuple[str, ...]
    worth: Floats
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, features: Iterable[str], gold: Codes) -> Surrogate:
        """The surrogate of a part.

        Args:
            features: The k features' ids.
            gold: [n, k]: 1 present, 0 not present, -1 unlabelled.

        Raises:
            InputError: No feature has both classes.
        """
        names = tuple(features)
        sizes = np.stack([(gold == code).sum(axis=0) for code in (0, 1)]).astype(np.float64)
        kept = (sizes > 0).all(axis=0)
        if not kept.any():
            raise InputError("no feature has both true and false labels in the part to be scored; take a larger one")
        worth = np.divide(len(gold), 2 * sizes, out=np.zeros_like(sizes), where=kept)
        return cls(names, worth, tuple(names[j] for j in np.flatnonzero(~kept)))

    @classmethod
    def of_examples(cls, features: Iterable[str], examples: Iterable[Any]) -> Surrogate:
        """The surrogate of DSPy examples (or dictionaries) whose fields are the labels.

        Raises:
            InputError: No feature has both classes.
        """
        names = tuple(features)
        silent = dict.fromkeys(names, Answer(State.MISSING))
        rows = (AnswerRow(str(i), None, _labels(e, names), silent) for i, e in enumerate(examples))
        return cls.of(names, AnswerTable.from_rows(names, rows).gold)

    def parts(self, gold: Codes, state: Codes, policy: Policy = "false") -> Floats:
        """n·w·[right] of each cell.

        Args:
            gold: [..., k], as for `of`.
            state: [..., k], codes of `eval.metrics`.
            policy: Whether a missing answer is read as False or is always wrong.

        Returns:
            [..., k]; 0 where the answer is wrong or an error, where there is no label, and for features left out.
        """
        right = ((state == TRUE) & (gold == 1)) | ((state == FALSE) & (gold == 0))
        if policy == "false":
            right |= (state == MISSING) & (gold == 0)
        return np.where(right, np.where(gold == 1, self.worth[1], self.worth[0]), 0.0)

    def scores(self, gold: Codes, state: Codes, policy: Policy = "false") -> Floats:
        """The mean of `parts` over the features that are not left out: [...], one number a transcript."""
        return np.asarray(self.parts(gold, state, policy).sum(axis=-1) / (len(self.features) - len(self.left_out)))


def surrogate_scores(table: AnswerTable, policy: Policy = "false") -> Floats:
    """The surrogate of each transcript of a table, with n, P and N counted over its scored cells.

    Returns:
        [n]; NaN for a transcript that has no scored cell (its call failed, or it has no label). The mean of the others is
        the macro balanced accuracy of the table exactly.

    Raises:
        InputError: No feature has both classes.
    """
    answered = table.scored.any(axis=1)
    gold = np.where(table.scored, table.gold, UNLABELLED)[answered]
    found = np.full(len(table.ids), np.nan)
    found[answered] = Surrogate.of(table.features, gold).scores(gold, table.state[answered], policy)
    return found


def surrogate_metric(surrogate: Surrogate, policy: Policy = "false") -> Callable[..., float]:
    """The surrogate as DSPy's metric (example, pred, trace=None), for any optimizer that takes means over examples.

    It is no filter for demos: it gives credit to an answer that is right in part.

    Returns:
        A function that raises `CallError` where the call failed.
    """

    def metric(example: Any, pred: Any, trace: Any = None) -> float:
        table = _scored_pair(surrogate.features, example, pred)
        return float(surrogate.scores(table.gold, table.state, policy)[0])

    return metric


def gepa_metric(
    surrogate: Surrogate, feature_set: FeatureSet, language: str, policy: Policy = "false"
) -> Callable[..., dspy.Prediction]:
    """The surrogate as GEPA's metric (gold, pred, trace, pred_name, pred_trace).

    Returns:
        A function that gives `score`, `feedback` (which features were answered wrongly, by their labels in `language`;
        nothing of the text) and `objective_scores` (for each feature that is not left out n·w·[right], whose mean over the
        part is its balanced accuracy). It raises `CallError` where the call failed.
    """
    labels = {f.id: f.label[language] for f in feature_set}

    def metric(
        gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> dspy.Prediction:
        table = _scored_pair(surrogate.features, gold, pred)
        parts = surrogate.parts(table.gold, table.state, policy)[0]
        return dspy.Prediction(
            score=float(surrogate.scores(table.gold, table.state, policy)[0]),
            feedback=_feedback(table, labels),
            objective_scores={
                f: float(part) for f, part in zip(surrogate.features, parts, strict=True) if f not in surrogate.left_out
            },
        )

    return metric


def _labels(example: Any, features: Iterable[str]) -> dict[str, bool | None]:
    return {f: example.get(f) for f in features}


def _scored_pair(features: tuple[str, ...], example: Any, pred: Any) -> AnswerTable:
    """Labels and answers of one example, as a table of one row; `pred` is an Extractor's or a Pipeline's prediction."""
    extraction = pred.get("extraction") if hasattr(pred, "get") else None
    answers = extraction.answers if extraction is not None else getattr(pred, "answers", None)
    if answers is None or any(answer.state is State.ERROR for answer in answers.values()):
        raise CallError("the call failed, and a failed call has no score; it is to be asked again or left out")
    return AnswerTable.from_rows(features, [AnswerRow("example", None, _labels(example, features), answers)])


def _feedback(table: AnswerTable, labels: Mapping[str, str]) -> str:
    gold, state = table.gold[0], table.state[0]
    names = np.array([labels[f] for f in table.features], dtype=object)
    wrong = {
        "Answered present, but this patient does not have it": (gold == 0) & (state == TRUE),
        "Answered absent, but this patient has it": (gold == 1) & (state == FALSE),
        "No readable answer, and this patient has it": (gold == 1) & (state == MISSING),
        "No readable answer, and this patient does not have it": (gold == 0) & (state == MISSING),
    }
    labelled = int(table.labelled.sum())
    right = labelled - sum(int(cells.sum()) for cells in wrong.values())
    told = [f"{text}: {'; '.join(names[cells])}." for text, cells in wrong.items() if cells.any()]
    return " ".join([f"{right} of {labelled} features are right.", *told])
