"""`balin evaluate`: one arm on one part of a data file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ..eval.arm import ArmSettings
    from ..eval.job import Job, Outcome
    from ..signatures.features import FeatureSet

# Option of the command to setting of the arm.
_OF_THE_ARM = {
    "model": "model",
    "program": "program",
    "route": "route",
    "english": "english",
    "translator": "translator",
    "translator_program": "translator_program",
    "answer_format": "format",
    "language": "language",
    "demos": "demos",
    "seed": "seed",
}

EPILOG = """\b
Examples:
  balin evaluate --model qwen2.5-coder:1.5b --format probe --limit 12
  balin evaluate --data calls.csv --model qwen2.5:7b-instruct --route translated --translator aya-expanse:8b
  balin evaluate --data calls.csv --split split.json --part test --model qwen2.5:7b-instruct --program runs/NAME/program.json
  balin evaluate --data other-site.csv --program pain-team.balin
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
    "--program",
    default="study",
    show_default=True,
    metavar="P",
    help="study, zero-shot, few-shot, a program file, or a bundle.",
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
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="For drawing demos.")
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
    asked of a model twice. A bundle is asked as it was measured: model, route, format and demos are its own.
    """
    from ..eval.tables import dev_table, feature_table, summary_table, warnings_of

    outcome = _evaluated(options)
    aside = options["as_json"]
    labels = outcome.run["labels"]
    for grid in (
        feature_table(outcome.scores, labels),
        summary_table(outcome.scores),
        dev_table(outcome.run, outcome.scores),
    ):
        if grid is not None:
            show(grid, aside=aside)
    for warning in warnings_of(outcome.run, outcome.scores, labels):
        note(f"warning: {warning}")
    note(f"run: {outcome.folder}")
    if options["as_json"]:
        print_json(outcome.document())
    return 1 if outcome.scores.too_many_errors else 0


def _evaluated(options: Mapping[str, Any]) -> Outcome:
    """The run, by a program or by a bundle."""
    from ..deployment.bundle import read_bundle
    from ..deployment.scoring import check_feature_set, names_bundle, score_bundle, settings_of
    from ..errors import InputError
    from ..eval.arm import ArmSettings
    from ..eval.job import run_evaluation
    from ..signatures.features import load_feature_set

    if not names_bundle(options["program"]):
        feature_set = load_feature_set(options["features"])
        settings = ArmSettings(**{setting: options[name] for name, setting in _OF_THE_ARM.items()})
        if _is_given("seed") and not settings.draws:
            raise InputError(
                f"--seed: --program {settings.program} draws no demos here, so it would have no effect; leave it out"
            )
        job = _job(options, feature_set, settings)
        with progress() as advance:
            return run_evaluation(job, say=note, advance=advance)
    bundle = read_bundle(Path(options["program"]))
    given = {name for name in options if _is_given(name)}
    if "features" in given:
        check_feature_set(bundle, load_feature_set(options["features"]))
    arm = {s: options[n] for n, s in _OF_THE_ARM.items() if n in given and n != "program"}
    job = _job(options, bundle.feature_set, settings_of(bundle, arm))
    with progress() as advance:
        return score_bundle(bundle, job, say=note, advance=advance)


def _is_given(name: str) -> bool:
    """Whether an option stands on the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _job(options: Mapping[str, Any], feature_set: FeatureSet, arm: ArmSettings) -> Job:
    from ..eval.job import Job

    dataset = read_data(options["data"], feature_set, rejects=options["rejects"])
    if dataset.rejects:
        where = f"; see {options['rejects']}" if options["rejects"] else "; `balin data check` lists them"
        note(f"{len(dataset.rejects)} rows of {dataset.name} cannot be used{where}")
    return Job(
        arm=arm,
        dataset=dataset,
        feature_set=feature_set,
        engines=engine_settings(options),
        out=options["out"],
        part=options["part"],
        limit=options["limit"],
        split=options["split"],
        split_seed=options["split_seed"],
        demos_from=options["demos_from"] and read_data(options["demos_from"], feature_set),
        name=options["name"],
        accept_model_change=options["accept_model_change"],
        command=click.get_current_context().obj or ("balin",),
    )
