"""The work behind `balin optimize`: for each model and route, try strategies on dev, and leave the best program as a run.

Candidates are compared on some transcripts of dev, drawn so that their labels are spread as in all of dev. The best few and
the baselines are then scored on all of dev, and the best of these is evaluated as any other program is. No
model is asked about the test part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.files import plain_name, write_private
from ..data.store import canonical, key_of
from ..data.transcripts import Dataset
from ..engines.embedding import PACKAGED
from ..eval.arm import Advance, ArmSettings
from ..eval.grids import escape
from .ground import Ground, Result, title
from .plan import Plan

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Optimized:
    """What an optimization left.

    Attributes:
        folder: Holds `optimize.json`, `report.md` and the best programs.
        document: What `optimize.json` holds.
        results: One for each model and route.
    """

    folder: Path
    document: dict[str, Any]
    results: tuple[Result, ...]

    @property
    def too_many_errors(self) -> bool:
        """Whether over 2 % of the calls of a best program failed."""
        return any(r.outcome.scores.too_many_errors for r in self.results)


def optimize(
    plan: Plan, *, say: Callable[[str], None] = lambda _: None, advance: Advance = lambda *_: None
) -> Optimized:
    """Find the best demos for each model and route.

    Args:
        plan: What to do.
        say: Told in a sentence what a user should know on the way.
        advance: Told (phase, done, of).

    Raises:
        InputError: Something the user gave cannot be used.
        CheckFailed: No program could be scored.
        EngineUnavailable: No model to ask; what was answered is in the store.
    """
    plan.check()
    dataset = plan.divided()
    plan.check_floors(dataset)
    arms = [plan.arm(model, route) for model in plan.models for route in plan.routes]
    _check_models(plan, arms, say)
    folder = _folder(plan, dataset)
    results: list[Result] = []
    document: dict[str, Any] = {}
    for arm in arms:
        say(f"\n{title(arm)}")
        results.append(Ground(plan, arm, dataset, folder, say, advance).result())
        # After each, so that what was done is told of also where the next one fails.
        document = _written(plan, dataset, folder, results)
    return Optimized(folder, document, tuple(results))


def _check_models(plan: Plan, arms: Sequence[ArmSettings], say: Callable[[str], None]) -> None:
    """Tell of a model that is not there before the first is asked for hours; a single one is opened at once anyway."""
    models = {m: None for arm in arms for m in (arm.translator_model, arm.model, plan.reflection_model) if m}
    plan.check_models(models if len(models) > 1 else (), plan.strategies, say)


def _written(plan: Plan, dataset: Dataset, folder: Path, results: Sequence[Result]) -> dict[str, Any]:
    """What `optimize.json` holds of these results; it, the report and the winners' runs are written."""
    tried = sum(len(r.trials) for r in results)
    document = {
        "schema": SCHEMA_VERSION,
        "folder": str(folder),
        "objective": plan.objective,
        "data": {"name": dataset.name, "sha256": dataset.sha256, "dev": len(dataset.part("dev"))},
        "feature_set": {"id": plan.feature_set.id, "hash": plan.feature_set.hash},
        "seed": plan.seed,
        "tried": tried,
        "results": [r.to_dict(plan.objective) for r in results],
    }
    for result in results:
        result.record(folder.name, tried, plan.objective)
    write_private(folder / "optimize.json", canonical(document) + b"\n")
    write_private(folder / "report.md", _report(plan, results).encode("utf-8"))
    return document


def _folder(plan: Plan, dataset: Dataset) -> Path:
    """The optimization's folder: equal for equal settings, so that the same command writes the same one."""
    told = key_of(
        models=list(plan.models),
        routes=list(plan.routes),
        english=plan.english,
        translator=[plan.translator, plan.translating().hash()] if plan.translator_program else plan.translator,
        strategies=list(plan.strategies),
        program=[plan.format, plan.language],
        sizes=[plan.demos, plan.candidates, plan.limit],
        objective=plan.objective,
        seed=plan.seed,
        feature_set=plan.feature_set.hash,
        thresholds=plan.thresholds,
        floors=dict(sorted(plan.floors.items())),
        data=dataset.sha256,
        parts={t.id: t.part for t in dataset},
        **({} if plan.definitions else {"definitions": False}),
        **({} if plan.embedder == PACKAGED else {"embedder": plan.embedder}),
        **({"gepa": [plan.reflection_model, plan.gepa_calls]} if "gepa" in plan.strategies else {}),
    )
    return plan.folder(f"optimize-{plain_name(Path(dataset.name).stem)}-{told[:8]}")


def _report(plan: Plan, results: Sequence[Result]) -> str:
    """All results in Markdown."""
    lines = ["# What was tried", "", "`" + " ".join(plan.command) + "`" if plan.command else ""]
    for result in results:
        lines += ["", f"## {escape(result.title)}", ""]
        lines += [f"- {escape(s)}" for s in result.verdict.sentences(plan.objective, len(result.trials))]
        lines += [f"- {escape(w)}" for w in result.warnings]
        lines += ["", result.table(plan.objective).markdown(), "", f"Program: `{result.arm.program}`"]
    return "\n".join(lines) + "\n"
