"""What came of the choice of a translator: the trials as a table, and the result in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..eval.grids import Grid, escape, figure
from ..programs.translator import DEFAULT_NAME
from ..signatures.features import FeatureSet
from .translation_score import Kept, TranslatorScore
from .translators import TranslatorCandidate
from .verdict import Difference


@dataclass(frozen=True)
class TranslatorTrial:
    """A candidate with its score.

    Attributes:
        candidate: The translator.
        hash: Of its program.
        score: On the held-out transcripts of the pool.
    """

    candidate: TranslatorCandidate
    hash: str
    score: TranslatorScore

    def to_dict(self, feature_set: FeatureSet) -> dict[str, Any]:
        """A JSON-ready dictionary without any text of a transcript."""
        candidate = self.candidate
        return {
            "strategy": candidate.strategy,
            "description": candidate.description,
            "program": self.hash,
            "wording": candidate.wording,
            "instructions": candidate.program(feature_set).predict.signature.instructions,
            "demos": [t.id for t in candidate.demos],
            "repeat_penalty": candidate.repeat_penalty,
            **self.score.to_dict(),
        }


def sentences(best: TranslatorTrial, against: Difference | None, trials: Sequence[TranslatorTrial]) -> list[str]:
    """What a user should know of the result.

    Args:
        best: The best trial.
        against: How far it is ahead of the default; None where it is the default, or the default has no score.
        trials: All of them.
    """
    score = best.score
    found = [
        f"The best of {len(trials)} translators is {best.candidate.name} ({best.candidate.description}): {figure(score.value, 1)} "
        f"points, chrF {figure(score.chrf, 1)}, on {score.n} held-out transcripts of the pool."
    ]
    if best.candidate.strategy == DEFAULT_NAME:
        found.append("No translator beats the default: keep it; translator.json holds it.")
    elif against is None:
        found.append("The default translator has no score to set it against.")
    else:
        proof = "" if against.proven else "; that is not more than chance could give"
        found.append(f"Against the default translator: {against} points{proof}.")
    if score.failures:
        listed = ", ".join(f"{kind} {count}" for kind, count in score.failures.items())
        found.append(f"Of its {score.n} calls failed: {listed}. An unfinished translation counts as an empty text.")
    if best.candidate.demos:
        found.append(f"{score.copied} of its translations hold a run of words taken from its demos.")
    if len(trials) > 1:
        found.append("It was chosen on these transcripts, so expect less elsewhere; dev and test were not touched.")
    return found


def translators_table(title: str, trials: Sequence[TranslatorTrial]) -> Grid:
    """All that was tried, best first, with its cost."""

    def rank(trial: TranslatorTrial) -> float:
        return -1.0 if trial.score.value is None else trial.score.value

    rows = []
    for trial in sorted(trials, key=rank, reverse=True):
        candidate, score = trial.candidate, trial.score
        cost = score.cost
        rows.append(
            (
                candidate.strategy,
                candidate.name,
                figure(score.value, 1),
                figure(score.chrf, 1),
                _share(score.numbers),
                _share(score.negations),
                str(score.copied),
                str(sum(score.failures.values())),
                str(cost.calls),
                figure(cost.seconds / cost.answers if cost.answers else None, 2),
                figure(cost.prompt_tokens / cost.answers if cost.answers else None, 0),
                figure(cost.generated_tokens / cost.answers if cost.answers else None, 0),
            )
        )
    return Grid(
        title=title,
        columns=(
            "Strategy", "Translator", "Points", "chrF", "Numbers\nkept", "Negations\nkept", "Copied", "Err.", "Calls", "s/tr.",
            "Tokens\nin", "Tokens\nout",
        ),
        rows=tuple(rows),
        notes=(
            f"On {trials[0].score.n if trials else 0} held-out transcripts of the pool. A translator is named by its words, demos and repeat penalty. Points: chrF less what is lost or copied, 0 for a "
            "translation that was not finished.",
            "Seconds and tokens are means of a finished translation; the tokens in count those of the cache too.",
        ),
        texts=2,
    )  # fmt: skip


def report(command: Sequence[str], says: Sequence[str], table: Grid, program: Path) -> str:
    """The result in Markdown."""
    lines = ["# Translators that were tried", "", f"`{' '.join(command)}`" if command else "", ""]
    lines += [f"- {escape(s)}" for s in says]
    return "\n".join([*lines, "", table.markdown(), "", f"Program: `{program}`"]) + "\n"


def _share(kept: Kept) -> str:
    return figure(100 * kept.found / kept.of, 0) + " %" if kept.of else figure(None)
