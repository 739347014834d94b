"""Scores for people: by feature, in summary, arms side by side, and the Markdown report of a run.

The three tables are `Grid`s, which the terminal shows (`console.print(feature_table(…))`) and Markdown holds
(`feature_table(…).markdown()`). Nothing here holds text of a transcript.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from .grids import UNDEFINED, Grid, escape, figure, figure_with_interval
from .metrics import METRICS, Policy
from .scores import SCARCE, Count, Interval, Measured, Scores, Summary

Labels = Mapping[str, str]

STUDY_TRANSCRIPTS = 1221
STUDY_METRICS = ("macro_f1", "mcc", "sensitivity", "specificity")
METRIC_NAMES: Mapping[str, str] = {
    "macro_f1": "Macro-F1",
    "mcc": "MCC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "positive_f1": "F1 of the positive class",
    "prediction_ratio": "Prediction ratio",
    "auc": "AUC",
}
_MISSING_AS = {"false": "missing as False", "wrong": "missing as wrong"}


class StudyResult(NamedTuple):
    """One published row of the study: medians over its 13 features.

    Attributes:
        model: The model, as the study names it.
        language: Language that the model read: "en" (translated by Aya-expanse-8B) or "fa".
        recorded: What `compare_table` takes: `n` and `scores`.
    """

    model: str
    language: str
    recorded: dict[str, Any]

    @property
    def name(self) -> str:
        """The row's name beside other arms."""
        return f"{self.model}, {self.language} (published)"


def study_results() -> list[StudyResult]:
    """The study's published medians, best first."""
    text = resources.files(__package__).joinpath("study_results.csv").read_text(encoding="utf-8")
    return [
        StudyResult(
            model=row["model"],
            language=row["input_language"],
            recorded={
                "n": STUDY_TRANSCRIPTS,
                "scores": {m: {"median": float(row[f"median_{m}"])} for m in STUDY_METRICS},
            },
        )
        for row in csv.DictReader(text.splitlines())
    ]


def feature_table(scores: Scores, labels: Labels, *, wide: bool = False) -> Grid:
    """One row a feature, and one of all features' answers thrown together.

    Args:
        scores: The scores.
        labels: Feature id to the name shown; the id where there is none.
        wide: With confusion counts and the intervals of sensitivity and specificity; otherwise within 100 columns.
    """
    items = [*scores.features.items(), ("", scores.pooled)]
    errors = any(item.count.errors for _, item in items)
    areas = any(item.values["auc"] is not None for _, item in items)
    counts = ("TP", "FP", "FN", "TN") if wide else ()
    rows = []
    for name, item in items:
        count = item.count
        rows.append(
            (
                labels.get(name, name) if name else "All answers pooled",
                count.of_n,
                *(str(v) for v in (count.tp, count.fp, count.fn, count.tn) if wide),
                _cell(item, "sensitivity", wide),
                _cell(item, "specificity", wide),
                _cell(item, "precision"),
                _cell(item, "macro_f1", wide),
                _cell(item, "mcc", True),
                *([_cell(item, "auc")] if areas else []),
                str(count.missing),
                *([str(count.errors)] if errors else []),
            )
        )
    columns = ("Feature", "Pos./n", *counts, "Sens.", "Spec.", "Prec.", "Macro-F1", "MCC [95 %]")
    return Grid(
        title=f"By feature, {_MISSING_AS[scores.policy]}",
        columns=(*columns, *(["AUC"] if areas else []), "Miss.", *(["Err."] if errors else [])),
        rows=tuple(rows),
        notes=(*_undefined_note(scores, labels), *scarce_note(scores)),
    )


def summary_table(scores: Scores) -> Grid:
    """One row a metric: mean and median over the defined features, under both missing policies."""
    own = scores.policy
    other: Policy = "false" if own == "wrong" else "wrong"
    mine, theirs = scores.summaries(own), scores.summaries(other)
    rows = tuple(
        (
            METRIC_NAMES[name],
            figure_with_interval(mine[name].mean, mine[name].mean_interval, 3),
            figure_with_interval(mine[name].median, mine[name].median_interval, 3),
            figure(theirs[name].mean, 3),
            figure(theirs[name].median, 3),
        )
        for name in METRICS
        if name != "auc" or mine["auc"].mean is not None
    )
    return Grid(
        title=f"Over {_of_features(scores)}, {_plural(scores.n, 'transcript')}",
        columns=(
            "Metric",
            f"Mean [95 %]\n{_MISSING_AS[own]}",
            f"Median [95 %]\n{_MISSING_AS[own]}",
            f"Mean\n{_MISSING_AS[other]}",
            f"Median\n{_MISSING_AS[other]}",
        ),
        rows=rows,
    )


def compare_table(arms: Iterable[tuple[str, Scores | Mapping[str, Any]]]) -> Grid:
    """Arms side by side, a missing answer counting as False in all of them.

    Args:
        arms: Name and scores of each. Recorded scores are a dictionary with `n` and `scores.<metric>.{mean,median}`, as
            the last line of `balin evaluate --json` holds and `study_results` gives; what it lacks is shown as "–".
    """
    rows = []
    for name, arm in arms:
        n, scores = (arm.n, arm.summary("false")) if isinstance(arm, Scores) else (arm.get("n"), arm.get("scores"))
        interval = _at(scores, "mcc", "median_interval")
        rows.append(
            (
                name,
                UNDEFINED if n is None else str(n),
                figure(_at(scores, "macro_f1", "median"), 3),
                figure_with_interval(_at(scores, "mcc", "median"), Interval(**interval) if interval else None, 3),
                figure(_at(scores, "sensitivity", "median"), 3),
                figure(_at(scores, "specificity", "median"), 3),
                figure(_at(scores, "macro_f1", "mean"), 3),
                figure(_at(scores, "mcc", "mean"), 3),
            )
        )
    columns = ("Arm", "n", "Macro-F1\nmedian", "MCC median\n[95 %]", "Sens.\nmedian", "Spec.\nmedian")
    return Grid("Arms, missing as False", (*columns, "Macro-F1\nmean", "MCC\nmean"), tuple(rows))


def tried_of(run: Mapping[str, Any]) -> int | None:
    """Configurations among which a run's program was chosen by optimizations and searches; None where that is not known."""
    counts = [int(choice["tried"]) for choice in _at(run, "chosen") or ()]
    return sum(counts) if counts else None


def dev_table(run: Mapping[str, Any], scores: Scores) -> Grid | None:
    """The program's scores on dev beside those of another part; None where there are none on dev."""
    dev, part = _at(run, "dev"), _text(_at(run, "data", "part"))
    if not dev:
        return None
    mine = scores.summaries("false")
    rows = []
    for name in METRICS:
        before = Summary.from_dict(dev["scores"][name])
        if name != "auc" or mine[name].mean is not None:
            told = (figure_with_interval(s.mean, s.mean_interval, 3) for s in (before, mine[name]))
            rows.append((METRIC_NAMES[name], *told))
    same = dev["sha256"] == _at(run, "data", "sha256")
    data = "" if same else f" of {dev['data']}, which is another file"
    if same and dev["split_sha256"] != _at(run, "data", "split_sha256"):
        data = " of another split, so transcripts scored here may have helped to choose the program"
    tried = tried_of(run)
    notes = [
        f"On dev{data}: the run {dev['run']}.",
        f"Configurations tried: {'not known' if tried is None else tried}. Scores on dev helped to choose the program, so they flatter it.",
        *(f"Of the scores on dev: {warning}" for warning in dev["warnings"]),
    ]
    for choice in _at(run, "chosen") or ():
        if choice["score"] is not None:
            fold = ", decided out of fold" if choice["out_of_fold"] else ""
            notes.append(
                f"Chosen by {choice['by']}: mean {METRIC_NAMES.get(choice['objective'], choice['objective'])} "
                f"{figure(choice['score'], 3)} on {_plural(choice['n'], 'transcript')} of dev{fold}."
            )
    columns = ("Metric", f"dev, n {dev['n']}\nMean [95 %]", f"{part}, n {scores.n}\nMean [95 %]")
    return Grid(f"Dev beside {part}, missing as False", columns, tuple(rows), tuple(notes))


def report_markdown(run: Mapping[str, Any], scores: Scores, labels: Labels) -> str:
    """The report of a run.

    Args:
        run: What `run.json` holds. Keys that are absent are shown as "–". Beside the keys of every run,
            `data.test_scored` says how often the test part has been scored.
        scores: The run's scores.
        labels: Feature id to the name shown.

    Returns:
        Markdown, ending with a line break.
    """
    name, beside = _text(_at(run, "name")), dev_table(run, scores)
    parts = [
        f"# Run {escape(name)}",
        _headline(run, scores),
        "## What was run\n\n" + _setting_grid(run).markdown(),
        "## Summary\n\n" + summary_table(scores).markdown(),
        *([f"## {beside.title}\n\n{beside.markdown()}"] if beside else []),
        "## By feature\n\n"
        "Pos./n: gold positives among the scored answers. "
        f"Counts and figures with {_MISSING_AS[scores.policy]}. {_interval_methods(scores)}\n\n"
        + feature_table(scores, labels, wide=True).markdown(),
        "## Answers\n\n" + _answers(scores),
        "## Cost\n\n" + _cost_grid(run).markdown(),
        "## Warnings\n\n" + ("\n".join(f"- {escape(w)}" for w in warnings_of(run, scores, labels)) or "None."),
        "## How to reproduce\n\n" + _reproduction(run),
    ]
    return "\n\n".join(parts) + "\n"


def warnings_of(run: Mapping[str, Any], scores: Scores, labels: Labels) -> list[str]:
    """What a reader must know before trusting the numbers: the run's own warnings, then those that the scores give."""
    found = [str(item) for item in _at(run, "warnings") or ()]
    if _at(run, "english") == "given":
        found.append("The English text is the data file's own: these numbers are no evidence about translating.")
    if scores.too_many_errors:
        found.append(
            f"Calls failed for {scores.transcripts_with_error} of {_plural(scores.n, 'transcript')} "
            f"({figure(100 * scores.error_share, 1)} %, over the limit of 2 %): what is left may not be a fair sample."
        )
    if scores.scarce:
        named = ", ".join(_scarce(labels.get(name, name), scores.features[name].count) for name in scores.scarce)
        found.append(f"Interval unreliable, under {SCARCE} gold labels of one class: {named}.")
    return [*found, *_undefined_note(scores, labels)]


def _headline(run: Mapping[str, Any], scores: Scores) -> str:
    f1, mcc = scores.summaries()["macro_f1"], scores.summaries()["mcc"]
    part = _at(run, "data", "part")
    where = _plural(scores.n, "transcript") + (f" ({escape(str(part))} part)" if part else "")
    policy = "False, as in the study" if scores.policy == "false" else "the wrong class"
    return (
        f"**Median macro-F1 {figure_with_interval(f1.median, f1.median_interval, 3)} and median MCC "
        f"{figure_with_interval(mcc.median, mcc.median_interval, 3)}** over {_of_features(scores)}, on {where}. "
        f"In brackets: 95 % intervals. A missing answer counts as {policy}; {_plural(scores.answers['missing'], 'answer')} "
        f"missing; calls failed for {_plural(scores.transcripts_with_error, 'transcript')}."
    )


def _setting_grid(run: Mapping[str, Any]) -> Grid:
    english = {"model": "made by the translator", "given": "the data file's own"}.get(
        str(_at(run, "english")), UNDEFINED
    )
    looks = _at(run, "data", "test_scored")
    translating = _at(run, "translator", "program")
    rows = [
        ("Started", _text(_at(run, "started"))),
        ("Finished", _text(_at(run, "finished"))),
        ("Model", _model(_at(run, "model"))),
        ("Route", _text(_at(run, "route"))),
        ("English text", english),
        ("Translator", _model(_at(run, "translator"))),
        *([("Translator's program", _translator_program(translating))] if translating else []),
        ("Program", f"{_text(_at(run, 'program', 'name'))}, hash {_text(_at(run, 'program', 'hash'))}"),
        *([("Bundle", _text(_at(run, "bundle")))] if _at(run, "bundle") else []),
        ("Answer format", _text(_at(run, "format"))),
        ("Demos", _demos(_at(run, "demos"))),
        ("Data", f"{_text(_at(run, 'data', 'name'))}, sha256 {_text(_at(run, 'data', 'sha256'))}"),
        ("Part", f"{_text(_at(run, 'data', 'part'))}, {_text(_at(run, 'data', 'n'))} transcripts"),
        ("Split", _text(_at(run, "data", "split"))),
        *([("Test part scored so far", _text(looks))] if looks is not None else []),
        *([("Chosen among", f"{tried_of(run)} configurations")] if tried_of(run) is not None else []),
        ("Seeds", _text(_at(run, "seeds"))),
    ]
    return Grid("What was run", ("Setting", "Value"), tuple(rows), texts=2)


def _translator_program(program: Any) -> str:
    name = _at(program, "name")
    return f"{_text(name)}, {_text(_at(program, 'demos'))} demos, hash {_text(_at(program, 'hash'))}"


def _cost_grid(run: Mapping[str, Any]) -> Grid:
    cost = _at(run, "cost")
    rows = (
        ("Extraction, seconds from request to answer", figure(_at(cost, "seconds_per_transcript"), 2)),
        ("Extraction, seconds of the engine's own work", figure(_at(cost, "engine_seconds_per_transcript"), 2)),
        ("Translation, seconds", figure(_at(cost, "translation_seconds_per_transcript"), 2)),
        ("Prompt tokens", figure(_at(cost, "tokens", "prompt"), 1)),
        ("of these cached", figure(_at(cost, "tokens", "cached"), 1)),
        ("Generated tokens", figure(_at(cost, "tokens", "generated"), 1)),
    )
    return Grid("Cost", ("Cost", "Per transcript"), rows)


def _answers(scores: Scores) -> str:
    total = sum(scores.answers.values())
    grid = Grid(
        "Answers",
        ("Answer", "Count", "Share, %"),
        tuple((k, str(v), figure(100 * v / total if total else None, 1)) for k, v in scores.answers.items()),
    )
    pooled = scores.pooled
    count, mcc = pooled.count, figure_with_interval(pooled.values["mcc"], pooled.intervals["mcc"])
    return (
        f"{grid.markdown()}\n\nOf all transcripts and features, labelled or not. Scored and pooled over the features: "
        f"{count.tp} true positives, {count.fp} false positives, {count.fn} false negatives, {count.tn} true negatives "
        f"({count.missing} missing among them); {count.errors} errors not scored; MCC {mcc}."
    )


def _reproduction(run: Mapping[str, Any]) -> str:
    return (
        f"```\n{_text(_at(run, 'command'))}\n```\n\n"
        "The same numbers need the same data (sha256), program (hash), model (digest), context and seeds as above. "
        "The intervals are drawn anew from the seed and come out the same."
    )


def _interval_methods(scores: Scores) -> str:
    wilson = "" if scores.groups_repeat else "Wilson's for sensitivity and specificity by feature"
    boot = f"bootstrap by group ({scores.resamples} resamples, seed {scores.seed})" if scores.resamples else ""
    methods = "; ".join(method for method in (boot, wilson) if method)
    return f"Intervals: 95 %, {methods}." if methods else "No intervals were asked for."


def _undefined_note(scores: Scores, labels: Labels) -> tuple[str, ...]:
    if not scores.undefined:
        return ()
    named = ", ".join(labels.get(name, name) for name in scores.undefined)
    return (f"Undefined and left out of the summary, the scored gold labels being of one class: {named}.",)


def scarce_note(scores: Scores) -> tuple[str, ...]:
    """What † means, where it is used."""
    return (f"† Interval unreliable: under {SCARCE} gold labels of one class.",) if scores.scarce else ()


def _scarce(label: str, count: Count) -> str:
    return f"{label} ({count.positives} positive, {count.n - count.positives} negative)"


def _cell(item: Measured, metric: str, interval: bool = False) -> str:
    return figure_with_interval(item.values[metric], item.intervals[metric] if interval else None)


def _of_features(scores: Scores) -> str:
    total, left_out = len(scores.features), len(scores.undefined)
    return f"{total - left_out} of {total} features" if left_out else _plural(total, "feature")


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _model(model: Mapping[str, Any] | None) -> str:
    if not model:
        return UNDEFINED
    engine = " ".join(str(model[key]) for key in ("engine", "engine_version") if model.get(key))
    return (
        f"{_text(model.get('name'))}, digest {_text(model.get('digest'))}, engine {_text(engine)}, "
        f"context {_text(model.get('num_ctx'))}"
    )


def _demos(demos: Mapping[str, Any] | None) -> str:
    if not demos:
        return UNDEFINED
    ids = demos.get("ids")
    return f"{_text(demos.get('n'))} from {_text(demos.get('from'))}" + (f": {_text(ids)}" if ids else "")


def _text(value: object) -> str:
    """A value of `run.json` for people: "–" for nothing, lists and dictionaries on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or UNDEFINED
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(item) for item in value) or UNDEFINED
    return UNDEFINED if value is None or value == "" else str(value)


def _at(value: Any, *keys: str) -> Any:
    """The value under these keys, one below the other; None where any of them is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
