"""`balin demo`: a real small model reads real Persian text by both routes, in about twenty minutes, on this machine.

Then the whole way of a program: demos chosen, the best exported as a bundle, the bundle run on one call.
"""

from __future__ import annotations

import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import note, print_json, progress, show
from .options import json_option, out_option

if TYPE_CHECKING:
    from ..data.transcripts import Dataset
    from ..eval.job import Job, Outcome
    from ..signatures.features import FeatureSet

MODEL = "qwen2.5-coder:1.5b"
FORMATS = ("lines", "probe")
ROUTES = ("direct", "translated")
_NAMES = {"lines": "study's protocol", "probe": "same demos, format probe"}


@click.command("demo", epilog="\b\nExample:\n  balin demo --limit 6\n")
@click.option("--model", default=MODEL, show_default=True, metavar="M", help="An embedded model of the catalogue.")
@click.option("--limit", type=click.IntRange(min=2), default=10, show_default=True, metavar="N", help="Transcripts.")
@out_option
@json_option
def command(**options: Any) -> int:
    """Read ten transcripts of the shipped corpus by both routes, with the study's protocol and with the best format.

    Then choose the demos of a program, export it and run the bundle on one call. The numbers of ten transcripts are an
    illustration; the recorded table of the whole dev part and the study's published numbers stand beside them. Everything stays
    on this machine; a second run reuses the answers of the first.
    """
    from ..data.corpus import read_corpus
    from ..eval.page import write_page
    from ..eval.recorded import recorded_results
    from ..eval.tables import compare_table, feature_table, study_results
    from ..signatures.features import load_feature_set

    started = time.perf_counter()
    feature_set = load_feature_set("palliative13")
    dataset = read_corpus(feature_set)
    aside = options["as_json"]
    note(
        f"{options['limit']} transcripts of the shipped corpus (synthetic Persian calls), model {options['model']} inside this "
        "process: two routes, two ways to ask, then a program of its own. On two cores about twenty minutes, on busy ones more; a second run "
        "takes seconds."
    )
    outcomes = []
    for index, (route, answer_format) in enumerate((r, f) for r in ROUTES for f in FORMATS):
        note(f"\n[{index + 1}/5] {_title(route, answer_format)}")
        with progress() as advance:
            outcomes.append(_run(options, feature_set, dataset, route, answer_format, advance))
        show(_pooled(outcomes[-1]), aside=aside)
    made = _own_program(options, feature_set, dataset)
    show(f"\nAn illustration on {options['limit']} transcripts: too few for any conclusion.", aside=aside)
    show(feature_table(outcomes[1].scores, outcomes[1].run["labels"]), aside=aside)
    show(compare_table([(_title(o.run["route"], o.run["format"]), o.scores) for o in outcomes]), aside=aside)
    recorded = recorded_results()
    show(f"\nRecorded on {recorded['what']} ({recorded['date']}, {recorded['machine']}):", aside=aside)
    show(compare_table([(arm["name"], arm) for arm in recorded["arms"]]), aside=aside)
    show("\nPublished by the study, on its own 1,221 transcripts (not comparable with the corpus):", aside=aside)
    show(compare_table([(row.name, row.recorded) for row in study_results()]), aside=aside)
    remark = f"An illustration on {options['limit']} transcripts: too few for any conclusion."
    page = write_page([o.folder for o in outcomes], options["out"] / "demo.html", remark=remark)
    note(_next(options["out"], outcomes, time.perf_counter() - started))
    note(f"\nRead this first, in a browser (it needs no network): {page}")
    if aside:
        print_json({"illustration": True, "runs": [o.document() for o in outcomes], "page": str(page), **made})
    # A small model's unfinished translations are part of what the demo shows; only an arm without any answer has failed.
    return 1 if any(o.scores.n == 0 or not o.scores.pooled.count.n for o in outcomes) else 0


def _run(
    options: dict[str, Any], feature_set: FeatureSet, dataset: Any, route: str, answer_format: str, advance: Any
) -> Outcome:
    from ..engines.opening import EngineSettings
    from ..eval.arm import ArmSettings
    from ..eval.job import Job, run_evaluation

    arm = ArmSettings(model=options["model"], program="study", route=route, format=answer_format)  # type: ignore[arg-type]
    job: Job = Job(
        arm=arm,
        dataset=dataset,
        feature_set=feature_set,
        engines=EngineSettings(choice="embedded", translating=4),
        out=options["out"],
        part="dev",
        limit=options["limit"],
        name=f"demo-{route}-{answer_format}",
        command=("balin", "demo", "--limit", str(options["limit"])),
    )
    return run_evaluation(job, say=note, advance=advance)


def _own_program(options: dict[str, Any], feature_set: FeatureSet, dataset: Dataset) -> dict[str, Any]:
    """Choose the demos of a program, export the best and run the bundle on one call; what `--json` tells of it."""
    from ..deployment.batch import Batch, run_batch
    from ..deployment.bundle import read_bundle, write_bundle
    from ..deployment.export import export_run
    from ..engines.opening import EngineSettings
    from ..optimizers.optimization import optimize
    from ..optimizers.plan import Plan

    out, aside = options["out"], options["as_json"]
    calls = dataset.part("dev").transcripts[: options["limit"]]
    kept = (*dataset.part("pool").transcripts, *calls)
    plan = Plan(
        dataset=replace(dataset, name="demo", transcripts=kept),
        feature_set=feature_set,
        models=(options["model"],),
        routes=("translated",),
        english="given",
        strategies=("coverage",),
        candidates=1,
        demos=4,
        limit=None,
        thresholds=False,
        engines=EngineSettings(choice="embedded"),
        out=out,
        command=("balin", "demo", "--limit", str(options["limit"])),
    )
    note(
        f"\n[5/5] a program of its own: three candidates on {len(calls)} transcripts in their reference English (what a perfect "
        "translator would give), the best exported and run"
    )
    with progress() as advance:
        found = optimize(plan, say=note, advance=advance)
    (result,) = found.results
    show(result.table(plan.objective), aside=aside)
    for sentence in result.verdict.sentences(plan.objective, len(result.trials)):
        note(sentence)
    bundle = out / "demo.balin"
    write_bundle(bundle, export_run(result.outcome.folder, feature_set, allow_demos=False, modelfile=False).files)
    file, answers = out / "demo-call.csv", out / "demo-answers.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(("id", "medical_history", "medical_history_en"))
        rows.writerow((calls[0].id, calls[0].text, calls[0].english))
    with progress() as advance:
        done = run_batch(Batch(bundle=read_bundle(bundle), file=file, out=answers, say=note, advance=advance))
    present = [i for i, answer in done.read[0].answers.items() if answer.value]
    note(f"the bundle {bundle} read call {calls[0].id}: {', '.join(present) or 'no feature is present'} ({answers})")
    return {"optimized": found.document, "bundle": str(bundle), "extracted": done.document()}


def _title(route: str, answer_format: str) -> str:
    return f"{'Persian direct' if route == 'direct' else 'translated by the model'}, {_NAMES[answer_format]}"


def _pooled(outcome: Outcome) -> str:
    count, cost = outcome.scores.pooled.count, outcome.run["cost"]
    translation = cost["translation_seconds_per_transcript"]
    failed = ", ".join(f"{kind} {n}" for kind, n in outcome.run["failures"].items())
    seconds = f"{cost['seconds_per_transcript']:.1f} s a transcript" if cost["seconds_per_transcript"] else "no answers"
    return (
        f"of {count.n} answers: {count.tp} right positives, {count.fp} false alarms, {count.fn} overlooked, {count.tn} right "
        f"negatives, {count.missing} missing, {count.errors} errors; {seconds}"
        + (f", and {translation:.1f} s to translate it" if translation else "")
        + (f" ({cost['stored']} from the store)" if cost["stored"] else "")
        + (f"; failed calls: {failed}, left out and counted" if failed else "")
    )


def _next(out: Path, outcomes: list[Outcome], seconds: float) -> str:
    folder = outcomes[1].folder
    return (
        f"\nDone in {seconds / 60:.1f} minutes. What now:\n"
        f"  balin report {folder}        the tables of one run again\n"
        f"  balin extract {out / 'demo.balin'} calls.csv --out answers.csv      that bundle on your calls (in English: medical_history_en)\n"
        "  balin evaluate --format probe            the whole dev part\n"
        "  balin data check calls.csv               your own data: columns id, medical_history, com_* or plain ids\n"
        "  docs/getting-started.md                  the next steps, and how to use Ollama"
    )
