"""`balin doctor`: what works here, what does not and what to do, and what could leave this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from .console import print_json, show
from .options import json_option

OK, WARN, BAD = "ok", "note", "missing"


@click.command("doctor", epilog="\b\nExample:\n  balin doctor\n")
@click.option("--host", metavar="URL", help="Ollama's address.  [default: OLLAMA_HOST, else 127.0.0.1:11434]")
@click.option("--allow-remote", multiple=True, metavar="HOST", help="Ask this host, which is not this machine.")
@json_option
def command(**options: Any) -> int:
    """Look at engines, models, versions and privacy. Exits 3 if no engine can answer."""
    from ..eval.grids import Grid

    checks = [*_machine(), *_ollama(options["host"], options["allow_remote"]), *_embedded(), *_privacy(options)]
    rows = tuple((c["state"], c["what"], c["found"], c.get("do", "")) for c in checks)
    show(Grid("Doctor", ("", "What", "Found", "What to do"), rows, texts=4), aside=options["as_json"])
    usable = any(c["what"] in ("Ollama models", "embedded weights") and c["state"] == OK for c in checks)
    if options["as_json"]:
        print_json({"usable": usable, "checks": checks})
    return 0 if usable else 3


def _check(state: str, what: str, found: str, do: str = "") -> dict[str, str]:
    return {"state": state, "what": what, "found": found, "do": do}


def _machine() -> list[dict[str, str]]:
    from ..eval.runs import versions

    listed = ", ".join(f"{name} {version}" for name, version in versions().items())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        _check(OK, "Python", f"{sys.version.split()[0]}, {cores} cores"),
        _check(OK, "packages", listed),
    ]


def _ollama(host: str | None, allow_remote: tuple[str, ...]) -> list[dict[str, str]]:
    from ..engines.catalogue import load_catalogue
    from ..engines.ollama_api import list_models, probe_server, running
    from ..errors import EngineUnavailable

    try:
        version = probe_server(host, allow_remote=allow_remote)
        if version is None:
            return [_check(WARN, "Ollama", "does not answer", "start it (`ollama serve`), or use the embedded engine")]
        models = list_models(host, allow_remote=allow_remote)
        loaded = running(host, allow_remote=allow_remote)
    except EngineUnavailable as error:
        return [_check(BAD, "Ollama", str(error))]
    known = {m.ollama for m in load_catalogue()}
    local = [m for m in models if not m.remote]
    found = [_check(OK, "Ollama", f"version {version}")]
    if local:
        found.append(
            _check(OK, "Ollama models", ", ".join(m.name + (" (catalogue)" if m.name in known else "") for m in local))
        )
    else:
        found.append(_check(BAD, "Ollama models", "none", "`ollama pull qwen2.5:1.5b-instruct`"))
    for model in models:
        if model.remote:
            found.append(
                _check(WARN, "cloud model", model.name, "Balin refuses it; `ollama rm` it, or set OLLAMA_NO_CLOUD=1")
            )
    for item in loaded:
        found.append(_check(OK, "loaded model", f"{item.name}, context {item.num_ctx or 'not told'}"))
    return found


def _embedded() -> list[dict[str, str]]:
    from importlib import metadata

    from ..engines.catalogue import load_catalogue
    from ..engines.weights import default_models_dir, find_weights

    try:
        found = [_check(OK, "embedded engine", f"xllamacpp {metadata.version('xllamacpp')}")]
    except metadata.PackageNotFoundError:
        return [
            _check(WARN, "embedded engine", "xllamacpp is not installed", "pip install xllamacpp, where a wheel exists")
        ]
    here = [m.name for m in load_catalogue() if m.gguf and find_weights(m, models_dir=default_models_dir())]
    if here:
        found.append(_check(OK, "embedded weights", f"{', '.join(here)} in {default_models_dir()}"))
    else:
        found.append(
            _check(BAD, "embedded weights", f"none in {default_models_dir()}", "`balin models pull qwen2.5-coder:1.5b`")
        )
    return found


def _privacy(options: dict[str, Any]) -> list[dict[str, str]]:
    from ..engines.guard import check_host, client_address
    from ..errors import BalinError

    found = []
    try:
        address = client_address(options["host"] or os.environ.get("OLLAMA_HOST"))
        check_host(address.url, options["allow_remote"])
        where = f"only {address.url} and this process"
        found.append(_check(OK if not options["allow_remote"] else WARN, "text goes to", where))
    except BalinError as error:
        found.append(_check(WARN, "text goes to", str(error)))
    found.append(_check(OK, "DSPy and LiteLLM", "downloads, disk cache, history and log contents off"))
    cloud = os.environ.get("OLLAMA_NO_CLOUD") == "1"
    found.append(
        _check(
            OK if cloud else WARN,
            "OLLAMA_NO_CLOUD",
            "1 here" if cloud else "not set here",
            "" if cloud else "set it to 1 for the Ollama server as well: cloud models are then off for everybody",
        )
    )
    old = Path("~/.dspy_cache").expanduser()
    if old.is_dir():
        found.append(
            _check(
                WARN,
                "DSPy's disk cache",
                f"{old} exists; Balin did not write it",
                "it may hold answers of other programs",
            )
        )
    return found
