"""`balin search`: an Optuna study over models, routes, prompts, formats, demos and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .console import note, print_json, progress, show
from .options import (
    data_option,
    embedder_option,
    engine_options,
    engine_settings,
    features_option,
    json_option,
    out_option,
    read_data,
    seed_option,
    split_options,
    translator_program_option,
)

if TYPE_CHECKING:
    from ..optimizers.search_plan import SearchPlan

EPILOG = """\b
Examples:
  balin search --model qwen2.5-coder:1.5b --max-trials 20
  balin search --data calls.csv --split split.json --model qwen2.5:7b-instruct --model gemma2:9b --route direct --route translated
  balin search --study-file search.yaml --max-seconds 28800
"""

# As in balin.optimizers.space, which this file does not load before it is called; a test holds them together.
STRATEGIES = ("random", "labeled", "bootstrap", "random-search", "coverage", "nearest")


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
@embedder_option
@click.option(
    "--demos", type=click.IntRange(min=1), multiple=True, default=(4, 8), show_default=True, metavar="N",
    help="How many demos.",
)  # fmt: skip
@click.option(
    "--draws", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
    help="How many draws of the demos for each strategy and number.",
)  # fmt: skip
@click.option(
    "--instructions", multiple=True, default=("default",), show_default=True, metavar="NAME",
    help="Wordings of the prompt: default, terse, exclusions, and those that the study file adds.",
)  # fmt: skip
@click.option(
    "--definitions", type=click.Choice(["search", "on", "off"]), default="on", show_default=True,
    help="The features' definitions in the prompt: a choice, always, never; without them calls are cheaper.",
)  # fmt: skip
@click.option(
    "--votes", type=click.IntRange(min=1), multiple=True, default=(1,), show_default=True, metavar="N",
    help="How many sampled answers vote; 1 is one greedy answer. Not for probe.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(0, 2, min_open=True), default=0.7, show_default=True, metavar="T",
    help="Of answers that vote.",
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
@click.option(
    "--pareto",
    is_flag=True,
    help="Seconds a transcript are a second objective; shows the Pareto front, and prunes nothing.",
)
@click.option(
    "--max-missing",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Limit: most missing answers, as a share of all.",
)
@click.option(
    "--max-latency", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Limit: most seconds a transcript."
)
@click.option("--min-sensitivity", type=click.FloatRange(0, 1), metavar="X", help="Limit: least mean sensitivity.")
@seed_option
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
    "--storage", metavar="URL",
    help="A database for the study, as SQLAlchemy names it, or a journal file (*.journal).  [default: a file in DIR]",
)  # fmt: skip
@out_option
@json_option
def command(**options: Any) -> int:
    """Search for the best configuration, and leave its program as a run.

    Zero-shot and the study's protocol are tried first, and then what Optuna draws. Configurations are scored on dev; the test
    part is not touched. The same command goes on with a search that was stopped, and several at once work on it together.
    """
    from ..optimizers.search_job import search
    from ..optimizers.search_report import front_table, importance_table, search_table

    context = click.get_current_context()
    texts = _take_file(context, options) if options["study_file"] is not None else {}
    plan = _plan(options, texts, context.obj or ("balin",))
    if plan.base.dataset.rejects:
        note(
            f"{len(plan.base.dataset.rejects)} rows of {plan.base.dataset.name} cannot be used; `balin data check` lists them"
        )
    with progress() as advance:
        found = search(plan, say=note, advance=advance)
    document = found.document
    show(search_table(document), aside=options["as_json"])
    if "front" in document:
        show(front_table(document), aside=options["as_json"])
    if document.get("importances"):
        show(importance_table(document), aside=options["as_json"])
    for sentence in document.get("says", ()):
        note(sentence)
    if found.outcome is not None:
        note(f"program: {document['program']}\nrun: {found.outcome.folder}")
    note(f"study: {found.folder}")
    if options["as_json"]:
        print_json(document)
    return 1 if found.outcome is not None and found.outcome.scores.too_many_errors else 0


def _plan(options: dict[str, Any], texts: dict[str, str], called: tuple[str, ...]) -> SearchPlan:
    """What the options say."""
    from ..optimizers.budget import Budget
    from ..optimizers.goals import Goals
    from ..optimizers.plan import Plan
    from ..optimizers.search_plan import SearchPlan
    from ..optimizers.space import Space
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    several = (
        "models",
        "routes",
        "translators",
        "languages",
        "formats",
        "strategies",
        "demos",
        "instructions",
        "votes",
    )
    chosen: dict[str, Any] = {name: tuple(options[name]) for name in several}
    chosen |= {name: options[name] for name in ("english", "draws", "temperature", "thresholds", "definitions")}
    space = Space(**chosen, texts=texts)
    same = ("limit", "objective", "seed", "out", "split", "split_seed", "accept_model_change")
    base = Plan(
        dataset=read_data(options["data"], feature_set),
        feature_set=feature_set,
        models=space.models,
        routes=space.routes,
        english=space.english,
        engines=engine_settings(options),
        translator_program=options["translator_program"],
        embedder=options["embedder"],
        command=called,
        **{name: options[name] for name in same},
    )
    budget = Budget(*(options[f"max_{name}"] for name in ("trials", "calls", "tokens", "seconds")))
    goals = Goals(
        **{name: options[name] for name in ("objective", "pareto", "max_missing", "max_latency", "min_sensitivity")}
    )
    return SearchPlan(base, space, budget, goals, options["prune"], options["storage"])


def _take_file(context: click.Context, options: dict[str, Any]) -> dict[str, str]:
    """Put what the study file says in the place of defaults; what stands on the command line stays.

    Returns:
        The texts of its instructions.
    """
    from ..optimizers.study_file import read_study_file

    found = read_study_file(options["study_file"])
    texts: dict[str, str] = found.pop("texts", {})
    for name, value in found.items():
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            options[name] = value
    return texts
