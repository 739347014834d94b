"""`balin translate`: a data file's transcripts into English, kept in the store and written to a file with its checks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from .console import note, print_json, progress, show
from .options import (
    CORPUS,
    engine_options,
    engine_settings,
    features_option,
    json_option,
    out_option,
    read_data,
    translator_program_option,
)

EPILOG = """\b
Examples:
  balin translate calls.csv --model aya-expanse:8b
  balin translate calls.csv --model aya-expanse:8b --translator-program runs/NAME/translator.json
  balin translate corpus --model qwen2.5-coder:1.5b --limit 5 --json
"""


@click.command("translate", epilog=EPILOG)
@click.argument("file", default=CORPUS)
@features_option
@click.option(
    "--model", default="qwen2.5-coder:1.5b", show_default=True, metavar="M", help="A catalogue name or an Ollama tag."
)
@translator_program_option
@engine_options
@click.option(
    "--part",
    type=click.Choice(["all", "pool", "dev", "test"]),
    default="all",
    show_default=True,
    help="Of a file with parts.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N transcripts.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="[default: DIR/translations-NAME-MODEL.jsonl]",
)
@out_option
@json_option
def command(file: str, **options: Any) -> int:
    """Translate transcripts into English.

    A translation is made once for each text, model and prompt; `balin evaluate --route translated` reads the same store. Checks
    without a reference mark what looks wrong: length, untranslated script, lost numbers, refusals, repetition.
    """
    from ..data.files import plain_name, private_folder, write_private
    from ..data.store import Store
    from ..errors import InputError
    from ..eval.arm import opened, translate_all
    from ..eval.models import ModelRecord
    from ..programs.translator_file import translator_of
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    translator = translator_of(options["translator_program"], feature_set)
    dataset = read_data(file, feature_set)
    if dataset.rejects:
        note(f"{len(dataset.rejects)} rows of {dataset.name} cannot be used; `balin data check` lists them")
    chosen = list(dataset.part(options["part"]))[: options["limit"]]
    out: Path = options["out"]
    target: Path | None = options["to"]
    if target is not None and target.exists() and Path(file).exists() and target.samefile(file):
        raise InputError(f"--to {target}: is the data file itself, which would be overwritten; name another")
    private_folder(out)
    models = ModelRecord(out / "models.json", accept_change=options["accept_model_change"])
    with progress() as advance, opened(options["model"], engine_settings(options), models, note) as engine:
        made = translate_all(engine, translator, Store(out / "store"), chosen, partial(advance, "translate"))
    stem, model = plain_name(Path(file).stem), plain_name(options["model"], 40)
    by = f"{model}-{translator.hash()[:8]}" if options["translator_program"] else model
    target = target or out / f"translations-{stem}-{by}.jsonl"
    rows = [
        {"id": t.id, "text_en": m.text, "warnings": list(m.warnings), "failure": m.failure}
        for t, m in zip(chosen, made, strict=True)
    ]
    write_private(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    summary = _summary(made)
    show(_grid(summary), aside=options["as_json"])
    note(f"translations: {target} (holds transcript text; only you can read it)")
    if options["as_json"]:
        program = {"name": translator.name, "hash": translator.hash()}
        print_json({"file": str(target), "model": options["model"], "translator_program": program, **summary})
    return 1 if summary["failed"] > 0.02 * len(made) else 0


def _summary(made: list[Any]) -> dict[str, Any]:
    done = [t for t in made if t.failure is None]
    warnings = [w for t in done for w in t.warnings]
    return {
        "n": len(made),
        "failed": len(made) - len(done),
        "stored": sum(t.stored for t in done),
        "checked_clean": sum(not t.warnings for t in done),
        "warnings": {w: warnings.count(w) for w in sorted(set(warnings))},
        "seconds_per_transcript": round(sum(t.seconds for t in done) / len(done), 3) if done else None,
        "generated_tokens": round(sum(t.telemetry.generated_tokens for t in done) / len(done), 1) if done else None,
    }


def _grid(summary: dict[str, Any]) -> Any:
    from ..eval.grids import Grid, figure

    rows = [
        ("transcripts", str(summary["n"])),
        ("failed", str(summary["failed"])),
        ("from the store", str(summary["stored"])),
        ("passed every check", str(summary["checked_clean"])),
        *((f"check not passed: {name}", str(count)) for name, count in summary["warnings"].items()),
        ("seconds a transcript", figure(summary["seconds_per_transcript"])),
    ]
    return Grid("Translations", ("", "Count"), tuple(rows))
