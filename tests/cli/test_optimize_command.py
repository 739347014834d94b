"""`balin optimize`: from options to the best program, its run and a last line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from balin.cli.optimize import STRATEGIES as OFFERED
from balin.engines.protocol import ChatRequest, Completion, Message, TokenChoice
from balin.errors import CallTimeout, EngineUnavailable, PromptTooLong
from balin.eval.runs import read_run
from balin.optimizers.strategies import STRATEGIES
from balin.programs.saving import load_program

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import (  # type: ignore[import-not-found]
    IDENTITY,
    SET,
    Call,
    WordEngine,
    demo_texts,
    some_calls,
    take,
    texts_asked,
    write_calls,
)

sys.path.append(str(Path(__file__).parents[1] / "engines"))
from scripted import WordEmbedder, take_embedder  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")
ONE = ("--strategy", "coverage", "--candidates", 1)


class Pupil(WordEngine):  # type: ignore[misc]
    """Finds a feature only if a demo names it: without demos it finds none. Proposes another instruction each time."""

    proposals = 0

    def _answer(self, turns: list[str], text: str) -> set[str]:
        taught: set[str] = set().union(*(self._heard(turn) for turn in turns)) if turns else set()
        return taught & self._heard(text)

    def chat(self, request: ChatRequest) -> Completion:
        if "translator" in request.messages[0].content:
            return super().chat(request)
        self._count(request.messages)
        if "proposed_instruction" in request.messages[0].content:
            self.proposals += 1
            return self._said(f"[[ ## proposed_instruction ## ]]\nLook {self.proposals} times.\n", "")
        *turns, text = [m.content for m in request.messages if m.role == "user"]
        found = self._answer(turns, text)
        return self._said("\n".join(f"{f.label['en']}: {f.id in found}" for f in SET), text)

    def read(self, prompt: str, *, top_logprobs: int = 20) -> Completion:
        self._count(prompt)
        *turns, last = prompt.split("<|user|>")[1:]
        text, _, probe = last.partition("<|assistant|>")
        (feature,) = [f for f in SET if probe == f"- {f.short['en']}:"]
        said = feature.id in self._answer([turn.partition("<|assistant|>")[0] for turn in turns], text)
        top = ((f" {said}", -0.25), (f" {not said}", -1.5))
        return Completion(f" {said}", "length", (TokenChoice(*top[0], top),), self._cost(prompt, 1))

    def render(self, messages: list[Message]) -> str:
        return "".join(f"<|{m.role}|>{m.content}" for m in messages) + "<|assistant|>"


@pytest.fixture
def pupil(monkeypatch: pytest.MonkeyPatch) -> Pupil:
    made = Pupil()
    take(monkeypatch, made)
    take_embedder(monkeypatch, WordEmbedder())
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A pool of 26, a dev of 26 and a test of 13; each call has one feature."""
    parts = ["pool"] * 26 + ["dev"] * 26 + ["test"] * 13
    return write_calls(
        tmp_path / "calls.csv", [Call(f"c{n}", frozenset({SET.ids[n % 13]}), part=part) for n, part in enumerate(parts)]
    )


def best(document: dict[str, Any]) -> dict[str, Any]:
    (result,) = document["results"]
    return result


def test_the_options_name_the_strategies_that_there_are() -> None:
    assert tuple(STRATEGIES) == OFFERED


def test_the_best_program_its_run_and_all_that_was_tried(balin, pupil, data) -> None:
    found = balin("optimize", "--data", data, *EMBEDDED, *ONE, "--demos", 13, "--limit", 13, "--json")
    assert found.code == 0, found.err
    assert found.out.count("\n") == 1
    result = best(found.document)
    assert [t["strategy"] for t in result["trials"]] == ["zero-shot", "study", "coverage"]
    assert result["tried"] == found.document["tried"] == 3
    zero, study, coverage = result["trials"]
    assert (zero["score"], zero["demos"]) == (0.0, [])
    assert (study["format"], len(study["demos"])) == ("lines", 3)
    assert 0 < study["score"] < coverage["score"] == 1.0
    assert coverage["positives"] == dict.fromkeys(SET.ids, 1)
    assert {t["whole"]["n"] for t in result["trials"]} == {26}
    # The transcripts for choosing are spread over the labels; the study asks once a transcript, a probe once a feature.
    assert (study["n"], study["cost"]["calls"], coverage["cost"]["calls"]) == (13, 13, 13 * 13)
    assert coverage["cost"]["prompt_tokens"] > 0
    assert result["best"] == coverage
    for baseline in ("zero-shot", "study"):
        assert result["against"][baseline]["beaten"]
        assert result["against"][baseline]["proven"]
    assert "The best of 3 programs is coverage" in result["says"][0]

    run = read_run(Path(result["run"]))
    assert (run["data"]["part"], run["data"]["n"], run["program"]["name"]) == ("dev", 26, "coverage")
    program = load_program(Path(result["program"]), SET)
    assert program.hash() == run["program"]["hash"] == coverage["program"]
    assert len(program.predict.demos) == 13
    folder = Path(found.document["folder"])
    (chosen,) = run["chosen"]
    assert (chosen["by"], chosen["tried"], chosen["score"], chosen["n"]) == (folder.name, 3, 1.0, 26)
    assert chosen["demos"] == coverage["demos"]
    assert json.loads((folder / "optimize.json").read_text()) == found.document
    # The winner's file, scored on test, is shown beside dev; and the number tried goes into the bundle.
    test = balin("evaluate", "--data", data, *EMBEDDED, "--part", "test", "--program", result["program"], "--json")
    assert test.code == 0, test.err
    assert (test.document["tried"], test.document["dev"]["n"]) == (3, 26)
    assert "Dev beside test" in test.err
    assert balin("export", test.document["run"], "--to", "won.balin", "--allow-demos", "--json").document["tried"] == 3
    report = (folder / "report.md").read_text()
    assert "coverage" in report
    assert "Patient" not in report


def test_without_definitions_no_prompt_has_one(balin, pupil, data) -> None:
    found = balin(
        "optimize", "--data", data, *EMBEDDED, *ONE, "--demos", 13, "--limit", 13, "--no-definitions", "--json"
    )
    assert found.code == 0, found.err
    assert load_program(Path(best(found.document)["program"]), SET).adapter.definitions is False
    probed = [a for a in pupil.asked if isinstance(a, str)]
    assert probed
    assert not any(f.definition["en"] in text for f in SET for text in probed)
    assert balin(
        "optimize", "--data", data, *EMBEDDED, *ONE, "--demos", 13, "--limit", 13, "--json"
    ).document["folder"] != found.document["folder"]  # fmt: skip
    assert any(next(iter(SET)).definition["en"] in a for a in pupil.asked if isinstance(a, str))


def test_nearest_leaves_a_program_that_chooses_its_demos_and_is_run_again_without_a_call(balin, pupil, data) -> None:
    options = ("--data", data, *EMBEDDED, "--strategy", "nearest", "--candidates", 2, "--demos", 13, "--json")
    found = balin("optimize", *options)
    assert found.code == 0, found.err
    result = best(found.document)
    assert result["best"]["strategy"] == "nearest"
    assert "balance 1" in result["best"]["description"]
    content = json.loads(Path(result["program"]).read_text(encoding="utf-8"))
    assert (content["schema"], len(content["demos"]), content["index"]["count"]) == (3, 26, 13)
    run = read_run(Path(result["run"]))
    assert (run["demos"]["n"], run["demos"]["chosen_from"]) == (13, 26)
    asked = pupil.requests
    assert balin("optimize", *options).document == found.document
    assert pupil.requests == asked
    # Scored on the pool it holds, no transcript sees itself.
    pool = balin("evaluate", "--data", data, *EMBEDDED, "--part", "pool", "--program", result["program"], "--json")
    assert pool.code == 0, pool.err
    assert pool.document["n"] == 26
    for prompt in pupil.asked[asked:]:
        *turns, last = prompt.split("<|user|>")[1:]
        assert not any(last.partition("<|assistant|>")[0] == turn.partition("<|assistant|>")[0] for turn in turns)


def test_gepa_takes_no_junk_and_says_so(balin, pupil, data) -> None:
    """This model writes answers in place of instructions."""
    options = ("--data", data, *EMBEDDED, "--strategy", "gepa", "--gepa-calls", 40)
    found = balin("optimize", *options, "--json")
    assert found.code == 0, found.err
    assert "gepa makes no candidate: no instructions that were proposed do better" in found.err
    assert "the pool 1/1" not in found.err
    assert "gepa 20/40" in found.err
    assert best(found.document)["preparation"]["gepa"]["answers"] <= 40
    assert not list(Path().rglob("*.bin"))


@pytest.mark.parametrize(
    "option", [("--gepa-calls", 50), ("--reflection-model", "m"), ("--embedder", "ollama:m")], ids=lambda o: o[0]
)
def test_an_option_of_another_strategy_is_refused(balin, pupil, data, option) -> None:
    found = balin("optimize", "--data", data, *EMBEDDED, *ONE, *option)
    assert found.code == 2
    assert option[0] in found.err


def test_demos_come_from_the_pool_and_the_test_part_is_not_touched(balin, pupil, data) -> None:
    strategies = [x for name in STRATEGIES for x in ("--strategy", name)]
    found = balin("optimize", "--data", data, *EMBEDDED, *strategies, "--candidates", 2, "--json")
    assert found.code == 0, found.err
    read = [*texts_asked(pupil), *demo_texts(pupil)]
    ids = {
        text.split()[1] for text in read if text.strip() and "##" not in text and "You improve" not in text
    }  # not what asks for instructions
    assert ids <= {f"c{n}" for n in range(52)}
    shown = {i for t in best(found.document)["trials"] for i in t["demos"]}
    assert shown <= {f"c{n}" for n in range(26)}
    assert not list(Path("runs").rglob("*.log.jsonl"))
    assert best(found.document)["preparation"]["bootstrap"]["answers"] == 26


def test_run_again_it_asks_nothing_and_says_the_same(balin, pupil, data) -> None:
    options = (
        "--data",
        data,
        *EMBEDDED,
        "--strategy",
        "bootstrap",
        "--strategy",
        "random",
        "--candidates",
        2,
        "--json",
    )
    first = balin("optimize", *options).document
    asked = pupil.requests
    second = balin("optimize", *options).document
    assert pupil.requests == asked
    assert second == first


def test_what_mipro_was_proposed_is_kept_for_the_next_time(balin, pupil, data) -> None:
    options = ("--data", data, *EMBEDDED, "--strategy", "mipro", "--candidates", 6, "--json")

    def dies(number: int) -> None:
        if number == 1600:
            raise EngineUnavailable("gone")

    pupil.before = dies
    assert balin("optimize", *options).code == 3
    proposed = pupil.proposals
    assert 1 <= proposed <= 4
    found = balin("optimize", *options)
    assert found.code == 0, found.err
    assert pupil.proposals == proposed
    mipro = [t for t in best(found.document)["trials"] if t["strategy"] == "mipro"]
    assert 2 <= len(mipro) <= 6
    program = load_program(Path(best(found.document)["program"]), SET)
    assert program.hash() == best(found.document)["best"]["program"]
    assert any("proposed" in t["description"] for t in mipro)


def test_an_engine_that_dies_loses_nothing_and_lowers_no_score(balin, pupil, data) -> None:
    options = ("--data", data, *EMBEDDED, *ONE, "--demos", 13, "--json")
    whole = best(balin("optimize", *options, "--out", "whole").document)
    needed, pupil.asked[:] = pupil.requests, []

    def dies(number: int) -> None:
        if number in (5, 300, 500):
            raise EngineUnavailable("gone")

    pupil.before = dies
    codes = [balin("optimize", *options).code for _ in range(3)]
    found = balin("optimize", *options)
    assert (codes, found.code) == ([3, 3, 3], 0)
    assert [t["score"] for t in best(found.document)["trials"]] == [t["score"] for t in whole["trials"]]
    # Of a transcript that was cut short the probes are asked again; nothing else is.
    assert needed + 3 <= pupil.requests < needed + 3 * 13


def test_where_calls_fail_a_program_has_no_score(balin, pupil, data) -> None:
    def with_demos_fails(number: int) -> None:
        if "<|assistant|>- " in str(pupil.asked[-1]) and str(pupil.asked[-1]).count("<|user|>") > 5:
            raise CallTimeout("slow")

    pupil.before = with_demos_fails
    found = balin("optimize", "--data", data, *EMBEDDED, *ONE, "--demos", 13, "--json")
    assert found.code == 0, found.err
    result = best(found.document)
    coverage = result["trials"][-1]
    assert (coverage["score"], coverage["failures"], coverage["whole"]) == (None, {"timeout": 26}, None)
    assert result["best"]["strategy"] == "study"
    assert any("No strategy beats zero-shot and study" in s for s in result["says"])


def test_where_all_calls_fail_the_reason_is_given(balin, pupil, data) -> None:
    def fails(_: int) -> None:
        raise CallTimeout("too slow for anything")

    pupil.before = fails
    found = balin("optimize", "--data", data, *EMBEDDED, *ONE)
    assert found.code == 1
    assert "no program could be scored: too slow for anything" in found.err


def test_several_models_and_routes(balin, monkeypatch, tmp_path, data) -> None:
    names = ("smollm2:135m", "qwen2.5-coder:1.5b")
    engines = {name: Pupil(replace(IDENTITY, name=name)) for name in names}
    opened = take(monkeypatch, engines)
    found = balin(
        "optimize", "--data", data, *EMBEDDED, "--model", "qwen2.5-coder:1.5b", "--route", "direct",
        "--route", "translated", "--english", "given", *ONE, "--limit", 13, "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert len(found.document["results"]) == 4
    assert [(r["route"], r["english"]) for r in found.document["results"]] == [
        ("direct", None),
        ("translated", "given"),
    ] * 2
    # Each once before anything is asked, and then for the search and the run of each route.
    assert opened == ["smollm2:135m", "qwen2.5-coder:1.5b"] + ["smollm2:135m"] * 4 + ["qwen2.5-coder:1.5b"] * 4
    assert len({r["program"] for r in found.document["results"]}) == 4
    assert len({r["run"] for r in found.document["results"]}) == 4
    for text in demo_texts(engines["smollm2:135m"]):
        assert text.split()[0] in ("بیمار", "The")


def test_where_the_second_model_fails_the_first_one_s_result_is_told(balin, monkeypatch, data) -> None:
    engines = {name: Pupil(replace(IDENTITY, name=name)) for name in ("smollm2:135m", "qwen2.5-coder:1.5b")}
    take(monkeypatch, engines)

    def gone(_: int) -> None:
        raise EngineUnavailable("gone")

    engines["qwen2.5-coder:1.5b"].before = gone
    found = balin("optimize", "--data", data, *EMBEDDED, "--model", "qwen2.5-coder:1.5b", *ONE, "--limit", 13)
    assert found.code == 3
    (folder,) = Path("runs").glob("optimize-*")
    document = json.loads((folder / "optimize.json").read_text(encoding="utf-8"))
    assert [r["model"] for r in document["results"]] == ["smollm2:135m"]
    (run,) = Path("runs").glob("*/run.json")
    assert json.loads(run.read_text(encoding="utf-8"))["chosen"][0]["by"] == folder.name


def test_a_floor_that_dev_cannot_be_held_to_is_told_before_anything_is_asked(balin, pupil, tmp_path) -> None:
    calls = [replace(c, part="pool" if n % 2 else "dev") for n, c in enumerate(some_calls(30))]
    blind = [replace(c, present=c.present - {"pain"} if c.part == "dev" else c.present) for c in calls]
    data = write_calls(tmp_path / "blind.csv", blind)
    found = balin("optimize", "--data", data, *EMBEDDED, "--floor", "pain=0.9")
    assert (found.code, pupil.requests) == (2, 0)
    assert "--floor pain: dev has labels of one class only" in found.err


def test_an_embedder_that_cannot_read_a_text_spoils_its_own_strategy_only(balin, pupil, data, monkeypatch) -> None:
    class Short(WordEmbedder):  # type: ignore[misc]
        def embed(self, texts):
            raise PromptTooLong(600, 512)

    take_embedder(monkeypatch, Short())
    found = balin(
        "optimize", "--data", data, *EMBEDDED, "--strategy", "nearest", "--strategy", "random", "--candidates", 1,
        "--limit", 13, "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert found.err.count("nearest makes no candidate: the prompt needs 600 tokens") == 1
    assert {t["strategy"] for t in found.document["results"][0]["trials"]} == {"zero-shot", "study", "random"}


def test_the_translated_route_translates_pool_and_dev_once(balin, pupil, data) -> None:
    options = ("--data", data, *EMBEDDED, "--route", "translated", "--strategy", "random", "--candidates", 1, "--json")
    found = balin("optimize", *options)
    assert found.code == 0, found.err
    assert pupil.translations() == 52
    assert best(found.document)["translator"] == pupil.identity.name
    assert all(text.startswith("The patient") for text in texts_asked(pupil) if text.strip())


def test_a_tie_is_the_baselines(balin, engine, data, monkeypatch) -> None:
    class Knows(Pupil):
        def _answer(self, turns: list[str], text: str) -> set[str]:
            return self._heard(text)

    take(monkeypatch, Knows())
    found = balin("optimize", "--data", data, *EMBEDDED, *ONE)
    assert found.code == 0, found.err
    assert "The best of 3 programs is zero-shot" in found.err
    assert "No strategy beats zero-shot and study." in found.err
    assert "Tried on smollm2:135m, direct" in found.out


def test_models_whose_names_are_nearly_the_same_have_files_of_their_own(balin, pupil, data) -> None:
    models = (
        "--model",
        "qwen2.5:7b-instruct-q4_K_M",
        "--model",
        "qwen2.5:7b-instruct-q4_K_S",
        "--model",
        "qwen2.5-7b:instruct-q4_K_S",
    )
    found = balin("optimize", "--data", data, *EMBEDDED[:2], *models, *ONE, "--json")
    assert found.code == 0, found.err
    programs = [result["program"] for result in found.document["results"]]
    assert len({Path(p).name for p in programs}) == len(programs) == 3
    assert all(Path(p).exists() for p in programs)


def test_data_without_parts_are_refused_before_anything_is_asked(balin, pupil, tmp_path) -> None:
    bare = write_calls(tmp_path / "bare.csv", [Call(f"c{n}") for n in range(4)])
    found = balin("optimize", "--data", bare, *EMBEDDED)
    assert (found.code, pupil.requests) == (2, 0)
    assert "--split-seed" in found.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--english", "given"), "--route translated"),
        (("--translator", "aya-expanse:8b"), "--route translated"),
        (("--strategy", "magic"), "--strategy"),
        (("--demos", 0), "--demos"),
        (("--language", "xx"), "xx"),
        (("--language", "xx", "--route", "translated"), "xx"),
    ],
)
def test_wrong_use_is_2(balin, pupil, data, options, said) -> None:
    found = balin("optimize", "--data", data, *EMBEDDED, *options)
    assert (found.code, pupil.requests) == (2, 0)
    assert said in found.err


def test_a_pool_without_a_positive_is_told(balin, pupil, tmp_path) -> None:
    parts = ["pool"] * 12 + ["dev"] * 26
    calls = [Call(f"c{n}", frozenset({SET.ids[n % (12 if n < 12 else 13)]}), part=p) for n, p in enumerate(parts)]
    found = balin("optimize", "--data", write_calls(tmp_path / "c.csv", calls), *EMBEDDED, *ONE, "--json")
    assert found.code == 0, found.err
    assert SET.ids[12] in "".join(best(found.document)["warnings"])
    assert f"No transcript of the pool has {SET.ids[12]}" in found.err


def test_a_patient_of_the_test_part_is_in_no_demo(balin, pupil, tmp_path) -> None:
    parts = ["pool"] * 26 + ["dev"] * 26 + ["test"] * 13
    calls = [
        Call(f"c{n}", frozenset({SET.ids[n % 13]}), part=p, group="x" if n in (0, 60) else f"g{n}")
        for n, p in enumerate(parts)
    ]
    options = ("--strategy", "random", "--candidates", 1, "--demos", 26, "--limit", 13, "--json")
    found = balin("optimize", "--data", write_calls(tmp_path / "c.csv", calls), *EMBEDDED, *options)
    assert found.code == 0, found.err
    (drawn,) = [t["demos"] for t in best(found.document)["trials"] if t["strategy"] == "random"]
    assert "c0" not in drawn
    assert "1 transcripts of the pool cannot be demos: shares id, group or text" in found.err
