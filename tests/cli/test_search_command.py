"""`balin search`: from options to the best configuration, its run and a last line of JSON; stopped and gone on with."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from balin.cli.search import STRATEGIES as OFFERED
from balin.engines import embedding
from balin.engines.embedding import EmbedderIdentity
from balin.engines.protocol import ChatRequest, Completion, Message, TokenChoice
from balin.errors import CallTimeout, EngineUnavailable, IncompleteAnswer
from balin.eval.runs import read_run
from balin.optimizers.space import SEARCHED
from balin.programs.saving import load_program

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import (  # type: ignore[import-not-found]
    SET,
    Call,
    WordEngine,
    take,
    texts_asked,
    write_calls,
)
from scripted import WordEmbedder  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")
SMALL = ("--format", "lines", "--format", "present", "--strategy", "random", "--strategy", "coverage",
         "--demos", 4, "--demos", 13, "--draws", 2, "--limit", 13)  # fmt: skip


class Pupil(WordEngine):  # type: ignore[misc]
    """Finds a feature only if a demo names it: without demos it finds none."""

    def chat(self, request: ChatRequest) -> Completion:
        if "translator" in request.messages[0].content:
            return super().chat(request)
        self._count(request.messages)
        *turns, text = [m.content for m in request.messages if m.role == "user"]
        taught: set[str] = set().union(*(self._heard(turn) for turn in turns)) if turns else set()
        found = taught & self._heard(text)
        if request.schema is not None:
            said = json.dumps([f.id for f in SET if f.id in found])
        else:
            said = "\n".join(f"{f.label['en']}: {f.id in found}" for f in SET)
        return self._said(said, text)

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        self._count(prompt)
        *turns, last = prompt.split("<|user|>")[1:]
        text, _, probe = last.partition("<|assistant|>")
        (feature,) = [f for f in SET if probe == f"- {f.short['en']}:"]
        taught: set[str] = set().union(*(self._heard(turn) for turn in turns)) if turns else set()
        said = feature.id in taught & self._heard(text)
        top = ((f" {said}", -0.25), (f" {not said}", -1.5))
        return Completion(f" {said}", "length", (TokenChoice(*top[0], top),), self._cost(prompt, 1))

    def render(self, messages: list[Message]) -> str:
        return "".join(f"<|{m.role}|>{m.content}" for m in messages) + "<|assistant|>"


@pytest.fixture
def pupil(monkeypatch: pytest.MonkeyPatch) -> Pupil:
    made = Pupil()
    take(monkeypatch, made)
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A pool of 26, a dev of 26 and a test of 13; each call has one feature."""
    parts = ["pool"] * 26 + ["dev"] * 26 + ["test"] * 13
    return write_calls(
        tmp_path / "calls.csv", [Call(f"c{n}", frozenset({SET.ids[n % 13]}), part=part) for n, part in enumerate(parts)]
    )


def told(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials without what a clock measured."""
    for row in document["trials"]:
        if row["cost"]:
            del row["cost"]["seconds"], row["latency"]
    found: list[dict[str, Any]] = document["trials"]
    return found


def test_the_options_name_the_strategies_that_are_searched() -> None:
    assert OFFERED == SEARCHED


def test_the_best_configuration_its_run_and_all_that_was_tried(balin, pupil, data) -> None:
    found = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 12, "--json")
    assert found.code == 0, found.err
    document = found.document
    trials = document["trials"]
    assert [t["place"] for t in trials][:2] == [0, 1]
    assert [t["configuration"]["strategy"] for t in trials[:2]] == ["zero-shot", "study"]
    assert document["tried"] == len(trials) == 12
    assert len({str(t["configuration"]) for t in trials}) == 12
    assert trials[0]["score"] == 0.0
    best = document["best"]
    assert best["score"] == 1.0
    assert best["n"] == 26
    assert best["configuration"]["demos"] == 13
    assert sum(t["calls"] for t in trials) == document["spent"]["calls"] <= pupil.requests
    assert "at most 156 answers" in found.err
    run = read_run(Path(document["run"]))
    assert (run["data"]["part"], run["data"]["n"]) == ("dev", 26)
    assert load_program(Path(document["program"]), SET).hash() == run["program"]["hash"] == best["program"]
    folder = Path(document["folder"])
    assert [(c["by"], c["tried"], c["score"]) for c in run["chosen"]] == [(folder.name, 12, 1.0)]
    assert run["chosen"][0]["demos"] == best["demos"]
    bundle = balin("export", document["run"], "--to", "won.balin", "--allow-demos", "--json").document
    assert (bundle["tried"], [d["id"] for d in bundle["demos"]]) == (12, best["demos"])
    assert json.loads((folder / "search.json").read_text()) == document
    assert "Patient" not in (folder / "report.md").read_text()
    assert not list(Path("runs").rglob("*.log.jsonl"))
    assert {text.split()[1] for text in texts_asked(pupil)} <= {f"c{n}" for n in range(52)}


def test_run_again_it_asks_nothing_and_with_a_larger_budget_it_goes_on(balin, pupil, data) -> None:
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--json")
    first = balin(*options, "--max-trials", 5).document
    asked = pupil.requests
    assert balin(*options, "--max-trials", 5).document == first
    assert pupil.requests == asked
    more = balin(*options, "--max-trials", 8).document
    assert more["trials"][:5] == first["trials"]
    assert len(more["trials"]) == 8


def test_an_outage_or_ctrl_c_loses_nothing_and_changes_no_trial(balin, pupil, data) -> None:
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 9, "--json")
    whole = balin(*options, "--out", "whole").document
    needed, pupil.asked[:] = pupil.requests, []

    def dies(number: int) -> None:
        if number in (3, 40):
            raise EngineUnavailable("gone")
        if number in (20, 70):
            raise KeyboardInterrupt

    pupil.before = dies
    codes = [balin(*options).code for _ in range(4)]
    assert codes == [3, 130, 3, 130]
    found = balin(*options)
    assert found.code == 0, found.err
    assert told(found.document) == told(whole)
    assert found.document["best"]["configuration"] == whole["best"]["configuration"]
    assert pupil.requests == needed + 4


def test_a_configuration_whose_calls_fail_has_no_score_and_is_not_best(balin, pupil, data) -> None:
    def fails(_: int) -> None:
        if len(pupil.asked[-1]) > 20:
            raise CallTimeout("slow")

    pupil.before = fails
    found = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 10, "--json")
    assert found.code == 0, found.err
    lost = [t for t in found.document["trials"] if t["outcome"] == "failing"]
    assert lost
    assert all(t["score"] is None and "slow" in t["detail"] for t in lost)
    assert all(t["configuration"].get("demos") == 13 for t in lost)
    assert len(found.document["trials"]) == found.document["tried"] + len(lost) == 10
    # They may have passed: the same command asks again, and then there are no others left to fail.
    pupil.before = lambda _: None
    again = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 10, "--json")
    assert again.code == 0, again.err
    assert again.document["tried"] == len(again.document["trials"]) == 10
    assert {t["outcome"] for t in again.document["trials"]} <= {"scored", "pruned"}
    assert {str(t["configuration"]) for t in lost} <= {str(t["configuration"]) for t in again.document["trials"]}


def test_faults_of_a_configuration_s_own_are_for_good(balin, pupil, data) -> None:
    def fails(_: int) -> None:
        if len(pupil.asked[-1]) > 20:
            raise IncompleteAnswer("it never ends")

    pupil.before = fails
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 10, "--json")
    found = balin(*options)
    assert "unscored" in {t["outcome"] for t in found.document["trials"]}
    pupil.before = lambda _: None
    asked = pupil.requests
    assert balin(*options).document["trials"] == found.document["trials"]
    assert pupil.requests == asked


def test_a_study_is_of_the_weights_and_the_engine_that_it_began_with(balin, pupil, data) -> None:
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--json", "--accept-model-change")
    first = balin(*options, "--max-trials", 3)
    assert first.code == 0, first.err
    pupil.identity = replace(pupil.identity, digest="sha256:" + "b" * 64)
    # With nothing left to try, too: the finale would be of other weights than the choice.
    for count in (3, 5):
        found = balin(*options, "--max-trials", count)
        assert found.code == 3
        assert "the study began with other weights or another engine" in found.err
    pupil.identity = replace(pupil.identity, digest="sha256:" + "a" * 64)
    more = balin(*options, "--max-trials", 5)
    assert more.code == 0, more.err
    assert more.document["trials"][:3] == first.document["trials"]


def test_a_database_s_password_stands_in_no_file(balin, pupil, data, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("balin.optimizers.study._database", lambda *_: None)
    url = "postgresql://me:geheim@127.0.0.1/studies"
    found = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 2, "--storage", url, "--json")
    assert found.code == 0, found.err
    reports = [p for p in (tmp_path / "runs").rglob("*.*") if p.suffix in (".md", ".json")]
    assert any("postgresql://me:***@127.0.0.1/studies" in p.read_text(encoding="utf-8") for p in reports)
    assert not any("geheim" in p.read_text(encoding="utf-8") for p in reports)


def test_where_all_calls_fail_the_reason_is_given(balin, pupil, data) -> None:
    def fails(_: int) -> None:
        raise CallTimeout("too slow for anything")

    pupil.before = fails
    found = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 3)
    assert found.code == 1
    assert "no configuration could be scored" in found.err
    assert "too slow for anything" in found.err


def test_a_small_space_is_tried_whole_and_no_configuration_twice(balin, pupil, data) -> None:
    options = ("--format", "lines", "--strategy", "coverage", "--demos", 13, "--draws", 2, "--limit", 13)
    found = balin("search", "--data", data, *EMBEDDED, *options, "--json")
    assert found.code == 0, found.err
    assert found.document["ended"] == "every configuration has been tried"
    assert len(found.document["trials"]) == 5  # zero-shot, two draws of the study and two of coverage


def test_budgets_end_it_and_the_stop_file_too(balin, pupil, data) -> None:
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--json")
    found = balin(*options, "--max-calls", 30)
    assert found.document["ended"] == "the budget of 30 calls is used up"
    assert 30 <= found.document["spent"]["calls"] < 30 + 13 + 8
    folder = Path(found.document["folder"])

    def stops(number: int) -> None:
        (folder / "STOP").touch()

    pupil.before = stops
    stopped = balin(*options)
    assert stopped.code == 0, stopped.err
    assert "the stop file" in stopped.document["ended"]
    assert stopped.document["trials"] == found.document["trials"]


def test_thresholds_are_fitted_out_of_fold_and_saved(balin, pupil, tmp_path) -> None:
    parts = ["pool"] * 13 + ["dev"] * 130
    calls = [Call(f"c{n}", frozenset({SET.ids[n % 13]}), part=part) for n, part in enumerate(parts)]
    options = ("--format", "probe", "--strategy", "coverage", "--demos", 13, "--draws", 1, "--limit", 130)
    found = balin(
        "search", "--data", write_calls(tmp_path / "c.csv", calls), *EMBEDDED, *options, "--thresholds", "on",
        "--max-trials", 3, "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    best = found.document["best"]
    assert best["configuration"]["thresholds"] is True
    assert set(best["thresholds"]) == set(SET.ids)
    assert load_program(Path(found.document["program"]), SET).thresholds == best["thresholds"]


def test_both_routes_and_a_study_file(balin, pupil, data, tmp_path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(
        f"data: {data}\nengine: embedded\nmodel: smollm2:135m\nroute: [direct, translated]\nformat: lines\n"
        "strategy: coverage\ndemos: 13\ndraws: 1\nlimit: 13\nmax_trials: 2\nthresholds: off\n"
    )
    found = balin("search", "--study-file", file, "--max-trials", 6, "--json")
    assert found.code == 0, found.err
    routes = {t["configuration"]["route"] for t in found.document["trials"]}
    assert (len(found.document["trials"]), routes) == (6, {"direct", "translated"})
    assert pupil.translations() == 52


def test_the_embedder_that_is_named_chooses_the_nearest_demos(balin, pupil, data, monkeypatch) -> None:
    asked: list[str] = []

    class Named(WordEmbedder):  # type: ignore[misc]
        identity = EmbedderIdentity("ollama:words", "words 1", "e" * 64)

        def __init__(self, name: str, _: Any) -> None:
            super().__init__()
            asked.append(name)

    monkeypatch.setattr(embedding, "OllamaEmbedder", Named)
    options = ("--format", "lines", "--strategy", "nearest", "--demos", 4, "--draws", 1, "--limit", 13,
               "--max-trials", 3)  # fmt: skip
    found = balin("search", "--data", data, *EMBEDDED, *options, "--embedder", "ollama:words", "--no-prune", "--json")
    assert found.code == 0, found.err
    assert [t["configuration"]["strategy"] for t in found.document["trials"]] == ["zero-shot", "study", "nearest"]
    assert set(asked) == {"words"}


def test_the_finale_is_outside_the_limits_announced_counted_and_resumed(balin, pupil, data) -> None:
    options = ("search", "--data", data, *EMBEDDED, "--format", "lines", "--strategy", "coverage", "--demos", 13, "--draws", 1,
               "--limit", 13, "--max-trials", 3, "--json")  # fmt: skip

    def dies(number: int) -> None:
        if number == 13 * 3 + 5:
            raise KeyboardInterrupt

    pupil.before = dies
    first = balin(*options)
    assert first.code == 130
    assert "outside the limits, the best few on the other 13 transcripts" in first.err
    found = balin(*options)
    assert found.code == 0, found.err
    spent = found.document["spent"]
    assert (spent["calls"], spent["finale"]["calls"]) == (39, 39)
    assert pupil.requests == 39 + 39 + 1
    assert "39 calls for the best few" in (Path(found.document["folder"]) / "report.md").read_text()
    assert balin(*options).document["spent"] == spent


def test_votes_and_instructions_are_tried_and_the_best_is_saved_with_them(balin, pupil, data, tmp_path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text("instructions:\n  default:\n  exclusions:\n  mine: Say what is there.\nvotes: [3]\nformat: lines\n")
    found = balin(
        "search", "--study-file", file, "--data", data, *EMBEDDED, "--strategy", "coverage", "--demos", 13, "--draws", 1,
        "--limit", 13, "--thresholds", "off", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    trials = found.document["trials"]
    assert len(trials) == 7  # three wordings, with and without demos, and the study
    assert {t["configuration"].get("instructions") for t in trials} == {None, "default", "exclusions", "mine"}
    assert {t["calls"] for t in trials if t["configuration"]["strategy"] == "zero-shot"} == {39}
    asked = {str(a[0].content) for a in pupil.asked}
    assert any(text.startswith("Say what is there.") for text in asked)
    program = load_program(Path(found.document["program"]), SET)
    assert program.votes is not None
    assert program.votes.n == 3
    assert read_run(Path(found.document["run"]))["program"]["votes"] == {"n": 3, "temperature": 0.7}


def test_definitions_are_tried_and_left_out(balin, pupil, data) -> None:
    found = balin(
        "search", "--data", data, *EMBEDDED, "--format", "probe", "--strategy", "coverage", "--demos", 13, "--draws", 1,
        "--limit", 13, "--thresholds", "off", "--definitions", "search", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    trials = found.document["trials"]
    assert len(trials) == 5  # zero-shot and coverage with and without them, and the study
    assert {t["calls"] for t in trials if t["configuration"].get("definitions") is False} == {13 * 13}
    definition = next(iter(SET)).definition["en"]
    probed = [a for a in pupil.asked if isinstance(a, str)]
    assert 0 < sum(definition in text for text in probed) < len(probed)
    program = load_program(Path(found.document["program"]), SET)
    assert program.adapter.definitions is found.document["best"]["configuration"]["definitions"]


def test_limits_are_kept_before_quality(balin, pupil, data) -> None:
    pupil.deaf = {SET.ids[0]}
    options = ("search", "--data", data, *EMBEDDED, "--format", "lines", "--strategy", "coverage", "--demos", 13, "--draws", 1,
               "--limit", 26, "--json")  # fmt: skip
    found = balin(*options, "--min-sensitivity", 0.9)
    assert found.code == 0, found.err
    best, rows = found.document["best"], found.document["trials"]
    assert best["excess"]["sensitivity"] <= 0
    assert [r["excess"]["sensitivity"] > 0 for r in rows if r["configuration"]["strategy"] == "zero-shot"] == [True]
    none = balin(*options, "--min-sensitivity", 1)
    assert none.code == 1
    assert "no configuration keeps the limits" in none.err
    assert "sensitivity 0.077 too low" in none.err
    assert len(list(Path("runs").glob("search-*/report.md"))) == 2


def test_two_objectives_show_a_front_and_say_that_nothing_is_pruned(balin, pupil, data) -> None:
    found = balin("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 8, "--pareto", "--json")
    assert found.code == 0, found.err
    assert "nothing is pruned" in found.err
    document = found.document
    front = document["front"]
    assert front
    assert document["best"]["score"] == front[0]["score"] == max(f["score"] for f in document["finalists"])
    assert [row["latency"] for row in front] == sorted((row["latency"] for row in front), reverse=True)
    for row in front:
        assert load_program(Path(row["program"]), SET).format
    assert not document["pruning"]


def test_a_journal_holds_the_study_and_goes_on(balin, pupil, data, tmp_path) -> None:
    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--json", "--storage", tmp_path / "s.journal")
    first = balin(*options, "--max-trials", 3).document
    assert (tmp_path / "s.journal").stat().st_mode & 0o777 == 0o600
    more = balin(*options, "--max-trials", 12).document
    assert more["trials"][:3] == first["trials"]
    assert not list(Path(first["folder"]).glob("study.db"))
    assert set(more["importances"]) <= {"strategy", "format", "demos", "draw"}
    assert sum(more["importances"].values()) == pytest.approx(1, abs=0.01)
    assert "Which choices mattered" in (Path(more["folder"]) / "report.md").read_text()


def test_a_full_disk_is_told_and_what_was_finished_is_kept(balin, pupil, data, monkeypatch) -> None:
    from sqlalchemy.exc import OperationalError

    options = ("search", "--data", data, *EMBEDDED, *SMALL, "--max-trials", 3, "--json")

    def full(number: int) -> None:
        if number == 20:
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    pupil.before = full
    found = balin(*options)
    assert found.code == 2
    assert "the disk is not full" in found.err
    pupil.before = lambda _: None
    again = balin(*options)
    assert again.code == 0, again.err
    assert len(again.document["trials"]) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--votes", 3, "--format", "probe"), "probe"),
        (("--instructions", "nobodys"), "nobodys"),
        (("--max-missing", 2), "max-missing"),
        (("--english", "given"), "--route translated"),
        (("--language", "xx"), "xx"),
        (("--demos", 4, "--demos", 4), "twice"),
        (("--storage", "nosuch://x"), "--storage"),
        (("--storage", "journal:"), "names no file"),
        (("--seed", -1), "--seed"),
        (("--seed", 2**33), "--seed"),
        (("--storage", "oracle://u@127.0.0.1/x"), "pip install oracledb"),
        (("--study-file", "absent.yaml"), "absent.yaml"),
        (("--embedder", "ollama:m"), "--strategy nearest"),
        (("--embedder", "nobodys", "--strategy", "nearest"), "no embedder 'nobodys'"),
    ],
)
def test_wrong_use_is_2(balin, pupil, data, options, said) -> None:
    found = balin("search", "--data", data, *EMBEDDED, *options)
    assert (found.code, pupil.requests) == (2, 0)
    assert said in found.err


def test_a_model_that_is_not_there_is_told_before_anything_is_asked(balin, no_weights, data) -> None:
    found = balin("search", "--data", data, *EMBEDDED)
    assert found.code == 3
    assert "balin models pull" in found.err
