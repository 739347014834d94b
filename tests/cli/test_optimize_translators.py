"""`balin optimize --stage translate`: a translator chosen on the pool, frozen, and used by the other commands."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from balin.data.files import write_private
from balin.deployment.export import export_run
from balin.engines.protocol import ChatRequest, Completion
from balin.errors import CallTimeout, EngineUnavailable, IncompleteAnswer, InputError
from balin.programs.translator import Translator
from balin.programs.translator_file import load_translator, save_translator

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import SET, Call, WordEngine, take, to_english, write_calls  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")
STAGE = ("optimize", "--stage", "translate", *EMBEDDED)
DENIED, DOSE = "تب ندارد ۳۸", "has no fever 38 degrees"


@dataclass
class Apprentice(WordEngine):  # type: ignore[misc]
    """Translates whole only what its demos taught it; told that negations matter, it keeps those; `cut` it does not finish."""

    cut: str = "–never–"

    def chat(self, request: ChatRequest) -> Completion:
        if "medical translator" not in request.messages[0].content:
            return super().chat(request)
        self._count(request.messages)
        system, *turns, last = [m.content for m in request.messages]
        if self.cut in last and not turns:
            raise IncompleteAnswer("cut")
        said = DOSE if turns else "has no fever" if "Negations" in system else DENIED
        return self._said(to_english(last.replace(DENIED, said)), last)


@pytest.fixture
def apprentice(monkeypatch: pytest.MonkeyPatch) -> Apprentice:
    made = Apprentice()
    take(monkeypatch, made)
    return made


def calls(**fields: Any) -> list[Call]:
    parts = ["pool"] * 16 + ["dev"] * 6 + ["test"] * 4
    return [
        Call(f"c{n}", frozenset({SET.ids[n % 13]}), **{"part": part, "group": f"g{n}", "remark": DENIED} | fields)
        for n, part in enumerate(parts)
    ]


def written(path: Path, given: list[Call]) -> Path:
    """The English of a call says what its Persian says."""
    write_calls(path, given)
    lines = path.read_text(encoding="utf-8").splitlines()
    english = [
        line.replace(f"The patient {c.id} {DENIED}", f"The patient {c.id} {DOSE}")
        for line, c in zip(lines[1:], given, strict=True)
    ]
    path.write_text("\n".join([lines[0], *english]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "calls.csv", calls())


def asked_ids(engine: WordEngine) -> set[str]:
    return {
        m.content.split()[1] for asked in engine.asked if not isinstance(asked, str) for m in asked if m.role == "user"
    }


def test_the_best_translator_is_left_as_a_file_with_all_that_was_tried(balin, apprentice, data):
    found = balin(*STAGE, "--data", data, "--candidates", 2, "--json")
    assert found.code == 0, found.err
    document = found.document
    assert found.out.count("\n") == 1
    default, facts, *others = document["trials"]
    assert [t["strategy"] for t in document["trials"]][:5] == ["default", "wording", "wording", "demos", "demos"]
    n = document["data"]["scored"]
    assert n + document["data"]["demos"] == 16
    assert default["negations"] == {"found": 0, "of": n}
    assert default["numbers"]["found"] == default["numbers"]["of"] == 2 * n  # that of its id is one, too
    assert facts["negations"] == {"found": n, "of": n}
    assert facts["numbers"] == {"found": n, "of": 2 * n}
    best = document["best"]
    assert best["demos"]
    assert best["score"] == max(t["score"] for t in document["trials"]) > default["score"]
    assert document["against"]["default"]["proven"]
    assert document["tried"] == len(document["trials"]) == 3 + len(others) - 1
    assert best["cost"]["calls"] == n
    program = load_translator(Path(document["program"]), SET)
    assert program.hash() == best["program"]
    assert len(program.pairs()) == len(best["demos"])
    folder = Path(document["folder"])
    assert json.loads((folder / "optimize.json").read_text()) == document
    for name in ("optimize.json", "report.md"):
        assert "The patient" not in (folder / name).read_text()
    assert (folder / "translator.json").stat().st_mode & 0o777 == 0o600
    assert "Against the default translator: +" in found.err
    shown = balin(*STAGE, "--data", data, "--candidates", 2)
    assert "Negations" in shown.out


def test_only_the_pool_is_asked_about_and_no_demo_is_scored(balin, apprentice, data):
    found = balin(*STAGE, "--data", data, "--limit", 8, "--json")
    assert found.code == 0, found.err
    assert asked_ids(apprentice) <= {f"c{n}" for n in range(16)}
    assert found.document["data"]["scored"] == 8
    assert found.document["data"]["demos"] == 8
    scored = {asked[-1].content.split()[1] for asked in apprentice.asked}
    shown = {i for t in found.document["trials"] for i in t["demos"]}
    assert len(scored) == 8
    assert shown
    assert not scored & shown


def test_a_patient_is_on_one_side_and_one_of_dev_on_none(balin, apprentice, tmp_path):
    given = [
        replace(c, group=f"p{n // 2}" if n < 12 else "p99" if n in (12, 20) else f"g{n}") for n, c in enumerate(calls())
    ]
    found = balin(*STAGE, "--data", written(tmp_path / "c.csv", given), "--limit", 8, "--json")
    assert found.code == 0, found.err
    groups = {c.id: c.group for c in given}
    scored = {groups[asked[-1].content.split()[1]] for asked in apprentice.asked}
    shown = {groups[i] for t in found.document["trials"] for i in t["demos"]}
    assert not scored & shown
    assert "p99" not in scored | shown
    assert any(
        "1 transcripts of the pool are left out: they share id, group or text" in w for w in found.document["warnings"]
    )


def test_run_again_it_asks_nothing_and_after_an_outage_it_goes_on(balin, apprentice, data):
    options = (*STAGE, "--data", data, "--candidates", 1, "--json")

    def dies(number: int) -> None:
        if number in (5, 20):
            raise EngineUnavailable("gone")

    apprentice.before = dies
    assert [balin(*options).code for _ in range(2)] == [3, 3]
    first = balin(*options)
    assert first.code == 0, first.err
    needed = sum(t["cost"]["calls"] for t in first.document["trials"])
    assert apprentice.requests == needed + 2
    assert balin(*options).document == first.document
    assert apprentice.requests == needed + 2


def test_an_unfinished_translation_counts_as_empty_and_is_reported(balin, apprentice, data):
    apprentice.cut = "بیمار"
    found = balin(*STAGE, "--data", data, "--candidates", 1, "--json")
    assert found.code == 0, found.err
    default = found.document["trials"][0]
    assert (default["score"], default["chrf"], default["failures"]) == (0.0, 0.0, {"incomplete_answer": default["n"]})
    assert found.document["best"]["demos"]
    assert found.document["best"]["failures"] == {}


def test_failures_of_the_engine_lower_no_score(balin, apprentice, data):
    def slow(_: int) -> None:
        raise CallTimeout("too slow for anything")

    apprentice.before = slow
    found = balin(*STAGE, "--data", data)
    assert found.code == 1
    assert "no translator could be scored: too slow for anything" in found.err


def test_where_nothing_beats_the_default_it_says_so_and_leaves_it(balin, monkeypatch, data):
    engine = WordEngine(english=lambda text: to_english(text.replace(DENIED, DOSE)))
    take(monkeypatch, engine)
    found = balin(*STAGE, "--data", data, "--candidates", 1, "--json")
    assert found.code == 0, found.err
    assert found.document["against"] is None
    assert "No translator beats the default" in found.err
    assert load_translator(Path(found.document["program"]), SET).hash() == Translator(SET).hash()


def test_sentences_taken_from_demos_are_counted_and_cost_points(balin, monkeypatch, data):
    class Parrot(Apprentice):
        def chat(self, request: ChatRequest) -> Completion:
            made = super().chat(request)
            taught = [m.content for m in request.messages if m.role == "assistant"]
            return self._said(" ".join([made.text, *taught[:1]]), request.messages[-1].content)

    take(monkeypatch, Parrot())
    found = balin(*STAGE, "--data", data, "--candidates", 1, "--json")
    with_demos = [t for t in found.document["trials"] if t["demos"]]
    assert with_demos
    assert all(t["copied"] > 0 and t["longest_copied_words"] >= 8 for t in with_demos)
    assert found.document["trials"][0]["copied"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--route", "translated"), "--route is about extracting"),
        (("--format", "probe"), "--format is about extracting"),
        (("--translator-program", "x.json"), "--translator-program is about extracting"),
        (("--model", "other"), "one translating model at a time"),
        (("--stage", "both"), "--stage"),
    ],
)
def test_what_would_have_no_effect_is_refused(balin, apprentice, data, options, said):
    found = balin(*STAGE, "--data", data, *options)
    assert (found.code, apprentice.requests) == (2, 0)
    assert said in found.err


def test_a_pool_without_references_or_no_pool_is_refused(balin, apprentice, tmp_path):
    bare = write_calls(tmp_path / "bare.csv", [replace(c, english=False) for c in calls()])
    found = balin(*STAGE, "--data", bare)
    assert (found.code, apprentice.requests) == (2, 0)
    assert "0 transcripts of the pool have an English reference (columns text_en, medical_history_en)" in found.err
    undivided = write_calls(tmp_path / "flat.csv", calls(part=None))
    found = balin(*STAGE, "--data", undivided)
    assert found.code == 2
    assert "--split-seed" in found.err


class TestAFrozenTranslator:
    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        """Taught by c0 and c1 of the pool."""
        translator = Translator(SET, name="taught")
        first, second = calls()[:2]
        translator.set_demos(
            [(first.text("fa"), first.text("en").replace(DENIED, DOSE)), (second.text("fa"), "Invented.")]
        )
        save_translator(translator, tmp_path / "frozen.json")
        return tmp_path / "frozen.json"

    def test_evaluate_reads_its_translations_and_the_run_says_so(self, balin, apprentice, data, program):
        options = ("--data", data, *EMBEDDED, "--route", "translated", "--translator-program", program, "--demos", 0)
        found = balin("evaluate", *options, "--json")
        assert found.code == 0, found.err
        folder = Path(found.document["run"])
        run = json.loads((folder / "run.json").read_text())
        translator = load_translator(program, SET)
        assert run["translator"]["program"] == {"name": "taught", "hash": translator.hash(), "demos": 2}
        assert found.document["translator_program"] == "taught"
        assert (folder / "translator.json").read_bytes() == program.read_bytes()
        assert "taught, 2 demos" in (folder / "report.md").read_text()
        translating = [a for a in apprentice.asked if not isinstance(a, str) and "translator" in a[0].content]
        assert {len(a) for a in translating} == {6}
        asked = apprentice.requests
        translated = balin("translate", data, *EMBEDDED, "--part", "dev", "--translator-program", program, "--json")
        assert translated.document["stored"] == 6
        assert apprentice.requests == asked
        assert translated.document["translator_program"]["hash"] == translator.hash()
        with pytest.raises(InputError, match="translator demo 1, translator demo 2"):
            export_run(folder, SET)
        made = export_run(folder, SET, allow_demos=True)
        assert DOSE in made.files["steps.json"].decode()
        assert [d.source for d in made.manifest.demos] == ["allowed"] * 2

    def test_its_demos_are_not_scored(self, balin, apprentice, data, program):
        options = ("--data", data, *EMBEDDED, "--route", "translated", "--translator-program", program)
        found = balin("evaluate", *options, "--part", "pool")
        assert (found.code, apprentice.requests) == (2, 0)
        assert "its demos hold the text of 2 transcripts to be scored (c0, c1)" in found.err
        assert "The patient" not in found.err

    def test_optimize_and_search_take_it_and_refuse_one_that_shows_the_test_part(
        self, balin, apprentice, data, program, tmp_path
    ):
        options = ("--data", data, *EMBEDDED, "--route", "translated", "--translator-program")
        found = balin("optimize", *options, program, "--strategy", "random", "--candidates", 1, "--json")
        assert found.code == 0, found.err
        run = json.loads((Path(found.document["results"][0]["run"]) / "run.json").read_text())
        assert run["translator"]["program"]["name"] == "taught"
        assert run["settings"]["translator_program"] == str(program)
        small = (
            "--strategy",
            "random",
            "--demos",
            2,
            "--draws",
            1,
            "--format",
            "json",
            "--max-trials",
            2,
            "--thresholds",
            "off",
        )
        searched = balin("search", *options, program, *small, "--json")
        assert searched.code == 0, searched.err
        run = json.loads((Path(searched.document["run"]) / "run.json").read_text())
        assert run["translator"]["program"]["name"] == "taught"
        leaking = Translator(SET)
        leaking.set_demos([(calls()[-1].text("fa"), "x")])
        save_translator(leaking, tmp_path / "leaking.json")
        asked = apprentice.requests
        for command in ("optimize", "search"):
            found = balin(command, *options, tmp_path / "leaking.json")
            assert found.code == 2
            assert "its demos hold the text of 1 transcripts to be scored (c25)" in found.err
        assert apprentice.requests == asked

    @pytest.mark.parametrize("command", ["evaluate", "optimize", "search"])
    def test_it_goes_with_the_translated_route(self, balin, apprentice, data, program, command):
        base = (command, "--data", data, *EMBEDDED, "--translator-program", program)
        for options in ((), ("--route", "translated", "--english", "given")):
            found = balin(*base, *options)
            assert (found.code, apprentice.requests) == (2, 0)
            assert "--translator-program" in found.err
        write_private(program, b"{}")
        found = balin(*base, "--route", "translated")
        assert (found.code, apprentice.requests) == (2, 0)
        assert "schema None is unknown" in found.err
