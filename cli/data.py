"""`balin data check`, `balin data split` and `balin data synth`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import note, print_json, show
from .options import CORPUS, features_option, json_option, read_data

if TYPE_CHECKING:
    from ..data.checks import DataReport

SHOWN_REJECTS = 10


@click.group("data")
def command() -> None:
    """Check a data file, split it, or make rows for a load test."""


@command.command(
    "check",
    epilog="\b\nExamples:\n  balin data check calls.csv --rejects rejects.csv\n  balin data check corpus --json\n",
)
@click.argument("file", default=CORPUS)
@features_option
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write rows that cannot be used here.",
)
@json_option
def check_command(file: str, **options: Any) -> int:
    """Report on a data file: rows, labels, duplicates, prevalence, lengths, leaks between parts, hints of personal data.

    Exits 1 if a row cannot be used.
    """
    from ..data.checks import check_dataset
    from ..eval.grids import Grid
    from ..signatures.features import load_feature_set

    feature_set = load_feature_set(options["features"])
    dataset = read_data(file, feature_set, rejects=options["rejects"])
    report = check_dataset(dataset, feature_set)
    aside = options["as_json"]
    for title, columns, rows in _tables(report, {f.id: f.label.get("en", f.id) for f in feature_set}):
        show(Grid(title, columns, rows, texts=len(columns) if len(columns) == 2 else 1), aside=aside)
    for reject in dataset.rejects[:SHOWN_REJECTS]:
        note(f"row {reject.row}{f' (id {reject.id})' if reject.id else ''}: {reject.reason}")
    if len(dataset.rejects) > SHOWN_REJECTS:
        note(f"… and {len(dataset.rejects) - SHOWN_REJECTS} more rows; --rejects FILE writes them all")
    for warning in report.warnings:
        note(f"warning: {warning}")
    if aside:
        print_json(report.to_dict())
    return 1 if dataset.rejects else 0


def _tables(
    report: DataReport, labels: dict[str, str]
) -> list[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    """Title, columns and rows of the two tables of a report."""
    words, scripts = report.words, report.scripts
    about = (
        ("rows", str(report.rows)),
        ("usable", str(report.usable)),
        ("rejected", ", ".join(f"{kind} {count}" for kind, count in report.rejects.items()) or "0"),
        (
            "groups",
            f"{report.groups}, {report.repeating_groups} with several transcripts; {report.ungrouped} transcripts without",
        ),
        ("words a text", f"{words['min']:.0f} to {words['max']:.0f}, median {words['median']:.0f}" if words else "–"),
        ("letters", ", ".join(f"{name} {share:.0%}" for name, share in scripts.items()) or "–"),
        ("with English text", str(report.english)),
        ("texts that stand twice", str(len(report.duplicates))),
        ("parts", ", ".join(f"{name} {part.n}" for name, part in report.parts.items()) or "none"),
        (
            "hints of personal data",
            ", ".join(f"{k} {h.count}" for k, h in report.personal_data.items() if h.count) or "none",
        ),
    )
    parts = tuple(report.parts)
    features = tuple(
        (
            labels.get(name, name),
            str(count.positives),
            str(count.negatives),
            str(count.blank),
            "–" if count.prevalence is None else f"{count.prevalence:.0%}",
            *(str(report.parts[part].positives.get(name, 0)) for part in parts),
        )
        for name, count in report.labels.items()
    )
    columns = ("Feature", "Present", "Absent", "Blank", "Prevalence", *(f"in {part}" for part in parts))
    tables: list[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]] = [(report.name, ("", "Value"), about)]
    return [*tables, ("Labels", columns, features)] if features else tables


@command.command(
    "split",
    epilog="\b\nExamples:\n  balin data split calls.csv --to split.json --split-seed 1\n"
    "  balin evaluate --data calls.csv --split split.json --part dev\n",
)
@click.argument("file")
@features_option
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE", help="The split file."
)
@click.option("--split-seed", type=int, default=0, show_default=True, metavar="N", help="Of the draw.")
@click.option(
    "--pool", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Share that demos may come from."
)
@click.option(
    "--dev", type=click.FloatRange(0, 1), default=0.35, show_default=True, help="Share that choices are made on."
)
@click.option(
    "--test", type=click.FloatRange(0, 1), default=0.40, show_default=True, help="Share that is locked until the end."
)
@click.option("--replace", is_flag=True, help="Replace a split file that is there.")
@json_option
def split_command(file: str, **options: Any) -> int:
    """Deal a data file's transcripts out to demo pool, dev and locked test.

    Transcripts of one group, and equal texts, stay together; the labels' shares are kept as equal as the groups allow.
    """
    from ..data.split import make_split, write_split
    from ..errors import InputError
    from ..eval.grids import Grid
    from ..signatures.features import load_feature_set

    target: Path = options["to"]
    if target.exists() and not options["replace"]:
        raise InputError(
            f"{target} exists; a new split under an old name would mix up dev and test. Use --replace, or another name"
        )
    feature_set = load_feature_set(options["features"])
    dataset = read_data(file, feature_set)
    fractions = {name: options[name] for name in ("pool", "dev", "test")}
    split = make_split(dataset, feature_set, seed=options["split_seed"], fractions=fractions)
    write_split(split, target)
    made = dataset.with_parts(split.part_of)
    rows = []
    for name, ids in split.parts.items():
        positives = {i: sum(t.labels.get(i) is True for t in made if t.part == name) for i in dataset.labelled}
        fewest = min(positives, key=lambda i: positives[i]) if positives else None
        rows.append((name, str(len(ids)), "–" if fewest is None else f"{positives[fewest]} ({fewest})"))
    show(Grid(f"Split of {file}", ("Part", "Transcripts", "Fewest positives"), tuple(rows)), aside=options["as_json"])
    note(f"split: {target}")
    if options["as_json"]:
        print_json({"file": str(target), "hash": split.hash, "parts": {k: len(v) for k, v in split.parts.items()}})
    return 0


@command.command("synth", epilog="\b\nExample:\n  balin data synth load.jsonl --n 100000\n")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@features_option
@click.option("--n", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Rows.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Equal seeds make equal rows.")
@json_option
def synth_command(file: Path, **options: Any) -> int:
    """Make rows for a LOAD TEST: strings of label words that no model should be judged on. Ends in .jsonl or .csv."""
    from ..data.synth import write_synthetic
    from ..errors import InputError
    from ..signatures.features import load_feature_set

    if file.exists():
        raise InputError(f"{file}: is there already, and rows for a load test do not replace it; name a new file")
    write_synthetic(file, options["n"], load_feature_set(options["features"]), options["seed"])
    note(f"{options['n']} rows for a load test: {file}")
    if options["as_json"]:
        print_json({"file": str(file), "n": options["n"], "seed": options["seed"], "purpose": "load test only"})
    return 0
