"""`Comparison`: runs side by side, checked to be comparable and compared pair by pair.

The arms are scored on the transcripts that all of them have scored. Each arm is paired with the baseline. Where a model was
run by both routes, the pair of these two arms is the translation effect; an arm on given English against the direct one is the
ceiling of translating and no effect of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .comparability import check_data, data_notes, differences_beside_route, differing_settings, left_out, same_model
from .intervals import RESAMPLES
from .metrics import ERROR, AnswerTable
from .paired import PERMUTATIONS, PairedArms, paired_arms
from .runs import read_predictions, read_run
from .scores import ERROR_LIMIT
from .shown import Run, Selection, ShownArm, select

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Pair:
    """Two arms of a comparison.

    Attributes:
        first: The one that is subtracted.
        second: The other.
        result: The differences, second − first.
        beside: Settings other than the route in which the two differ, for a pair of two routes.
    """

    first: ShownArm
    second: ShownArm
    result: PairedArms
    beside: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """`B − A`: what is subtracted from what."""
        return f"{self.second.letter} − {self.first.letter}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "first": self.first.letter,
            "second": self.second.letter,
            "also_differ_in": list(self.beside),
            **self.result.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Arms compared. A missing answer counts as False, as in the study.

    Attributes:
        selection: The arms, the baseline first, cut to what all have scored.
        against_baseline: One pair for each further arm.
        translation: Pairs of a model's direct arm and an arm on a model's translations.
        ceiling: Pairs of a model's direct arm and an arm on given English.
        settings: What the arms differ in: setting to its value in each arm, in their order.
        notes: What was left out, and what else differs between the arms' data.
        warnings: Why the numbers may mislead.
        too_many_errors: Calls failed for more than 2 % of some arm's transcripts.
        resamples: Bootstrap resamples.
        permutations: Random swaps of the permutation tests.
        seed: Of both.
    """

    selection: Selection
    against_baseline: tuple[Pair, ...]
    translation: tuple[Pair, ...]
    ceiling: tuple[Pair, ...]
    settings: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    too_many_errors: bool
    resamples: int
    permutations: int
    seed: int

    @property
    def arms(self) -> tuple[ShownArm, ...]:
        """The arms, the baseline first."""
        return self.selection.arms

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary without NaN: what `balin compare --json` prints."""
        return {
            "schema": SCHEMA_VERSION,
            "n": len(self.arms[0].table.ids),
            "features": list(self.selection.features),
            "baseline": self.arms[0].letter,
            "policy": "false",
            "resamples": self.resamples,
            "permutations": self.permutations,
            "seed": self.seed,
            "arms": [
                {
                    "letter": arm.letter,
                    "name": arm.name,
                    "run": arm.run.get("name"),
                    "route": arm.run.get("route"),
                    "english": arm.run.get("english"),
                    "scores": arm.scores.to_dict(),
                    "cost": arm.run.get("cost"),
                    "seconds_per_transcript_in_all": arm.seconds,
                }
                for arm in self.arms
            ],
            "differ_in": {name: list(values) for name, values in self.settings.items()},
            "against_baseline": [pair.to_dict() for pair in self.against_baseline],
            "translation_effect": [pair.to_dict() for pair in self.translation],
            "ceiling": [pair.to_dict() for pair in self.ceiling],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "too_many_errors": self.too_many_errors,
        }


def read_comparison(
    folders: Sequence[Path], *, baseline: Path | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare the runs in these folders.

    Args:
        folders: At least two run folders.
        baseline: The folder of the arm that the others are compared with, one of `folders`; None for the first.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap and the permutations.

    Raises:
        InputError: There are fewer than two runs or one is named twice, the baseline is none of them, or they cannot be
            compared.
        RunError: A folder holds no run.
    """
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise InputError("a comparison needs two runs or more")
    for place, folder in zip(places, folders, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{folder}: is named twice; a run compared with itself says nothing")
    if baseline is not None and baseline.resolve() not in places:
        raise InputError(f"{baseline}: the baseline must be one of the runs that are compared")
    first = 0 if baseline is None else places.index(baseline.resolve())
    ordered = [folders[first], *(f for i, f in enumerate(folders) if i != first)]
    runs = [(read_run(folder), read_predictions(folder)) for folder in ordered]
    return compare_runs(runs, resamples=resamples, seed=seed)


def compare_runs(
    runs: Sequence[tuple[Run, AnswerTable]],
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Compare runs with the first of them.

    Args:
        runs: What `run.json` holds, and the answers, of each; at least two.
        resamples: Bootstrap resamples.
        permutations: Random swaps of the permutation tests.
        seed: Of both.

    Raises:
        InputError: They share no transcript or feature, or differ in gold labels or groups.
    """
    check_data([table for _, table in runs], [f"run {run.get('name')}" for run, _ in runs])
    selection = select(runs, resamples=resamples, seed=seed)
    arms = selection.arms
    baseline = [(0, i) for i in range(1, len(arms))]
    translation, ceiling = _route_pairs(arms, "model"), _route_pairs(arms, "given")
    wanted = list(dict.fromkeys([*baseline, *translation, *ceiling]))
    tables = [arm.table for arm in arms]
    found = paired_arms(tables, wanted, resamples=resamples, permutations=permutations, seed=seed)
    result = dict(zip(wanted, found, strict=True))

    def pairs(of: Sequence[tuple[int, int]], *, routes: bool) -> tuple[Pair, ...]:
        return tuple(
            Pair(
                arms[a],
                arms[b],
                result[a, b],
                tuple(differences_beside_route(arms[a].run, arms[b].run)) if routes else (),
            )
            for a, b in of
        )

    failing = [(arm, _error_share(table)) for arm, (_, table) in zip(arms, runs, strict=True)]
    return Comparison(
        selection=selection,
        against_baseline=pairs(baseline, routes=False),
        translation=pairs(translation, routes=True),
        ceiling=pairs(ceiling, routes=True),
        settings=differing_settings([arm.run for arm in arms]),
        notes=(*left_out(arms, [table for _, table in runs]), *data_notes(arms)),
        warnings=tuple(
            f"{arm.letter}: calls failed for {100 * share:.1f} % of its transcripts, over the limit of "
            f"{100 * ERROR_LIMIT:.0f} %: what is left may not be a fair sample."
            for arm, share in failing
            if share > ERROR_LIMIT
        ),
        too_many_errors=any(share > ERROR_LIMIT for _, share in failing),
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )


def _route_pairs(arms: Sequence[ShownArm], english: str) -> list[tuple[int, int]]:
    """For each translated arm on such English, (direct arm, it): of the same model, the one that differs least besides."""
    found = []
    for b, translated in enumerate(arms):
        if translated.run.get("route") != "translated" or translated.run.get("english") != english:
            continue
        direct = [
            a for a, arm in enumerate(arms) if arm.run.get("route") == "direct" and same_model(arm.run, translated.run)
        ]
        if direct:
            found.append((min(direct, key=lambda a: len(differences_beside_route(arms[a].run, translated.run))), b))
    return found


def _error_share(table: AnswerTable) -> float:
    return float((table.state == ERROR).any(axis=1).mean()) if len(table.ids) else 0.0
