"""`balin report --html` and `--figures`: the page and the pictures of one run or several."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]

FIVE = {"medians", "rates", "mcc", "ratio", "missing"}


@pytest.fixture
def data(tmp_path):
    return write_calls(tmp_path / "calls.csv", some_calls(6))


@pytest.fixture
def runs(balin, engine, data):
    """A direct and a translated run."""
    options = ("--data", data, "--engine", "embedded", "--model", "smollm2:135m", "--demos", 0, "--json")
    made = [balin("evaluate", *options, "--route", route) for route in ("direct", "translated")]
    engine.before = lambda number: pytest.fail("a report asked a model")
    return [Path(found.document["run"]) for found in made]


def test_one_run_as_page_and_pictures(balin, runs, tmp_path):
    found = balin("report", runs[0], "--html", "out/report.html", "--figures", "figures", "--json")
    assert found.code == 0
    assert found.document["run"] == str(runs[0])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "report.html").stat().st_mode & 0o77 == 0
    assert "بیمار" not in page
    assert "median MCC" in page
    for name in FIVE:
        assert (tmp_path / "figures" / f"{name}.svg").stat().st_size
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size


def test_several_runs_are_compared(balin, runs, tmp_path):
    found = balin("report", *runs, "--html", "report.html", "--json")
    assert found.code == 0
    assert found.document["runs"] == [str(run) for run in runs]
    assert found.document["translation_effect"]
    assert "What translating changes" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert balin("report", *runs, "--markdown").out.startswith("# Comparison of arms")


def test_transcripts_are_included_from_the_runs_own_data_only(balin, runs, data, tmp_path):
    found = balin("report", runs[0], "--html", "report.html", "--include-text", data)
    assert found.code == 0
    assert "WITH TRANSCRIPTS" in found.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "بیمار c1" in page, "the engine is deaf to c1's pain"
    assert "بیمار c0" not in page, "its answers are the labels, so it is not shown"
    assert "This file holds transcripts." in page
    other = write_calls(tmp_path / "other.csv", some_calls(5))
    refused = balin("report", runs[0], "--html", "second.html", "--include-text", other)
    assert refused.code == 2
    assert "is not the data that run" in refused.err
    assert not (tmp_path / "second.html").exists()


def test_options_without_effect_are_refused(balin, runs):
    found = balin("report", runs[0], "--include-text", "corpus")
    assert (found.code, found.out) == (2, "")
    assert "--include-text goes with --html" in found.err
    found = balin("report", *runs, "--missing", "wrong")
    assert (found.code, found.out) == (2, "")
    assert "--missing wrong goes with one RUN" in found.err


def test_a_search_is_told_of_in_page_and_pictures(balin, runs, tmp_path):
    trials = [
        {
            "place": i,
            "configuration": {"format": "lines" if i % 2 else "probe"},
            "outcome": "scored",
            "score": 0.1 * (i % 2),
        }
        for i in range(10)
    ]
    document = {"schema": 1, "study": "s", "objective": "mcc", "seed": 0, "ended": "done", "trials": trials}
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search.json").write_text(json.dumps(document))
    found = balin("report", runs[0], "--search", "search", "--html", "report.html", "--figures", "figures")
    assert found.code == 0
    assert "Which settings mattered" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "figures" / "history.png").stat().st_size
    assert balin("report", runs[0], "--search", "search").code == 2
    assert "holds no search.json" in balin("report", runs[0], "--search", ".", "--html", "report.html").err


def test_a_second_persons_labels_are_set_beside_the_arms(balin, runs, tmp_path):
    second = write_calls(tmp_path / "second.csv", some_calls(4))
    found = balin("report", runs[0], "--second-labels", second, "--html", "report.html")
    assert found.code == 0
    assert "of 4 of the 6 transcripts" in found.out
    assert "2nd labels" in (tmp_path / "report.html").read_text(encoding="utf-8")
    other = write_calls(tmp_path / "other.csv", some_calls(2, begin=50))
    refused = balin("report", runs[0], "--second-labels", other)
    assert refused.code == 2
    assert "has none of the runs' transcripts" in refused.err
