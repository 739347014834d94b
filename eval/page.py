"""`report.html`: one file that needs nothing else, for reading, printing and sending.

It holds no text of a transcript unless `texts` are given. Whatever comes from runs is escaped, and a content security policy
in the page lets it load nothing and run no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..data.files import write_private
from ..errors import InputError
from .agreement_tables import SecondLabels, agreement_grid
from .comparison import Comparison, Pair, compare_runs
from .comparison_tables import comparison_grids
from .disagreements import disagreements
from .drawing import Drawing, colour
from .figures import draw_all
from .grids import UNDEFINED, Grid, figure_with_interval
from .runs import read_predictions, read_run
from .search_figures import draw_search
from .search_record import SearchRecord, tried_grid
from .shown import Selection, ShownArm, select
from .tables import (
    StudyResult,
    compare_table,
    dev_table,
    feature_table,
    scarce_note,
    study_results,
    summary_table,
    tried_of,
    warnings_of,
)

STUDY_SET = "palliative13"
_POLICIES = {"false": "counts as False, as in the study", "wrong": "counts as the wrong class"}


def render_page(
    selection: Selection,
    comparison: Comparison | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    drawings: Sequence[Drawing] | None = None,
    search: SearchRecord | None = None,
    second_labels: SecondLabels | None = None,
    remark: str | None = None,
) -> str:
    """The page.

    Args:
        selection: The arms.
        comparison: The comparison of these arms, where there are several.
        texts: Transcript texts by id, to be shown beside the disagreements; by default none are in the page.
        drawings: The figures, where they are drawn already, those of `search` among them.
        search: A search to be told of.
        second_labels: A second person's labels, to be set beside the arms' agreement with the labels.
        remark: A sentence that stands below the headline.

    Returns:
        A whole HTML document.
    """
    published = published_for(selection)
    if drawings is None:
        drawings = [*draw_all(selection, published, comparison), *(draw_search(search) if search else ())]
    script = _resource("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = disagreements(selection, texts)
    page = environment.from_string(_resource("page.html.j2")).render(
        title=_title(selection),
        headline=headline(selection, comparison),
        remark=remark,
        translation=[] if comparison is None else [_translating(pair) for pair in comparison.translation],
        selection=selection,
        policy=_POLICIES[selection.arms[0].scores.policy],
        warnings=list(_warnings(selection, comparison)),
        overall=_overall(selection, published),
        by_feature=_by_feature(selection),
        comparisons=[] if comparison is None else comparison_grids(comparison, wide=True)[1:-2],
        agreement=agreement_grid(selection, second_labels),
        answers=_answers(selection),
        details=[_details(selection, arm) for arm in selection.arms],
        drawings=[(drawing, Markup(drawing.inline())) for drawing in drawings],
        search=search,
        tried=tried_grid(search) if search else None,
        settings=_settings(selection),
        commands=[(arm, str(arm.run.get("command") or UNDEFINED)) for arm in selection.arms],
        disagreements=found,
        data=Markup(_json(found.document())),
        colours=[colour(i) for i in range(len(selection.arms))],
        style=Markup(_resource("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page + "\n"


def _title(selection: Selection) -> str:
    arms = selection.arms
    return "Balin: " + ("; ".join(arm.name for arm in arms) if len(arms) < 3 else f"{len(arms)} arms")


def write_page(folders: Sequence[Path], path: Path, *, remark: str | None = None) -> Path:
    """The page of one run or several, as a file that only its owner can read.

    Args:
        folders: Run folders; several are compared with the first. Those without any answer are left out and named.
        path: The file; its folder is made.
        remark: A sentence that stands below the headline.

    Returns:
        `path`, in full.

    Raises:
        InputError: The runs cannot be compared, or none has an answer.
        RunError: A folder holds no run.
    """
    runs = [(read_run(folder), read_predictions(folder)) for folder in folders]
    answered = [(run, table) for run, table in runs if table.scored.any()]
    if not answered:
        raise InputError("no run has an answer that could be shown")
    silent = [str(run.get("name")) for run, table in runs if not table.scored.any()]
    said = [remark] if remark else []
    said += [f"Left out, every call having failed: {', '.join(silent)}."] if silent else []
    comparison = compare_runs(answered) if len(answered) > 1 else None
    selection = comparison.selection if comparison else select(answered)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, render_page(selection, comparison, remark=" ".join(said) or None).encode())
    return path.resolve()


def published_for(selection: Selection) -> list[StudyResult]:
    """The study's published results, if every arm answered the study's questions."""
    asked = {(arm.run.get("feature_set") or {}).get("id") for arm in selection.arms}
    return study_results() if asked == {STUDY_SET} else []


def headline(selection: Selection, comparison: Comparison | None = None) -> str:
    """The result in one sentence, with its interval."""
    arms = selection.arms
    n, defined = arms[0].scores.n, len(selection.features) - len(arms[0].scores.undefined)
    where = f"over {defined} feature{'' if defined == 1 else 's'}, on {n} transcript{'' if n == 1 else 's'}"
    ranked = sorted(
        (arm for arm in arms if arm.scores.summaries()["mcc"].median is not None),
        key=lambda arm: -(arm.scores.summaries()["mcc"].median or 0),
    )
    if not ranked:
        return f"No score is defined on {n} transcript{'' if n == 1 else 's'}: the gold labels of every feature are of one class."
    best = ranked[0]
    if len(arms) == 1:
        f1 = best.scores.summaries()["macro_f1"]
        told = figure_with_interval(f1.median, f1.median_interval, 3)
        return _typeset(f"{best.name}: median MCC {_mcc(best)} and median macro-F1 {told} {where}.")
    second = f"; next is {ranked[1].title} with {_mcc(ranked[1])}" if len(ranked) > 1 else ""
    if len(ranked) > 1 and comparison is not None:
        second += _against_baseline(comparison, best, ranked[1])
    return _typeset(f"Of {len(arms)} arms, {best.title} has the highest median MCC, {_mcc(best)} {where}{second}.")


def _translating(pair: Pair) -> str:
    """The study's question in a sentence, for one model."""
    mcc, model = pair.result.mean["mcc"], (pair.second.run.get("model") or {}).get("name", pair.second.letter)
    told = figure_with_interval(mcc.difference, mcc.interval, 3)
    clear = mcc.interval is not None and not mcc.interval.low <= 0 <= mcc.interval.high
    verdict = "" if clear else " These data do not tell the two routes apart."
    beside = f" The two also differ in {', '.join(pair.beside)}." if pair.beside else ""
    return _typeset(
        f"Translating first ({pair.letters}) changes the mean MCC of {model} by {told} against reading the source text directly."
        + verdict
        + beside
    )


def _against_baseline(comparison: Comparison, best: ShownArm, second: ShownArm) -> str:
    """The paired difference from the baseline that the headline needs."""
    other = second if best.letter == comparison.arms[0].letter else best
    pair = next(pair for pair in comparison.against_baseline if pair.second.letter == other.letter)
    found = pair.result.median["mcc"]
    told = figure_with_interval(found.difference, found.interval, 3)
    unclear = found.interval is None or found.interval.low <= 0 <= found.interval.high
    doubt = "; these data do not tell the two apart" if unclear else ""
    return f" (paired difference {pair.letters}: {told}{doubt})"


def _typeset(sentence: str) -> str:
    """With minus signs before numbers; hyphens in names stay."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", sentence)


def _mcc(arm: ShownArm) -> str:
    item = arm.scores.summaries()["mcc"]
    return figure_with_interval(item.median, item.median_interval, 3)


def _warnings(selection: Selection, comparison: Comparison | None) -> Iterable[str]:
    """Each once, with the letters of the arms that it concerns."""
    if comparison is None:
        yield from selection.notes
    else:
        yield from (*comparison.warnings, *comparison.notes)
    if len(selection.arms) > 2:
        yield (
            f"The best of {len(selection.arms)} arms was found on these transcripts, so its number is somewhat too good; "
            "confirm it on transcripts that chose nothing."
        )
    said: dict[str, list[str]] = {}
    for arm in selection.arms:
        for warning in warnings_of(arm.run, arm.scores, selection.labels):
            said.setdefault(warning, []).append(arm.letter)
    for warning, letters in said.items():
        everywhere = len(letters) == len(selection.arms)
        yield warning if everywhere else f"{', '.join(letters)}: {warning}"


def _overall(selection: Selection, published: Sequence[StudyResult]) -> Grid:
    grid = compare_table(
        [*((arm.title, arm.scores) for arm in selection.arms), *((row.name, row.recorded) for row in published)]
    )
    policy = selection.arms[0].scores.policy
    notes = ["Published rows: the study's own 1,221 transcripts; not comparable with other data."] if published else []
    if policy != "false":
        notes.append("Here a missing answer counts as False, whatever the figures and the other tables count it as.")
    return Grid(grid.title, grid.columns, grid.rows, tuple(notes))


def _by_feature(selection: Selection) -> Grid:
    first = selection.arms[0].scores
    rows = []
    for name in selection.features:
        count = first.features[name].count
        items = [arm.scores.features[name] for arm in selection.arms]
        mcc = (figure_with_interval(item.values["mcc"], item.intervals["mcc"]) for item in items)
        rows.append((selection.label(name), count.of_n, *mcc))
    columns = ("Feature", "Pos./n", *(arm.title for arm in selection.arms))
    return Grid("MCC by feature [95 %]", columns, tuple(rows), scarce_note(first))


def _details(selection: Selection, arm: ShownArm) -> tuple[ShownArm, list[Grid], Grid]:
    """An arm in full: its summaries, and its features."""
    summaries = [g for g in (summary_table(arm.scores), dev_table(arm.run, arm.scores)) if g is not None]
    return arm, summaries, feature_table(arm.scores, selection.labels, wide=True)


def _answers(selection: Selection) -> Grid:
    rows = []
    for arm in selection.arms:
        answers, tokens = arm.scores.answers, (arm.run.get("cost") or {}).get("tokens") or {}
        rows.append(
            (
                arm.title,
                *(str(answers.get(state, 0)) for state in ("true", "false", "missing", "error")),
                UNDEFINED if arm.seconds is None else f"{arm.seconds:.2f}",
                *(UNDEFINED if tokens.get(k) is None else f"{tokens[k]:.0f}" for k in ("prompt", "generated")),
            )
        )
    columns = ("Arm", "True", "False", "Missing", "Error", "Seconds", "Prompt tokens", "Generated tokens")
    return Grid("Answers and cost for a transcript", columns, tuple(rows))


def _settings(selection: Selection) -> list[tuple[str, Grid]]:
    """What the runs were, a row a setting: those in which the arms differ, and those that they share."""
    left_out = ("labels", "command", "chosen", "dev")
    flat = [
        dict(_flat({k: v for k, v in arm.run.items() if k not in left_out} | {"tried": tried_of(arm.run)}))
        for arm in selection.arms
    ]
    names = list(dict.fromkeys(name for run in flat for name in run))
    rows = [(name, *(run.get(name, UNDEFINED) for run in flat)) for name in names]
    alike = tuple(row[:2] for row in rows if len(set(row[1:])) == 1)
    differ = tuple(row for row in rows if len(set(row[1:])) > 1)
    title = "Settings" if len(flat) == 1 else "Settings that all arms share"
    grids = [("settings-shared", Grid(title, ("Setting", "Value"), alike, texts=2))]
    if differ:
        columns = ("Setting", *(arm.letter for arm in selection.arms))
        grids.insert(0, ("settings", Grid("Settings in which the arms differ", columns, differ, texts=len(columns))))
    return grids


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(str(item) for item in value) or UNDEFINED
    else:
        yield name, UNDEFINED if value in (None, "", {}) else str(value)


def _json(value: Any) -> str:
    """JSON that can stand in an HTML script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
