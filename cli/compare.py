"""`balin compare`: runs side by side, paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import note, print_json, show
from .options import json_option

EPILOG = """\b
Examples:
  balin compare runs/DIRECT runs/TRANSLATED
  balin compare runs/SMALL runs/LARGE runs/COMPILED --baseline runs/LARGE
  balin compare runs/DIRECT runs/TRANSLATED --markdown comparison.md --csv differences.csv --latex tables.tex
"""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("compare", epilog=EPILOG)
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--baseline",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="RUN",
    help="The run that the others are compared with.  [default: the first]",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    metavar="N",
    help="Bootstrap resamples; 0 leaves the intervals out.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="For the intervals and the tests.",
)
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write all tables here as Markdown.")
@click.option("--csv", type=_FILE, metavar="FILE", help="Write all differences here, one a row, unrounded.")
@click.option("--latex", type=_FILE, metavar="FILE", help="Write all tables here as LaTeX (booktabs).")
@json_option
def command(runs: tuple[Path, ...], **options: Any) -> int:
    """Compare runs on the transcripts that all of them have scored: tables, differences with intervals and p-values.

    The runs must agree in labels and groups; what else differs is said. Where a model was run by both routes, the translation
    effect is shown. No model is asked. Ends with 1 if calls failed for more than 2 % of some run's transcripts.
    """
    from ..data.files import write_private
    from ..eval.comparison import read_comparison
    from ..eval.comparison_tables import comparison_csv, comparison_grids, comparison_markdown
    from ..eval.latex import latex_table

    comparison = read_comparison(
        runs, baseline=options["baseline"], resamples=options["resamples"], seed=options["seed"]
    )
    aside = options["as_json"]
    for grid in comparison_grids(comparison):
        show(grid, aside=aside)
    for text in comparison.notes:
        note(text)
    for text in comparison.warnings:
        note(f"warning: {text}")
    if options["markdown"]:
        write_private(options["markdown"], comparison_markdown(comparison).encode())
    if options["csv"]:
        write_private(options["csv"], comparison_csv(comparison).encode())
    if options["latex"]:
        tables = [latex_table(grid) for grid in comparison_grids(comparison, wide=True)]
        write_private(options["latex"], ("\n\n".join(tables) + "\n").encode())
    if aside:
        print_json(comparison.to_dict())
    return 1 if comparison.too_many_errors else 0
