"""`balin demo`: four arms on the shipped corpus, shown beside what was recorded and published."""

from __future__ import annotations

import json
from pathlib import Path

from balin.deployment.bundle import read_bundle
from balin.engines import opening
from balin.errors import IncompleteAnswer
from balin.eval.recorded import recorded_results
from balin.eval.runs import read_run


def test_the_demo_shows_writes_and_says_what_is_next(balin, engine, tmp_path):
    found = balin("demo", "--limit", 3, "--model", "smollm2:135m", "--json")
    assert found.code == 0, found.err
    assert found.out.count("\n") == 1
    assert found.document["illustration"] is True
    runs = found.document["runs"]
    assert [(r["route"], r["format"], r["english"], r["part"], r["n"]) for r in runs] == [
        ("direct", "lines", None, "dev", 3),
        ("direct", "probe", None, "dev", 3),
        ("translated", "lines", "model", "dev", 3),
        ("translated", "probe", "model", "dev", 3),
    ]
    assert len({r["run"] for r in runs}) == 4
    for run in runs:
        assert read_run(tmp_path / run["run"])["demos"]["n"] == 3
    for words in (
        "An illustration on 3 transcripts",
        "Recorded on",
        "Published by the study",
        "What now",
        "[5/5]",
        "Read this first",
    ):
        assert words in found.err
    page = Path(found.document["page"])
    assert "An illustration on 3 transcripts" in page.read_text(encoding="utf-8")
    assert page.is_relative_to(tmp_path.resolve())
    # Three transcripts and three demos are translated once, for both formats.
    assert engine.translations() == 6
    asked = engine.requests
    again = balin("demo", "--limit", 3, "--model", "smollm2:135m")
    assert (again.code, engine.requests) == (0, asked)
    assert "from the store" in again.out
    assert "An illustration on 3 transcripts" in again.out


def test_the_demo_chooses_a_program_exports_it_and_runs_the_bundle(balin, engine, tmp_path):
    found = balin("demo", "--limit", 3, "--model", "smollm2:135m", "--json").document
    (result,) = found["optimized"]["results"]
    assert [t["strategy"] for t in result["trials"]] == ["zero-shot", "study", "coverage"]
    assert {t["n"] for t in result["trials"]} == {3}
    assert result["english"] == "given"
    bundle = read_bundle(tmp_path / found["bundle"])
    assert (bundle.manifest.run, bundle.manifest.reads) == (Path(result["run"]).name, "english")
    assert (found["extracted"]["n"], found["extracted"]["rejects"]) == (1, 0)
    assert found["extracted"]["bundle"]["sha256"] == bundle.hash


def test_translations_are_written_four_at_a_time_and_answers_alone(balin, engine, monkeypatch):
    slots: list[int] = []
    own = opening._embedded

    def seen(model, entry, num_ctx, settings):
        slots.append(settings.slots)
        return own(model, entry, num_ctx, settings)

    monkeypatch.setattr(opening, "_embedded", seen)
    assert balin("demo", "--limit", 3, "--model", "smollm2:135m").code == 0
    # Two arms on the source text, two that translate and then answer, the candidates, the best of them and its bundle.
    assert slots[:6] == [1, 1, 4, 1, 4, 1]
    assert set(slots[6:]) == {1}


def test_a_call_that_fails_is_shown_and_fails_no_demo(balin, engine):
    def one_fails(number):
        if number > 20 and not failed:
            failed.append(number)
            raise IncompleteAnswer("cut")

    failed = []
    engine.before = one_fails
    found = balin("demo", "--limit", 3, "--model", "smollm2:135m", "--json")
    assert failed
    assert found.code == 0, found.err
    assert "failed calls: incomplete_answer 1" in found.err


def test_the_recorded_results_are_there_and_are_those_of_the_demos_arms():
    recorded = recorded_results()
    assert {"what", "date", "machine", "arms"} <= set(recorded)
    for arm in recorded["arms"]:
        assert arm["n"] > 0
        assert {"mean", "median"} <= set(arm["scores"]["mcc"])
    assert json.dumps(recorded, allow_nan=False)
