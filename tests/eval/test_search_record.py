"""What a search left, as reports show it."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from invented_arms import invented_selection  # type: ignore[import-not-found]

from balin.errors import InputError, RunError
from balin.eval.page import render_page
from balin.eval.search_figures import draw_search
from balin.eval.search_record import SearchRecord, choices_grid, importances, read_search, tried_grid


def a_trial(place: int, score: float | None, outcome: str = "scored", **settings: Any) -> dict[str, Any]:
    return {"place": place, "configuration": settings, "outcome": outcome, "score": score, "n": 40, "failures": {}}


def written(folder: Path, trials: list[dict[str, Any]], **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    document = {
        "schema": 1, "study": "search-calls", "objective": "mcc", "seed": 3, "ended": "the budget of trials is spent",
        "trials": trials, "finalists": [], "says": ["<b>The best</b> of many."],
    } | changed  # fmt: skip
    (folder / "search.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture
def record(tmp_path) -> SearchRecord:
    """Format alone decides; the number of demos does nothing; the last has another setting as well."""
    trials = [
        a_trial(
            i,
            0.2 + 0.3 * (i % 2) + 0.001 * (i % 3),
            model="m",
            format=("lines", "probe")[i % 2],
            demos=4 + 4 * (i // 2 % 2),
        )
        for i in range(12)
    ]
    trials += [
        a_trial(12, 0.1, "pruned", model="m", format="json"),
        a_trial(13, None, "unscored", model="m", format="json"),
    ]
    finalists = [{"configuration": trials[1]["configuration"], "score": 0.45}]
    return read_search(written(tmp_path / "search", trials, finalists=finalists))


def test_what_mattered_is_found(record):
    found = importances(record)
    assert list(found) == ["format", "demos"], "the most first; the model never varied"
    assert found["format"] > 0.95
    assert sum(found.values()) == pytest.approx(1)
    assert found == importances(record)
    rows = choices_grid(record).rows
    assert [(row[0], row[1], row[2]) for row in rows[:2]] == [
        ("Answer format", "probe", "6"),
        ("Answer format", "lines", "6"),
    ]
    assert float(rows[0][3]) == pytest.approx(0.501, abs=0.001)


def test_too_few_or_all_alike_tell_nothing(tmp_path):
    few = [a_trial(i, 0.1 * i, format="ab"[i % 2]) for i in range(4)]
    alike = [a_trial(i, 0.3, format="ab"[i % 2]) for i in range(20)]
    fixed = [a_trial(i, 0.01 * i, format="a") for i in range(20)]
    for number, trials in enumerate((few, alike, fixed)):
        assert importances(read_search(written(tmp_path / str(number), trials))) is None


def test_the_figures_hold_every_scored_configuration(record):
    history, mattered = draw_search(record)
    (ax,) = history.figure.axes
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert sorted(str(line.get_marker()) for line in marks) == sorted("o" * 12 + "v" + "*" * 3)
    (best,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert np.all(np.diff(np.asarray(best.get_ydata(), dtype=float)) >= 0)
    assert mattered.name == "importances"
    for drawing in (history, mattered):
        ElementTree.fromstring(drawing.inline())


def test_a_search_in_which_nothing_was_scored_has_no_figure(tmp_path):
    record = read_search(written(tmp_path, [a_trial(0, None, "unscored", model="m")]))
    assert draw_search(record) == []
    assert tried_grid(record).rows == (("m", "0", "unscored", "–", "–"),)


def test_the_page_tells_of_it(record):
    page = render_page(invented_selection(1, 20, resamples=5), drawings=draw_search(record), search=record)
    assert "&lt;b&gt;The best&lt;/b&gt; of many." in page
    assert 'id="figure-history"' in page
    assert 'href="#search"' in page
    assert "What the search tried" in page
    assert 'href="#search"' not in render_page(invented_selection(1, 20, resamples=5), drawings=[])


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"schema": 2}, "schema 2 is unknown"), ({"trials": [{}]}, "incomplete"), ({"trials": 5}, "incomplete")],
)
def test_what_cannot_be_read_is_refused(tmp_path, changed, message):
    with pytest.raises(RunError, match=message):
        read_search(written(tmp_path / "s", **({"trials": []} | changed)))


def test_a_folder_without_a_search_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no search\.json"):
        read_search(tmp_path)
    (tmp_path / "search.json").write_text("no")
    with pytest.raises(RunError, match="cannot be read"):
        read_search(tmp_path)
