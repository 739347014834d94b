"""`report.html`: one file that needs nothing else, for reading, printing and sending.

It holds no text of a transcript unless `texts` are given. Whatever comes from runs is escaped, and a content security policy
in the page lets it load nothing and run no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from .comparison import Comparison, Pair
from .comparison_tables import comparison_grids
from .disagreements import disagreements
from .drawing import Drawing, colour
from .figures import draw_all
from .grids import UNDEFINED, Grid, figure_with_interval
from .shown import Selection, ShownArm
from .tables import (
    StudyResult,
    compare_table,
    dev_table,
    feature_table,
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
) -> str:
    """The page.

    Args:
        selection: The arms.
        comparison: The comparison of these arms, where there are several.
        texts: Transcript texts by id, to be shown beside the disagreements; by default none are in the page.
        drawings: The figures, where they are drawn already.

    Returns:
        A whole HTML document.
    """
    published = published_for(selection)
    drawn = draw_all(selection, published, comparison) if drawings is None else drawings
    script = _resource("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = disagreements(selection, texts)
    page = environment.from_string(_resource("page.html.j2")).render(
        title="Balin: "
        + ("; ".join(arm.name for arm in selection.arms) if len(selection.arms) < 3 else f"{len(selection.arms)} arms"),
        headline=headline(selection, comparison),
        translation=[] if comparison is None else [_translating(pair) for pair in comparison.translation],
        selection=selection,
        policy=_POLICIES[selection.arms[0].scores.policy],
        warnings=list(_warnings(selection, comparison)),
        overall=_overall(selection, published),
        by_feature=_by_feature(selection),
        comparisons=[] if comparison is None else comparison_grids(comparison, wide=True)[1:-1],
        answers=_answers(selection),
        details=[
            (
                arm,
                [g for g in (summary_table(arm.scores), dev_table(arm.run, arm.scores)) if g is not None],
                feature_table(arm.scores, selection.labels, wide=True),
            )
            for arm in selection.arms
        ],
        drawings=[(drawing, Markup(drawing.inline())) for drawing in drawn],
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
        return f"{best.name}: median MCC {_mcc(best)} and median macro-F1 {figure_with_interval(f1.median, f1.median_interval, 3)} {where}."
    second = f"; next is {ranked[1].title} with {_mcc(ranked[1])}" if len(ranked) > 1 else ""
    if len(ranked) > 1 and comparison is not None:
        second += _against_baseline(comparison, best, ranked[1])
    return f"Of {len(arms)} arms, {best.title} has the highest median MCC, {_mcc(best)} {where}{second}."


def _translating(pair: Pair) -> str:
    """The study's question in a sentence, for one model."""
    mcc, model = pair.result.mean["mcc"], (pair.second.run.get("model") or {}).get("name", pair.second.letter)
    told = figure_with_interval(mcc.difference, mcc.interval, 3)
    clear = mcc.interval is not None and not mcc.interval.low <= 0 <= mcc.interval.high
    verdict = "" if clear else " These data do not tell the two routes apart."
    beside = f" The two also differ in {', '.join(pair.beside)}." if pair.beside else ""
    return (
        f"Translating first ({pair.letters}) changes the mean MCC of {model} by {told} against reading the source text directly."
        + verdict
        + beside
    )


def _against_baseline(comparison: Comparison, best: ShownArm, second: ShownArm) -> str:
    """The paired difference from the baseline that the headline needs."""
    other = second if best.letter == comparison.arms[0].letter else best
    pair = next(pair for pair in comparison.against_baseline if pair.second.letter == other.letter)
    found = pair.result.median["mcc"]
    return f" (paired difference {pair.letters}: {figure_with_interval(found.difference, found.interval, 3)})"


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
        rows.append((selection.label(name), f"{count.positives}/{count.n}", *mcc))
    return Grid("MCC by feature [95 %]", ("Feature", "Pos./n", *(arm.title for arm in selection.arms)), tuple(rows))


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
