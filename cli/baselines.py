"""`balin baselines`: programs that need no language model, as runs to compare models with."""

from __future__ import annotations

from typing import Any

import click

from .console import note, print_json, progress, show
from .options import data_option, features_option, json_option, out_option, read_data, split_options

EPILOG = """\b
Examples:
  balin baselines
  balin baselines --data calls.csv --split split.json --part dev
  balin compare runs/BASELINE runs/MODEL
"""


@click.command("baselines", epilog=EPILOG)
@data_option
@features_option
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(["majority", "tfidf", "embeddings"]),
    multiple=True,
    help="majority gives the commoner label; tfidf learns from runs of characters, embeddings from what a "
    "sentence embedder makes of each text (balin[embeddings]).  [default: all]",
)
@click.option(
    "--part",
    type=click.Choice(["dev", "test"]),
    default="dev",
    show_default=True,
    help="What is scored.",
)
@split_options
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Score only the first N transcripts of the part."
)
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Random choices for each point of the learning curve.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="For the draws of the learning curve."
)
@out_option
@json_option
def command(**options: Any) -> int:
    """Score programs that need no language model: what a model must beat to earn its cost.

    They learn from the part `pool` of the data and are scored on another part. Each leaves a run that `balin report`, `balin
    compare` and `balin errors` read, and a learning curve over the number of labelled transcripts.
    """
    from ..engines.embedding import open_embedder
    from ..errors import EngineUnavailable
    from ..eval.arm import ArmSettings
    from ..eval.baseline_runs import run_baseline
    from ..eval.baselines import KINDS
    from ..eval.job import Job
    from ..eval.learning_curve import curve_grid
    from ..eval.tables import compare_table
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    dataset = read_data(options["data"], feature_set)
    kinds = [kind for kind in KINDS if kind in options["kinds"] or not options["kinds"]]
    job = Job(
        # No model is asked; a job names one all the same.
        arm=ArmSettings(model="none"),
        dataset=dataset,
        feature_set=feature_set,
        out=options["out"],
        part=options["part"],
        limit=options["limit"],
        split=options["split"],
        split_seed=options["split_seed"],
        command=click.get_current_context().obj or ("balin",),
    )
    embedder = None
    if "embeddings" in kinds:
        try:
            embedder = open_embedder()
        except EngineUnavailable as error:
            if options["kinds"]:
                raise
            note(f"embeddings is left out: {error}")
            kinds.remove("embeddings")
    with progress() as advance:
        made = [
            run_baseline(kind, job, seed=options["seed"], draws=options["draws"], embedder=embedder, advance=advance)
            for kind in kinds
        ]
    aside = options["as_json"]
    show(compare_table((outcome.run["model"]["name"], outcome.scores) for outcome in made), aside=aside)
    for outcome in made:
        if outcome.curve:
            show(curve_grid(outcome.run["model"]["name"], outcome.curve), aside=aside)
        note(f"run: {outcome.folder}")
    if aside:
        print_json({"runs": [outcome.document() for outcome in made]})
    return 0
