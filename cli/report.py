"""`balin report`: a run's tables again, from its stored answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import print_json, show
from .options import json_option

EPILOG = """\b
Examples:
  balin report runs/NAME
  balin report runs/NAME --markdown > report.md
  balin report runs/NAME --missing wrong --json
"""


@click.command("report", epilog=EPILOG)
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print the report as Markdown.")
@click.option(
    "--missing",
    type=click.Choice(["false", "wrong"]),
    default="false",
    show_default=True,
    help="How a missing answer is scored: as False, as in the study, or as the wrong class.",
)
@json_option
def command(run: Path, **options: Any) -> int:
    """Show a run's tables again. The scores are computed anew from its answers; no model is asked."""
    from ..eval.evaluation import evaluate_answers
    from ..eval.runs import read_predictions, read_run
    from ..eval.tables import feature_table, report_markdown, summary_table

    description = read_run(run)
    scores = evaluate_answers(read_predictions(run), policy=options["missing"])
    labels = description.get("labels", {})
    if options["markdown"]:
        click.echo(report_markdown(description, scores, labels), nl=False)
    else:
        show(f"{description.get('name', run.name)}", aside=options["as_json"])
        show(feature_table(scores, labels), aside=options["as_json"])
        show(summary_table(scores), aside=options["as_json"])
    if options["as_json"]:
        print_json({"run": str(run), "missing": options["missing"], **scores.to_dict()})
    return 0
