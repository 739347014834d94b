"""`balin report`: a run's tables again, from its stored answers; and the page and the figures of one run or several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .console import note, print_json, show
from .options import features_option, json_option, read_data

if TYPE_CHECKING:
    from ..eval.agreement_tables import SecondLabels
    from ..eval.comparison import Comparison
    from ..eval.shown import Selection

EPILOG = """\b
Examples:
  balin report runs/NAME
  balin report runs/NAME --markdown > report.md
  balin report runs/DIRECT runs/TRANSLATED --html report.html --figures figures
  balin report runs/BEST runs/STUDY --search runs/search-NAME --html report.html
"""


@click.command("report", epilog=EPILOG)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print the report as Markdown.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report as one HTML file that needs no network: tables, figures, disagreements.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write each figure as SVG and PNG.",
)
@click.option(
    "--include-text",
    metavar="DATA",
    help="Show the transcripts of this data file (or of `corpus`) beside the disagreements of --html. The file then holds them.",
)
@click.option(
    "--search",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of a search: its history and what mattered, in --html and --figures.",
)
@click.option(
    "--second-labels",
    metavar="DATA",
    help="A data file with another person's labels of the same transcripts: how far two people agree, in --html and the tables.",
)
@features_option
@click.option(
    "--missing",
    type=click.Choice(["false", "wrong"]),
    default="false",
    show_default=True,
    help="How a missing answer is scored: as False, as in the study, or as the wrong class.",
)
@json_option
def command(runs: tuple[Path, ...], **options: Any) -> int:
    """Show a run's tables again. The scores are computed anew from its answers; no model is asked.

    Several runs are compared with the first.
    """
    if options["include_text"] is not None and options["html"] is None:
        raise InputError("--include-text goes with --html FILE: transcripts are shown there only")
    if options["search"] is not None and options["html"] is None and options["figures"] is None:
        raise InputError("--search goes with --html FILE or --figures DIR: a search is shown there only")
    if options["second_labels"] is not None and options["markdown"] and options["html"] is None:
        raise InputError(
            "--second-labels goes with the tables of the terminal or --html FILE, and not with --markdown alone"
        )
    if len(runs) == 1:
        selection, comparison = _one(runs[0], options), None
    else:
        comparison = _several(runs, options)
        selection = comparison.selection
    second = None if options["second_labels"] is None else _second_labels(selection, options)
    if second is not None and not options["markdown"]:
        from ..eval.agreement_tables import agreement_grid

        show(agreement_grid(selection, second), aside=options["as_json"])
    _write(selection, comparison, second, options)
    return 0


def _one(run: Path, options: Mapping[str, Any]) -> Selection:
    """Show one run."""
    from ..eval.shown import read_selection
    from ..eval.tables import dev_table, feature_table, report_markdown, summary_table

    selection = read_selection([run], policy=options["missing"])
    arm = selection.arms[0]
    description, scores, labels = arm.run, arm.scores, arm.run.get("labels", {})
    if options["markdown"]:
        click.echo(report_markdown(description, scores, labels), nl=False)
    else:
        show(f"{description.get('name', run.name)}", aside=options["as_json"])
        show(feature_table(scores, labels), aside=options["as_json"])
        show(summary_table(scores), aside=options["as_json"])
        if (beside := dev_table(description, scores)) is not None:
            show(beside, aside=options["as_json"])
    if options["as_json"]:
        print_json({"run": str(run), "missing": options["missing"], **scores.to_dict()})
    return selection


def _several(runs: tuple[Path, ...], options: Mapping[str, Any]) -> Comparison:
    """Show several runs side by side."""
    from ..eval.comparison import read_comparison
    from ..eval.comparison_tables import comparison_grids, comparison_markdown

    if options["missing"] != "false":
        raise InputError("--missing wrong goes with one RUN; in a comparison a missing answer counts as False")
    comparison = read_comparison(runs)
    if options["markdown"]:
        click.echo(comparison_markdown(comparison), nl=False)
    else:
        for grid in comparison_grids(comparison):
            show(grid, aside=options["as_json"])
    if options["as_json"]:
        print_json({"runs": [str(run) for run in runs], **comparison.to_dict()})
    return comparison


def _write(
    selection: Selection, comparison: Comparison | None, second: SecondLabels | None, options: Mapping[str, Any]
) -> None:
    """Write the page and the figures that were asked for."""
    html, folder = options["html"], options["figures"]
    if html is None and folder is None:
        return
    from ..eval.figures import draw_all
    from ..eval.page import published_for, render_page
    from ..eval.search_figures import draw_search
    from ..eval.search_record import read_search

    search = None if options["search"] is None else read_search(options["search"])
    texts = _texts(selection, options) if options["include_text"] is not None else None
    drawings = draw_all(selection, published_for(selection), comparison)
    drawings += draw_search(search) if search is not None else []
    if html is not None:
        page = render_page(selection, comparison, texts=texts, drawings=drawings, search=search, second_labels=second)
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page, encoding="utf-8")
        html.chmod(0o600)
        note(
            f"{html}: {len(drawings)} figures, {len(page.encode()) / 1e6:.1f} MB"
            + (", WITH TRANSCRIPTS" if texts else "")
        )
    if folder is not None:
        for drawing in drawings:
            drawing.write(folder)
        note(f"{folder}: {len(drawings)} figures as SVG and PNG")


def _texts(selection: Selection, options: Mapping[str, Any]) -> dict[str, str]:
    """The transcripts that the runs read, by id."""
    from ..signatures.features import load_feature_set

    dataset = read_data(options["include_text"], load_feature_set(options["features"]))
    for arm in selection.arms:
        if (arm.run.get("data") or {}).get("sha256") != dataset.sha256:
            raise InputError(
                f"--include-text {options['include_text']}: is not the data that run {arm.run.get('name')} read (another "
                "sha256); give the file of its --data"
            )
    return {transcript.id: transcript.text for transcript in dataset}


def _second_labels(selection: Selection, options: Mapping[str, Any]) -> SecondLabels:
    """Another person's labels, by id and feature."""
    from ..signatures.features import load_feature_set

    dataset = read_data(options["second_labels"], load_feature_set(options["features"]))
    ids = set(selection.arms[0].table.ids)
    found = {transcript.id: transcript.labels for transcript in dataset if transcript.id in ids}
    if not found:
        raise InputError(
            f"--second-labels {options['second_labels']}: has none of the runs' transcripts; ids must be equal"
        )
    return found
