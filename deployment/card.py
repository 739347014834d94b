"""The model card: what a bundle is, how well it did and on what, and what it must not be taken for. In Markdown, for people."""

from __future__ import annotations

from collections.abc import Mapping

from ..data.corpus import FILE
from ..engines.catalogue import load_catalogue
from ..eval.grids import Grid, escape
from ..eval.scores import Scores
from ..eval.tables import dev_table, feature_table, summary_table, warnings_of
from .manifest import ExtractStep, Manifest, ModelEntry


def model_card(manifest: Manifest, step: ExtractStep, scores: Scores, labels: Mapping[str, str]) -> str:
    """The card.

    Args:
        manifest: The bundle's, but for the files' hashes.
        step: How it extracts.
        scores: The run's.
        labels: Feature id to the name shown.
    """
    data = manifest.data
    english = "given" if manifest.reads == "english" else None
    beside = dev_table(manifest.model_dump(mode="json"), scores)
    known = {"english": english, "warnings": _warnings(manifest)}
    sections = [
        f"# {escape(manifest.feature_set.title)}",
        f"A small language model's yes/no answers to {len(manifest.feature_set.features)} questions about "
        f"{escape(manifest.feature_set.subject.get('en', 'a transcript'))}, exported by Balin {manifest.balin} on "
        f"{manifest.created[:10]} from the run `{manifest.run}`.",
        "**These are a model's answers.** They serve research and preparation; nobody should be treated by them unread.",
        "## What it is",
        _facts(manifest, step).markdown(),
        "## How well it does",
        f"Measured on the part {data.part!r} of {escape(data.name)}: {data.n} transcripts. A missing answer counts as False. "
        "Intervals are 95 %. On other data, with other people and another way to write, it may do worse: score some of your own.",
        *(["\n".join(f"- {escape(w)}" for w in manifest.warnings)] if manifest.warnings else []),
        summary_table(scores).markdown(),
        *([f"### {beside.title}", beside.markdown()] if beside is not None else []),
        "### By feature",
        feature_table(scores, labels).markdown(),
        "## What to know",
        "\n".join(f"- {escape(w)}" for w in warnings_of(known, scores, labels)) or "Nothing beyond the tables.",
        "## How to run it",
        "```\nbalin extract BUNDLE calls.csv --out answers.csv\n```",
        "Every answer has a state: true, false, missing (the model gave none) or error (the call failed).",
    ]
    return "\n\n".join(sections) + "\n"


def _facts(manifest: Manifest, step: ExtractStep) -> Grid:
    data, demos = manifest.data, manifest.demos
    invented = sum(d.source == "corpus" for d in demos)
    origin = f" ({invented} invented ones of Balin's corpus, {len(demos) - invented} of another file)" if demos else ""
    both = " in its two steps" if demos and "translate" in manifest.models else ""
    reads = {"text": "the source text", "english": "an English text that comes with the data"}[manifest.reads]
    first = " and translates it into English" if manifest.route == "translated" and manifest.reads == "text" else ""
    count = f"{len(demos)} worked examples"
    if step.index is not None:
        chosen = f"chosen for each text by the embedder {step.index.embedder.name} {step.index.embedder.version}"
        count = f"up to {step.index.count} of {len(demos)} worked examples, {chosen}"
    rows = [
        ("Reads", f"{reads}{first} (source language {manifest.feature_set.source_language})"),
        *((f"Model, {kind}", _model(model)) for kind, model in manifest.models.items()),
        ("Answers written as", step.format),
        *(
            (("Votes", f"the majority of {step.votes.n} answers at temperature {step.votes.temperature:g}"),)
            if step.votes
            else ()
        ),
        ("Prompt", f"in {step.language}, {count}{both}{origin}"),
        ("Thresholds on P(true)", ", ".join(f"{i} {t:g}" for i, t in step.thresholds.items()) or "none fitted"),
        ("Program", f"{manifest.program.name}, {manifest.program.hash}"),
        ("Feature set", f"{manifest.feature_set.id}, {manifest.feature_set_hash}"),
        ("Data", f"{data.name}, {data.sha256}"),
        ("Chosen among", _chosen(manifest)),
    ]
    return Grid("", ("", ""), tuple(rows), texts=2)


def _chosen(manifest: Manifest) -> str:
    if manifest.tried is None:
        return "not known"
    return f"{manifest.tried} configurations ({', '.join(c.by for c in manifest.chosen)})"


def _model(model: ModelEntry) -> str:
    entry = load_catalogue().find(model.name)
    licence = entry.licence if entry else "not known to Balin's catalogue"
    return (
        f"{model.name}, {model.digest}, {model.engine} {model.engine_version}, context {model.num_ctx}, temperature "
        f"{model.temperature:g}; licence: {licence}"
    )


def _warnings(manifest: Manifest) -> list[str]:
    data = manifest.data
    found = []
    if data.name in ("corpus", FILE):
        found.append("The data are Balin's corpus of invented calls: these figures are no evidence about patients.")
    if data.part != "test":
        found.append(f"The part {data.part!r} may have served to choose this program; such scores flatter it.")
    elif (data.test_scored or 0) > 1:
        found.append(
            f"The test part has been scored {data.test_scored} times; each further look makes its figures less honest."
        )
    if any(d.source == "allowed" for d in manifest.demos):
        found.append(
            "It holds texts of the data it was made with as worked examples: whoever has the bundle can read them."
        )
    return found
