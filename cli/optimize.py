"""`balin optimize`: the best demos for each model and route."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from .console import note, print_json, progress, show
from .options import (
    data_option,
    embedder_option,
    engine_options,
    engine_settings,
    features_option,
    floors_of,
    json_option,
    out_option,
    read_data,
    seed_option,
    split_options,
    translator_program_option,
)

EPILOG = """\b
Examples:
  balin optimize --model qwen2.5-coder:1.5b --strategy coverage --candidates 2
  balin optimize --data calls.csv --split split.json --model qwen2.5:7b-instruct --route direct --route translated
  balin optimize --data calls.csv --split split.json --stage translate --model aya-expanse:8b
  balin evaluate --data calls.csv --split split.json --part test --model qwen2.5:7b-instruct --program runs/RUN/program.json
"""

# As in balin.optimizers.strategies, which this file does not load before it is called; a test holds them together.
STRATEGIES = (
    "zero-shot",
    "study",
    "random",
    "labeled",
    "bootstrap",
    "random-search",
    "coverage",
    "nearest",
    "mipro",
    "gepa",
)
# What the choice of a translator heeds; the other options are about extracting.
_OF_TRANSLATORS = frozenset(
    {"stage", "data", "features", "models", "translator", "demos", "candidates", "split", "split_seed", "limit", "seed"}
    | {
        "out",
        "as_json",
        "engine",
        "host",
        "allow_remote",
        "num_ctx",
        "timeout",
        "threads",
        "slots",
        "accept_model_change",
    }
)


@click.command("optimize", epilog=EPILOG)
@click.option(
    "--stage",
    type=click.Choice(["translate", "extract"]),
    default="extract",
    show_default=True,
    help="translate: first choose how one model translates, on the pool's references. extract: choose the demos.",
)
@data_option
@features_option
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("qwen2.5-coder:1.5b",),
    show_default=True,
    metavar="M",
    help="A catalogue name or an Ollama tag; may be given several times.",
)
@engine_options
@click.option(
    "--route",
    "routes",
    type=click.Choice(["direct", "translated"]),
    multiple=True,
    default=("direct",),
    show_default=True,
    help="Read the source text, or an English translation of it; may be given twice.",
)
@click.option("--translator", metavar="M", help="The model that translates.  [default: the same as --model]")
@translator_program_option
@click.option(
    "--english",
    type=click.Choice(["model", "given"]),
    default="model",
    show_default=True,
    help="On the translated route: a model's own translations, or the file's English column (no evidence about translating).",
)
@click.option(
    "--strategy",
    "strategies",
    type=click.Choice(STRATEGIES),
    multiple=True,
    default=("random", "bootstrap", "coverage"),
    show_default=True,
    help="How demos are chosen; may be given several times. zero-shot and study are always tried.",
)
@click.option(
    "--format",
    "answer_format",
    type=click.Choice(["lines", "json", "present", "probe"]),
    default="probe",
    show_default=True,
    help="The answer format of all programs but the study's.",
)
@click.option("--language", default="en", show_default=True, metavar="L", help="Language of the prompt.")
@click.option(
    "--definitions/--no-definitions", default=True, show_default=True,
    help="The features' definitions in the prompts; without them each call is cheaper. The study's prompt has none.",
)  # fmt: skip
@embedder_option
@click.option(
    "--reflection-model",
    metavar="M",
    help="The model that rewrites instructions for gepa.  [default: the largest that the engine has]",
)
@click.option(
    "--gepa-calls",
    type=click.IntRange(min=20),
    default=300,
    show_default=True,
    metavar="N",
    help="Most transcripts of the pool that gepa asks about.",
)
@click.option(
    "--demos", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="Most demos in a prompt."
)
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="Most candidates of a strategy.",
)
@split_options
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=48,
    show_default=True,
    metavar="N",
    help="Compare candidates on about N transcripts of dev; the best few are scored on all of it.",
)
@click.option(
    "--objective",
    type=click.Choice(["mcc", "macro_f1"]),
    default="mcc",
    show_default=True,
    help="What is maximised, as a mean over the features.",
)
@click.option(
    "--thresholds/--no-thresholds", default=True, show_default=True,
    help="Try the finalists with a threshold on P(true) for each feature too (probe and json).",
)  # fmt: skip
@click.option(
    "--floor", "floors", multiple=True, metavar="FEATURE=S",
    help="The least sensitivity of a feature that is acceptable, such as seizures=0.9; may be given several times.",
)  # fmt: skip
@seed_option
@out_option
@json_option
def command(**options: Any) -> int:
    """Try ways to choose the demos, and leave the best program for each model and route as a run.

    Demos come from the pool, candidates are scored on dev, and the test part is not touched. Every answer is stored the moment
    it exists: interrupted and run again, the same command goes on from there, and nothing is asked of a model twice.
    """
    from ..optimizers.optimization import optimize
    from ..optimizers.plan import Plan
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    dataset = read_data(options["data"], feature_set)
    plan = Plan(
        dataset=dataset,
        feature_set=feature_set,
        models=tuple(dict.fromkeys(options["models"])),
        routes=tuple(dict.fromkeys(options["routes"])),
        english=options["english"],
        translator=options["translator"],
        translator_program=options["translator_program"],
        strategies=tuple(dict.fromkeys(options["strategies"])),
        format=options["answer_format"],
        language=options["language"],
        definitions=options["definitions"],
        demos=options["demos"],
        candidates=options["candidates"],
        limit=options["limit"],
        objective=options["objective"],
        thresholds=options["thresholds"],
        floors=floors_of(options["floors"]),
        seed=options["seed"],
        embedder=options["embedder"],
        reflection_model=options["reflection_model"],
        gepa_calls=options["gepa_calls"],
        engines=engine_settings(options),
        out=options["out"],
        split=options["split"],
        split_seed=options["split_seed"],
        accept_model_change=options["accept_model_change"],
        command=click.get_current_context().obj or ("balin",),
    )
    if dataset.rejects:
        note(f"{len(dataset.rejects)} rows of {dataset.name} cannot be used; `balin data check` lists them")
    if options["stage"] == "translate":
        return _choose_translator(plan, options["as_json"])
    with progress() as advance:
        found = optimize(plan, say=note, advance=advance)
    for result in found.results:
        show(result.table(plan.objective), aside=options["as_json"])
        for sentence in result.verdict.sentences(plan.objective, len(result.trials)):
            note(sentence)
        note(f"program: {result.arm.program}\nrun: {result.outcome.folder}\n")
    note(f"all that was tried: {found.folder / 'optimize.json'}")
    if options["as_json"]:
        print_json(found.document)
    return 1 if found.too_many_errors else 0


def _choose_translator(plan: Any, as_json: bool) -> int:
    """`--stage translate`."""
    from ..errors import InputError
    from ..optimizers.translation import choose_translator
    from ..optimizers.translation_report import translators_table

    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        if given and name not in _OF_TRANSLATORS:
            raise InputError(f"{option.opts[0]} is about extracting and goes with --stage extract")
    with progress() as advance:
        found = choose_translator(plan, say=note, advance=advance)
    show(translators_table("Translators tried", found.trials), aside=as_json)
    for sentence in found.document["says"]:
        note(sentence)
    note(f"translator: {found.program}\nall that was tried: {found.folder / 'optimize.json'}")
    if as_json:
        print_json(found.document)
    return 1 if found.too_many_errors else 0
