"""`balin evaluate`: one arm on one part of a data file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
  balin evaluate --model qwen2.5-coder:1.5b --format probe --limit 12
  balin evaluate --data calls.csv --model qwen2.5:7b-instruct --route translated --translator aya-expanse:8b
  balin evaluate --data calls.csv --split split.json --part test --program runs/NAME/program.json
"""


@click.command("evaluate", epilog=EPILOG)
@data_option
@features_option
@click.option(
    "--model", default="qwen2.5-coder:1.5b", show_default=True, metavar="M", help="A catalogue name or an Ollama tag."
)
@engine_options
@click.option(
    "--route",
    type=click.Choice(["direct", "translated"]),
    default="direct",
    show_default=True,
    help="Read the source text, or an English translation of it.",
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
    "--program", default="study", show_default=True, metavar="P", help="study, zero-shot, few-shot, or a program file."
)
@click.option(
    "--format",
    "answer_format",
    type=click.Choice(["lines", "json", "present", "probe"]),
    help="In place of the program's own.",
)
@click.option("--language", metavar="L", help="Language of the prompt, for built-in programs.  [default: en]")
@click.option(
    "--demos",
    type=click.IntRange(min=0),
    metavar="N",
    help="Worked examples.  [default: study and few-shot 3, zero-shot 0]",
)
@click.option("--demos-from", metavar="FILE", help="A labelled file that demos come from.  [default: the data's pool]")
@click.option(
    "--part", type=click.Choice(["all", "pool", "dev", "test"]), help="[default: dev where there is a split, else all]"
)
@split_options
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Score only the first N transcripts of the part."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="For drawing demos and for sampling.")
@click.option("--name", metavar="NAME", help="The run's name.  [default: made from what is run]")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write rows that cannot be used here.",
)
@out_option
@json_option
def command(**options: Any) -> int:
    """Answer every feature for each transcript of a part, score the answers and write a run.

    Every answer is stored the moment it exists: interrupted and run again, the same command goes on from there, and nothing is
    asked of a model twice.
    """
    from ..eval.arm import ArmSettings
    from ..eval.job import Job, run_evaluation
    from ..eval.tables import feature_table, summary_table, warnings_of
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    dataset = read_data(options["data"], feature_set, rejects=options["rejects"])
    demos_from = options["demos_from"] and read_data(options["demos_from"], feature_set)
    arm = ArmSettings(
        model=options["model"],
        program=options["program"],
        route=options["route"],
        english=options["english"],
        translator=options["translator"],
        translator_program=options["translator_program"],
        format=options["answer_format"],
        language=options["language"],
        demos=options["demos"],
        seed=options["seed"],
    )
    job = Job(
        arm=arm,
        dataset=dataset,
        feature_set=feature_set,
        engines=engine_settings(options),
        out=options["out"],
        part=options["part"],
        limit=options["limit"],
        split=options["split"],
        split_seed=options["split_seed"],
        demos_from=demos_from,
        name=options["name"],
        accept_model_change=options["accept_model_change"],
        command=click.get_current_context().obj or ("balin",),
    )
    if dataset.rejects:
        where = f"; see {options['rejects']}" if options["rejects"] else "; `balin data check` lists them"
        note(f"{len(dataset.rejects)} rows of {dataset.name} cannot be used{where}")
    with progress() as advance:
        outcome = run_evaluation(job, say=note, advance=advance)
    aside = options["as_json"]
    labels = outcome.run["labels"]
    show(feature_table(outcome.scores, labels), aside=aside)
    show(summary_table(outcome.scores), aside=aside)
    for warning in warnings_of(outcome.run, outcome.scores, labels):
        note(f"warning: {warning}")
    note(f"run: {outcome.folder}")
    if options["as_json"]:
        print_json(outcome.document())
    return 1 if outcome.scores.too_many_errors else 0
