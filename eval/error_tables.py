"""Error profiles as grids, for the terminal and Markdown. Nothing here holds text of a transcript."""

from __future__ import annotations

from collections.abc import Sequence

from .error_profile import LENGTH, OF_REGISTER, PHENOMENON, ErrorCount, GroupErrors
from .grids import UNDEFINED, Grid
from .shown import Selection

SHOWN = 15  # pairs of feature and phenomenon that the terminal lists
_TITLES = {PHENOMENON: "phenomenon", OF_REGISTER: "register", LENGTH: "length of the text"}
_NOTE = "FN: false negatives of the gold positives; FP: false positives of the gold negatives. A missing answer counts as False."


def error_grids(selection: Selection, profile: Sequence[GroupErrors], *, wide: bool = False) -> list[Grid]:
    """Every table of a profile, in the order of reading.

    Args:
        selection: The arms.
        profile: Their errors.
        wide: All pairs of feature and group, in place of those with the most errors.
    """
    kinds = [kind for kind in _TITLES if any(item.group.kind == kind for item in profile)]
    grids = [_feature_grid(selection, profile[0])]
    grids += [_group_grid(selection, kind, [p for p in profile if p.group.kind == kind]) for kind in kinds]
    grids += [
        _pair_grid(selection, kind, [p for p in profile if p.group.kind == kind], wide)
        for kind in (kinds if wide else kinds[:1])
    ]
    return grids


def arms_grid(selection: Selection) -> Grid:
    """What the letters stand for."""
    rows = tuple((arm.letter, arm.name, str(arm.run.get("name") or UNDEFINED)) for arm in selection.arms)
    return Grid("Arms", ("", "Arm", "Run"), rows, texts=3)


def _feature_grid(selection: Selection, everything: GroupErrors) -> Grid:
    rows = [
        (selection.label(name), *_cells([counts[name] for counts in everything.arms])) for name in selection.features
    ]
    totals = [everything.total(arm) for arm in range(len(selection.arms))]
    rows.append(("All features", *_cells(totals)))
    title = f"Errors by feature, {len(everything.group.rows)} transcripts"
    return Grid(title, ("Feature", *_columns(selection)), tuple(rows), notes=(_NOTE,))


def _group_grid(selection: Selection, kind: str, items: Sequence[GroupErrors]) -> Grid:
    rows = []
    for item in items:
        totals = [item.total(arm) for arm in range(len(selection.arms))]
        wrong = (_share(total.errors, total.n) for total in totals)
        rows.append((item.group.name, str(len(item.group.rows)), *wrong, *_cells(totals)))
    columns = (_TITLES[kind].capitalize(), "Calls", *(f"Wrong\n{a.letter}" for a in selection.arms))
    notes = ("A call with several phenomena is counted in each.",) if kind == PHENOMENON else ()
    return Grid(
        f"Errors by {_TITLES[kind]}, all features together", (*columns, *_columns(selection)), tuple(rows), notes=notes
    )


def _pair_grid(selection: Selection, kind: str, items: Sequence[GroupErrors], wide: bool) -> Grid:
    pairs = [(item, name) for item in items for name in selection.features]
    found = [(sum(c[name].errors for c in item.arms), item, name) for item, name in pairs]
    chosen = sorted((f for f in found if f[0]), key=lambda f: -f[0])
    shown = chosen if wide else chosen[:SHOWN]
    rows = tuple(
        (selection.label(name), item.group.name, *_cells([c[name] for c in item.arms])) for _, item, name in shown
    )
    left = len(chosen) - len(shown)
    return Grid(
        title=f"Errors by feature and {_TITLES[kind]}, the most first",
        columns=("Feature", _TITLES[kind].capitalize(), *_columns(selection)),
        rows=rows,
        notes=(f"{left} further pairs with errors: --markdown FILE and --json have them.",) if left else (),
        texts=2,
    )


def _columns(selection: Selection) -> tuple[str, ...]:
    return tuple(f"{kind}\n{arm.letter}" for arm in selection.arms for kind in ("FN", "FP"))


def _cells(counts: Sequence[ErrorCount]) -> list[str]:
    return [cell for c in counts for cell in (_of(c.fn, c.positives), _of(c.fp, c.negatives))]


def _of(errors: int, n: int) -> str:
    return f"{errors}/{n}" if n else UNDEFINED


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else UNDEFINED
