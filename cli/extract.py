"""`balin extract`: a bundle over a data file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import note, print_json, progress, show
from .options import engine_options, engine_settings, json_option

if TYPE_CHECKING:
    from ..eval.grids import Grid

EPILOG = """\b
Examples:
  balin extract pain-team.balin calls.csv --out answers.csv
  balin extract pain-team.balin calls.parquet --out answers.parquet --slots 4 --json
"""


@click.command("extract", epilog=EPILOG)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the answers go: .csv, .tsv, .xlsx, .parquet or .jsonl.",
)
@engine_options
@json_option
def command(bundle: Path, file: Path, **options: Any) -> int:
    """Answer every feature for each transcript of a file.

    The file needs an id and a text, and no labels. Every answer is stored the moment it exists, in OUT.store: interrupted and
    run again, the same command goes on from there. Rows that cannot be used are listed in OUT.rejects.csv. Unless you say
    otherwise, --engine and --num-ctx are the bundle's.
    """
    from ..deployment.batch import Batch, first_failure, run_batch
    from ..deployment.bundle import read_bundle

    checked = read_bundle(bundle)
    with progress() as advance:
        done = run_batch(
            Batch(
                bundle=checked,
                file=file,
                out=options["out"],
                engines=engine_settings(options),
                accept_model_change=options["accept_model_change"],
                say=note,
                advance=advance,
            )
        )
    document = done.document()
    show(_grid(document, {f.id: f.short.get("en", f.id) for f in checked.feature_set}), aside=options["as_json"])
    if done.dataset.rejects:
        note(f"{len(done.dataset.rejects)} rows of {file} cannot be used; see {done.batch.rejects}")
    if done.failures:
        counts = ", ".join(f"{kind} {count}" for kind, count in done.failures.items())
        note(f"warning: failed calls: {counts}. The first: {first_failure(done.read)}")
    note(f"answers: {done.batch.out}; what was answered is kept in {done.batch.store}, for the next time")
    if options["as_json"]:
        print_json(document)
    return 1 if done.too_many_errors else 0


def _grid(document: dict[str, Any], labels: dict[str, str]) -> Grid:
    from ..eval.grids import Grid

    rows = tuple((labels[i], str(count)) for i, count in document["present"].items())
    states = ", ".join(f"{state} {count}" for state, count in document["answers"].items())
    return Grid(f"{document['n']} transcripts", ("Feature", "Present"), rows, notes=(f"Answers: {states}.",))
