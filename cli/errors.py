"""`balin errors`: where runs err, the answers that all of them get wrong as a sheet to be judged, and the sheet read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .console import note, print_json, show
from .options import features_option, json_option

if TYPE_CHECKING:
    from ..data.transcripts import Dataset
    from ..eval.shown import Selection
    from ..eval.translation_quality import TranslationQuality

EPILOG = """\b
Examples:
  balin errors runs/NAME
  balin errors runs/DIRECT runs/TRANSLATED runs/GIVEN --review review.xlsx --include-text
  balin errors --apply review.xlsx --data calls.csv --to calls-corrected.csv
"""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("errors", epilog=EPILOG)
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", metavar="FILE", help="The data file.  [default: the one that the run names]")
@features_option
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write all tables here as Markdown.")
@click.option(
    "--review", type=_FILE, metavar="FILE", help="Write the answers that all runs get wrong here, as CSV or XLSX."
)
@click.option("--include-text", is_flag=True, help="With the transcripts in the sheet of --review.")
@click.option("--apply", "sheet", type=_FILE, metavar="FILE", help="Read a filled sheet back as corrected labels.")
@click.option("--to", type=_FILE, metavar="NEWDATA", help="With --apply: the corrected data file to write.")
@json_option
def command(runs: tuple[Path, ...], **options: Any) -> int:
    """Show where runs err: by feature, phenomenon, register, length and route, and what their translations cost.

    The data file is read again and must be the one that the runs read. With --apply, no RUN is given: the labels of --data are
    corrected by a filled sheet into --to.
    """
    _check(runs, options)
    if options["sheet"] is not None:
        return _apply(options)
    return _analyse(runs, options)


def _check(runs: tuple[Path, ...], options: Mapping[str, Any]) -> None:
    """Refuse options that would have no effect."""
    if options["sheet"] is None:
        if not runs:
            raise InputError("name a run (balin errors RUN), or a filled sheet (balin errors --apply FILE)")
        if options["to"] is not None:
            raise InputError("--to goes with --apply: it names the corrected data file")
        if options["include_text"] and options["review"] is None:
            raise InputError("--include-text goes with --review FILE: transcripts are written there only")
        return
    if runs or options["review"] or options["include_text"] or options["markdown"]:
        raise InputError("--apply takes a sheet, --data and --to, and no RUN, --review, --include-text or --markdown")
    if options["data"] is None or options["to"] is None:
        raise InputError("--apply needs --data DATA, whose labels are corrected, and --to NEWDATA, which is written")


def _analyse(runs: tuple[Path, ...], options: Mapping[str, Any]) -> int:
    from ..eval.error_profile import error_profile
    from ..eval.error_tables import arms_grid, error_grids
    from ..eval.review import check_ending
    from ..eval.run_data import read_run_data
    from ..eval.shown import read_selection
    from ..eval.translation_tables import quality_grid
    from ..signatures.features import load_feature_set

    if options["review"] is not None:
        check_ending(options["review"])
    selection = read_selection(runs, resamples=0)
    dataset = read_run_data(
        [arm.run for arm in selection.arms], load_feature_set(options["features"]), data=options["data"]
    )
    profile = error_profile(selection, dataset)
    qualities = _qualities(selection, runs, dataset)
    translations = [quality_grid(quality) for quality in qualities]
    grids = [arms_grid(selection), *error_grids(selection, profile), *translations]
    for grid in grids:
        show(grid, aside=options["as_json"])
    for text in selection.notes:
        note(text)
    if options["markdown"] is not None:
        wide = [arms_grid(selection), *error_grids(selection, profile, wide=True), *translations]
        _write_markdown(options["markdown"], wide, selection.notes)
    sheet = _review(selection, dataset, options) if options["review"] is not None else None
    if options["as_json"]:
        letters = [arm.letter for arm in selection.arms]
        print_json(
            {
                "runs": [str(run) for run in runs],
                "arms": {arm.letter: arm.name for arm in selection.arms},
                "n": len(selection.arms[0].table.ids),
                "groups": [item.to_dict(letters) for item in profile],
                "translations": [quality.to_dict() for quality in qualities],
                "review": sheet,
                "notes": list(selection.notes),
            }
        )
    return 0


def _qualities(selection: Selection, runs: tuple[Path, ...], dataset: Dataset) -> list[TranslationQuality]:
    """The translations of the arms on a model's English whose store is beside their run."""
    from ..eval.translation_quality import translated_arms, translation_quality

    found = []
    for place in translated_arms(selection):
        store = runs[place].resolve().parent / "store"
        quality = translation_quality(selection, place, dataset, store)
        if quality is None:
            note(f"{selection.arms[place].letter}: its translations are not in {store}, so they are not looked at")
        else:
            found.append(quality)
    return found


def _review(selection: Selection, dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    from ..eval.review import review_rows, write_review

    texts = {t.id: t.text for t in dataset} if options["include_text"] else None
    columns, rows = review_rows(selection, texts)
    write_review(options["review"], columns, rows)
    holds = ", WITH TRANSCRIPTS" if texts is not None else ""
    who = "every run gets" if len(selection.arms) > 1 else "the run gets"
    note(f"{options['review']}: {len(rows)} answers that {who} wrong{holds}")
    return {"file": str(options["review"]), "rows": len(rows), "with_text": texts is not None}


def _write_markdown(path: Path, grids: list[Any], notes: tuple[str, ...]) -> None:
    from ..data.files import write_private
    from ..eval.grids import escape

    parts = ["# Errors", *(f"- {escape(text)}" for text in notes)]
    parts += [f"## {escape(grid.title)}\n\n{grid.markdown()}" for grid in grids]
    write_private(path, ("\n\n".join(parts) + "\n").encode())


def _apply(options: Mapping[str, Any]) -> int:
    from ..eval.correction import write_corrected
    from ..eval.review import read_review
    from ..eval.run_data import read_data_file
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    dataset = read_data_file(options["data"], feature_set)
    corrections = read_review(options["sheet"], dataset)
    if not corrections:
        raise InputError(f"{options['sheet']}: no row has a correct label, so there is nothing to apply")
    listed = write_corrected(options["data"], dataset, feature_set, corrections, options["to"])
    changed = sum(c.after != c.before for c in corrections)
    note(f"{options['to']}: {changed} labels changed, {len(corrections) - changed} confirmed; {listed} lists them")
    note("The file is new data: evaluate on it again. Old runs keep their old labels.")
    if options["as_json"]:
        by_feature = [c.feature for c in corrections if c.after != c.before]
        print_json(
            {
                "file": str(options["to"]),
                "changes": str(listed),
                "judged": len(corrections),
                "changed": changed,
                "changed_by_feature": {f: by_feature.count(f) for f in sorted(set(by_feature))},
            }
        )
    return 0
