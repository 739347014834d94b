"""Whether the best program beats the baselines, said in sentences: paired differences on the same transcripts, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CheckFailed
from ..eval.grids import Grid, figure
from ..eval.paired import paired_arms
from ..eval.tables import METRIC_NAMES
from .metric import MetricName, Objective
from .strategies import BASELINES
from .trial import Trial, without_errors


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one program is than another on the same transcripts.

    Attributes:
        value: The objective of the one less that of the other.
        low: Lower end of the 95 % interval (bootstrap by group, the same resamples for both), or None where it is refused.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def proven(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low is not None and self.low > 0

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{figure(self.low)}, {figure(self.high)}]"
        return f"{'+' if self.value >= 0 else ''}{figure(self.value)}{interval}"


@dataclass(frozen=True)
class Verdict:
    """The best of some finalists and how it stands against the baselines.

    Attributes:
        best: The trial with the best score on all of dev; the first of equals, so that a baseline is not beaten by a tie.
        against: Baseline to the difference; without a baseline that could not be scored or is the best itself.
    """

    best: Trial
    against: dict[str, Difference]

    def sentences(self, objective: MetricName, tried: int) -> list[str]:
        """What a user should know of the result."""
        best, name = self.best, METRIC_NAMES[objective]
        whole = best.whole or best.first
        found = [
            f"The best of {tried} programs is {best.candidate.strategy} ({best.candidate.description}): "
            f"mean {name} {figure(whole.value)} on {whole.n} transcripts of dev."
        ]
        if best.fit is not None:
            found.append(
                f"It decides {len(best.fit.thresholds)} features by thresholds of their own; this score is out of fold, and the program's "
                "thresholds are fitted on all of dev."
            )
        elif best.candidate.strategy in BASELINES:
            found.append(
                f"No strategy beats {' and '.join(sorted({*self.against, best.candidate.strategy}, key=BASELINES.index))}."
            )
        for baseline, difference in self.against.items():
            proof = "" if difference.proven else "; that is not more than chance could give"
            found.append(f"Against {baseline}: {difference}{proof}.")
        if tried > len(BASELINES):
            found.append("It was chosen on these transcripts, so expect less elsewhere; the test part was not touched.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {k: {**asdict(d), "beaten": d.value > 0, "proven": d.proven} for k, d in self.against.items()}


def judge(finalists: Sequence[Trial], objective: Objective) -> Verdict:
    """Choose the best of the finalists, which were all scored on all of dev: what misses the floors least, then the best score.

    Raises:
        CheckFailed: None of them has a score; the message says why.
    """
    scored = [t for t in finalists if t.whole is not None and t.whole.value is not None]
    if not scored:
        first = next((t.whole or t.first for t in finalists), None)
        reason = (first and first.detail) or "no feature has both a positive and a negative label in dev"
        raise CheckFailed(f"no program could be scored: {reason}")

    def worth(trial: Trial) -> tuple[float, float]:
        whole = trial.whole or trial.first
        missed = objective.score(whole.table).shortfall if objective.floors else 0.0
        return -missed, whole.value if whole.value is not None else float("-inf")

    best = max(scored, key=worth)
    baselines = [t for t in scored if t.candidate.strategy in BASELINES and t.fit is None and t is not best]
    return Verdict(best, {t.candidate.strategy: difference(best, t, objective.metric) for t in baselines})


def difference(one: Trial, other: Trial, objective: MetricName) -> Difference:
    """The paired difference on the transcripts of dev that both have answered."""
    mine, theirs = without_errors((one.whole or one.first).table, (other.whole or other.first).table)
    (paired,) = paired_arms([theirs, mine], [(0, 1)], permutations=0)
    found = paired.mean[objective]
    low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
    return Difference(found.difference or 0.0, low, high)


def trials_table(title: str, trials: Sequence[Trial], objective: MetricName) -> Grid:
    """All that was tried, best first, with its cost."""
    name = METRIC_NAMES[objective]

    def rank(trial: Trial) -> tuple[bool, bool, float]:
        score = (trial.whole or trial.first).value
        return score is not None, trial.whole is not None, score or 0.0

    rows = []
    for trial in sorted(trials, key=rank, reverse=True):
        first, whole, cost = trial.first, trial.whole, trial.first.cost
        rows.append(
            (
                trial.candidate.strategy,
                trial.candidate.description,
                trial.candidate.shown,
                figure(first.value, 3),
                figure(whole.value if whole else None, 3),
                str(sum(first.failures.values())),
                str(cost.calls),
                figure(cost.seconds / cost.answers if cost.answers else None, 2),
                figure(cost.prompt_tokens / cost.answers if cost.answers else None, 0),
                figure(cost.generated_tokens / cost.answers if cost.answers else None, 0),
            )
        )
    first_n = trials[0].first.n if trials else 0
    whole_n = next((t.whole.n for t in trials if t.whole), 0)
    return Grid(
        title=title,
        columns=(
            "Strategy",
            "What",
            "Demos",
            f"{name}\non {first_n}",
            f"{name}\non {whole_n}",
            "Err.",
            "Calls",
            "s/tr.",
            "Tokens\nin",
            "Tokens\nout",
        ),
        rows=tuple(rows),
        notes=("Seconds and tokens are means of a transcript; the tokens in count those of the cache too.",),
        texts=2,
    )
