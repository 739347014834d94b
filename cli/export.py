"""`balin export`: a run as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import note, print_json
from .options import features_option, host_options, json_option

EPILOG = """\b
Examples:
  balin export runs/NAME --to pain-team.balin
  balin export runs/NAME --to bundle --modelfile
  balin export runs/NAME --features heart.yaml --to heart.balin --json
"""


@click.command("export", epilog=EPILOG)
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="A folder, or a file that ends in .balin. A bundle that is there is replaced.",
)
@features_option
@click.option("--modelfile", is_flag=True, help="Also write what `ollama create` needs to make a model of the program.")
@click.option(
    "--allow-demos",
    is_flag=True,
    help="Let worked examples leave with the bundle that are not of the shipped, invented corpus.",
)
@host_options
@json_option
def command(run: Path, **options: Any) -> int:
    """Write a run's program, model and scores as a bundle, which `balin extract` runs anywhere.

    A bundle holds the whole prompt, and so the text of its worked examples. Those of the shipped corpus are invented; others
    are refused, each by its id, unless you allow them. Nothing is asked of a model, but for the embedder that chooses the demos
    of `nearest`: --host and --allow-remote say where it is if it is one of Ollama's.
    """
    from ..deployment.bundle import read_bundle, write_bundle
    from ..deployment.export import export_run
    from ..engines.opening import EngineSettings
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    engines = EngineSettings(host=options["host"], allow_remote=options["allow_remote"])
    made = export_run(
        run,
        feature_set,
        allow_demos=options["allow_demos"],
        modelfile=options["modelfile"],
        engines=None if engines == EngineSettings() else engines,
    )
    target: Path = options["to"]
    write_bundle(target, made.files)
    bundle = read_bundle(target)
    for text in made.notes:
        note(f"note: {text}")
    manifest = made.manifest
    note(
        f"bundle: {target} ({', '.join(sorted(made.files))}; {len(manifest.demos)} worked examples; only you can read it)"
    )
    note(f"sha256 of its manifest: {bundle.hash}")
    if options["as_json"]:
        print_json(
            {
                "bundle": str(target),
                "sha256": bundle.hash,
                "run": manifest.run,
                "route": manifest.route,
                "models": {kind: model.model_dump() for kind, model in manifest.models.items()},
                "demos": [d.model_dump() for d in manifest.demos],
                "tried": manifest.tried,
                "scores": manifest.scores,
                "files": dict(manifest.files),
                "notes": list(made.notes),
            }
        )
    return 0
