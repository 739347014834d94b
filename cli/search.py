"""`balin search`: an Optuna study over models, routes, prompts, formats, demos and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .console import note, print_json, progress, show
from .options import (
    data_option,
    engine_options,
    engine_settings,
    features_option,
    json_option,
    out_option,
    read_data,
    split_options,
    translator_program_option,
)

EPILOG = """\b
Examples:
  balin search --model qwen2.5-coder:1.5b --max-trials 20
  balin search --data calls.csv --split split.json --model qwen2.5:7b-instruct --model gemma2:9b --route direct --route translated
  balin search --study-file search.yaml --max-seconds 28800
"""

# As in balin.optimizers.space, which this file does not load before it is called; a test holds them together.
STRATEGIES = ("random", "labeled", "bootstrap", "random-search", "coverage")


@click.command("search", epilog=EPILOG)
@click.option(
    "--study-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="YAML with any of the options below, by their long names; an option on the command line wins.",
)
@data_option
@features_option
@click.option(
    "--model", "models", multiple=True, default=("qwen2.5-coder:1.5b",), show_default=True, metavar="M",
    help="A catalogue name or an Ollama tag; may be given several times, as may all that is searched.",
)  # fmt: skip
@engine_options
@click.option(
    "--route", "routes", type=click.Choice(["direct", "translated"]), multiple=True, default=("direct",),
    show_default=True, help="Read the source text, or an English translation of it.",
)  # fmt: skip
@click.option(
    "--translator",
    "translators",
    multiple=True,
    metavar="M",
    help="A model that translates.  [default: the same as --model]",
)
@translator_program_option
@click.option(
    "--english", type=click.Choice(["model", "given"]), default="model", show_default=True,
    help="On the translated route: models' translations, or the file's English column (no evidence about translating).",
)  # fmt: skip
@click.option(
    "--language", "languages", multiple=True, default=("en",), show_default=True, metavar="L", help="Of the prompt."
)
@click.option(
    "--format", "formats", type=click.Choice(["probe", "json", "present", "lines"]), multiple=True,
    default=("probe", "json", "present", "lines"), show_default=True, help="Answer formats; the study has its own.",
)  # fmt: skip
@click.option(
    "--strategy", "strategies", type=click.Choice(STRATEGIES), multiple=True, default=("random", "bootstrap", "coverage"),
    show_default=True, help="How demos are chosen; zero-shot and study are always among them.",
)  # fmt: skip
@click.option(
    "--demos", type=click.IntRange(min=1), multiple=True, default=(4, 8), show_default=True, metavar="N",
    help="How many demos.",
)  # fmt: skip
@click.option(
    "--draws", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
    help="How many draws of the demos for each strategy and number.",
)  # fmt: skip
@click.option(
    "--thresholds", type=click.Choice(["search", "on", "off"]), default="search", show_default=True,
    help="Thresholds on P(true): a choice, always where there is one, never.",
)  # fmt: skip
@split_options
@click.option(
    "--limit", type=click.IntRange(min=1), default=60, show_default=True, metavar="N",
    help="Compare on about N transcripts of dev; the best few are scored on all of it.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(["mcc", "macro_f1"]), default="mcc", show_default=True,
    help="What is maximised, as a mean over the features.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of all draws.")
@click.option(
    "--prune/--no-prune", default=True, show_default=True, help="End trials that are clearly worse than the best."
)
@click.option(
    "--max-trials", type=click.IntRange(min=1), default=40, show_default=True, metavar="N", help="Configurations tried."
)
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Calls of the whole study.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Generated tokens of the whole study.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Wall time of this command."
)
@click.option(
    "--storage", metavar="URL", help="A database for the study, as SQLAlchemy names it.  [default: a file in DIR]"
)
@out_option
@json_option
def command(**options: Any) -> int:
    """Search for the best configuration, and leave its program as a run.

    Zero-shot and the study's protocol are tried first, and then what Optuna draws. Configurations are scored on dev; the test
    part is not touched. The same command goes on with a search that was stopped, and several at once work on it together.
    """
    from ..optimizers.budget import Budget
    from ..optimizers.plan import Plan
    from ..optimizers.search_job import SearchPlan, search
    from ..optimizers.search_report import search_table
    from ..optimizers.space import Space
    from ..signatures.features import load_feature_set

    if options["study_file"] is not None:
        _take_file(options)
    feature_set = load_feature_set(options["features"])
    dataset = read_data(options["data"], feature_set)
    space = Space(
        models=tuple(options["models"]),
        routes=tuple(options["routes"]),
        english=options["english"],
        translators=tuple(options["translators"]),
        languages=tuple(options["languages"]),
        formats=tuple(options["formats"]),
        strategies=tuple(options["strategies"]),
        demos=tuple(options["demos"]),
        draws=options["draws"],
        thresholds=options["thresholds"],
    )
    base = Plan(
        dataset=dataset,
        feature_set=feature_set,
        models=space.models,
        routes=space.routes,
        english=space.english,
        translator_program=options["translator_program"],
        limit=options["limit"],
        objective=options["objective"],
        seed=options["seed"],
        engines=engine_settings(options),
        out=options["out"],
        split=options["split"],
        split_seed=options["split_seed"],
        accept_model_change=options["accept_model_change"],
        command=click.get_current_context().obj or ("balin",),
    )
    budget = Budget(*(options[f"max_{name}"] for name in ("trials", "calls", "tokens", "seconds")))
    if dataset.rejects:
        note(f"{len(dataset.rejects)} rows of {dataset.name} cannot be used; `balin data check` lists them")
    with progress() as advance:
        found = search(SearchPlan(base, space, budget, options["prune"], options["storage"]), say=note, advance=advance)
    show(search_table(found.document), aside=options["as_json"])
    for sentence in found.document.get("says", ()):
        note(sentence)
    if found.outcome is not None:
        note(f"program: {found.document['program']}\nrun: {found.outcome.folder}")
    note(f"study: {found.folder}")
    if options["as_json"]:
        print_json(found.document)
    return 1 if found.outcome is not None and found.outcome.scores.too_many_errors else 0


def _take_file(options: dict[str, Any]) -> None:
    """Put what the study file says in the place of defaults; what stands on the command line stays."""
    from ..optimizers.study_file import read_study_file

    context = click.get_current_context()
    for name, value in read_study_file(options["study_file"]).items():
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            options[name] = value
