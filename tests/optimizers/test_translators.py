"""The choice of a translator: what it is scored by, which candidates there are, and how demos are chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from balin.data.transcripts import Transcript
from balin.engines.protocol import Telemetry
from balin.optimizers.translation_score import COPIED, LOST, TranslatorScore, judge, paired_difference
from balin.optimizers.translators import (
    TRANSLATOR_STRATEGIES,
    TranslatorCandidate,
    TranslatorSetting,
    choose_demos,
    demo_room,
)
from balin.programs.translation import Translation, negations, numbers
from balin.programs.translator import REPEAT_PENALTY, Translator
from balin.signatures.features import load_feature_set
from balin.signatures.translate import INPUT, instruction_wordings

SET = load_feature_set("palliative13")
COST = Telemetry(1, 0, 100, 0, 7, 0.5, 0.25, 0.0, 1.0)
TAKEN = "the nurse came at dusk and left the oxygen by the door"


def call(
    number: int, text: str = "بیمار درد دارد.", english: str = "The patient has pain.", **fields: Any
) -> Transcript:
    return Transcript(id=f"c{number:02d}", text=text, english=english, **fields)


def made(text: str | None, failure: str | None = None) -> Translation:
    return Translation(text, COST if text else Telemetry(), 1.0, failure=failure, detail=failure and "why")


def score(calls: Sequence[Transcript], texts: Sequence[Any], shown: Sequence[str] = ()) -> TranslatorScore:
    return TranslatorScore.of(calls, [made(t) if isinstance(t, str) else made(None, *t) for t in texts], shown)


class TestTheScore:
    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("She does not sleep and has no fever; never cried.", 3),
            ("She doesn't, he isn’t, they cannot, and nobody denies it.", 5),
            ("Notes on nonsense: another normal knot.", 0),
            ("", 0),
        ],
    )
    def test_negations_are_words(self, text, count):
        assert negations(text) == count

    def test_numbers_are_read_in_any_script(self):
        assert numbers("دما ۳۸ و 07") == {"38", "7"}

    def test_a_perfect_translation_has_all_points(self):
        text = "No fever, 38 degrees."
        found = judge("تب ندارد، ۳۸", text, text, [text], 100.0)
        assert (found.points, found.copied) == (100.0, 0)
        assert (found.numbers, found.negations) == ((1, 1), (1, 1))

    def test_what_is_lost_or_copied_costs_points_and_never_below_none(self):
        source, reference = "تب ندارد، ۳۸ و ۱۲", "No fever and no pain, 38 and 12."
        assert judge(source, "No pain, 38.", reference, [], 60.0).points == 60 - LOST / 2 - LOST / 2
        assert judge(source, "Fever.", reference, [], 60.0).points == 60 - 2 * LOST
        assert judge(source, f"{reference} {TAKEN}", reference, [f"Yes, {TAKEN}."], 60.0).points == 60 - COPIED
        assert judge(source, f"{reference} {TAKEN}", f"{reference} {TAKEN}", [TAKEN], 60.0).copied == 0
        assert judge(source, "", reference, [], 0.0).points == 0

    def test_a_number_that_the_reference_spells_out_is_not_asked_for(self):
        assert judge("۲ بار", "twice", "two times", [], 50.0).numbers.of == 0

    def test_more_negations_than_the_reference_has_are_no_credit(self):
        assert judge("x", "no no no", "no, never", [], 50.0).negations == (2, 2)

    def test_an_unfinished_translation_is_an_empty_text(self):
        calls = [call(1), call(2)]
        whole = "The patient has pain."
        texts = [whole, ("incomplete_answer",)]
        found = score(calls, texts)
        assert found.points.tolist() == [100.0, 0.0]
        assert (found.value, found.failures, found.detail) == (50.0, {"incomplete_answer": 1}, "why")
        assert found.chrf == pytest.approx(CHRF().corpus_score([whole, ""], [[c.english or "" for c in calls]]).score)
        assert (found.cost.answers, found.cost.calls) == (1, 1)

    def test_a_failure_that_is_not_the_translators_lowers_no_score(self):
        calls = [call(n) for n in range(60)]
        good = ["The patient has pain."] * 59
        found = score(calls, [*good, ("timeout",)])
        assert found.value == 100.0
        assert math.isnan(found.points[-1])
        assert score(calls, [*good[1:], ("timeout",), ("call_failed",)]).value is None
        assert score(calls[:1], [("timeout",)]).value is None

    def test_its_record_holds_no_text(self):
        calls = [call(1, "بیمار ۵ بار", "Five, not 5.")]
        text = str(score(calls, [f"Five 5 {TAKEN}"], [TAKEN]).to_dict())
        assert "Five" not in text
        assert "oxygen" not in text
        assert "'copied': 1" in text

    @given(st.text(max_size=80), st.text(max_size=80), st.floats(0, 100))
    @settings(max_examples=40, deadline=None, derandomize=True)
    def test_points_are_between_none_and_chrf(self, text, reference, value):
        found = judge("۱ ۲", text, reference, [reference], value)
        assert 0 <= found.points <= value
        assert 0 <= found.numbers.lost <= 1
        assert 0 <= found.negations.lost <= 1


class TestTheDifference:
    def pair(self, ahead: Sequence[float], groups: Sequence[str | None]) -> tuple[TranslatorScore, TranslatorScore]:
        calls = [call(n, group=g) for n, g in enumerate(groups)]
        base = score(calls, ["The patient has pain."] * len(calls))
        return replace(base, points=np.array(ahead)), replace(base, points=np.zeros(len(calls)))

    def test_a_translator_that_is_always_ahead_is_proven(self):
        found = paired_difference(*self.pair([4.0, 6.0] * 10, [None] * 20))
        assert found.value == 5
        assert found.proven
        assert 4 <= found.low <= 5 <= found.high <= 6

    def test_one_that_is_ahead_half_the_time_is_not(self):
        found = paired_difference(*self.pair([9.0, -7.0] * 5, [None] * 10))
        assert found.value == 1
        assert not found.proven

    def test_a_group_is_drawn_whole(self):
        alone = paired_difference(*self.pair([9.0] * 8 + [-7.0] * 8, [None] * 16))
        grouped = paired_difference(*self.pair([9.0] * 8 + [-7.0] * 8, ["a"] * 8 + ["b"] * 8))
        assert (grouped.low, grouped.high) == (-7, 9)
        assert alone.high < 9

    def test_one_group_or_nothing_in_common_has_no_interval(self):
        assert paired_difference(*self.pair([1.0, 2.0], ["a", "a"])).low is None
        one, other = self.pair([math.nan, 2.0], [None, None])
        assert paired_difference(one, other).value == 2
        assert paired_difference(one, other).low is None
        assert paired_difference(replace(one, points=np.full(2, math.nan)), other).low is None


def varied(count: int = 12) -> list[Transcript]:
    """Short, middling and long calls; every second denies something, every third has a number."""
    found = []
    for n in range(count):
        english = f"Call {'x' * n}" + (" has no fever" if n % 2 else "") + (" at 38" if n % 3 == 0 else "")
        text = "متن " * (1 + 5 * (n % 3)) + "ب" * n + (" ۳۸" if n % 3 == 0 else "")
        found.append(call(n, text, english, group=f"p{n // 2}"))
    return found


class TestDemos:
    def test_four_show_negation_number_and_every_length(self):
        chosen = choose_demos(varied(), 4, 0, 1e9)
        assert len(chosen) == len({t.group for t in chosen}) == 4
        assert any(negations(t.english) for t in chosen)
        assert any(numbers(t.english) for t in chosen)
        lengths = sorted(len(t.text) for t in chosen)
        assert lengths[0] < 25 < lengths[-1]

    def test_two_show_a_negation_and_a_number_already(self):
        for seed in range(5):
            chosen = choose_demos(varied(), 2, seed, 1e9)
            assert any(negations(t.english) for t in chosen)
            assert any(numbers(t.english) for t in chosen)

    def test_they_depend_on_the_seed_and_not_on_the_order_of_rows(self):
        pool = varied(24)
        draws = [choose_demos(pool, 4, seed, 1e9) for seed in range(6)]
        assert [choose_demos(pool[::-1], 4, seed, 1e9) for seed in range(6)] == draws
        assert len({tuple(t.id for t in d) for d in draws}) > 1

    def test_those_that_do_not_fit_are_left_out(self):
        pool = varied()
        whole = choose_demos(pool, 4, 0, 1e9)
        room = sum(len(t.text) + len(t.english or "") for t in whole) - 1
        fewer = choose_demos(pool, 4, 0, room)
        assert sum(len(t.text) + len(t.english or "") for t in fewer) <= room
        assert choose_demos(pool, 4, 0, 0) == ()
        assert choose_demos([], 4, 0, 1e9) == ()
        assert len(choose_demos(pool[:3], 4, 0, 1e9)) == 3

    def test_the_room_is_what_the_context_leaves(self):
        translator = Translator(SET)
        prompt = sum(
            len(m.content) for m in translator.adapter.messages(translator.predict.signature, [], {INPUT: "x" * 300})
        )
        answered = [("x" * 300, replace(COST, prompt_tokens=prompt // 2))]
        wide, narrow = (demo_room(translator, answered, num_ctx, "x" * 300) for num_ctx in (4096, 1024))
        assert wide - narrow == pytest.approx(3072 / (1.2 * (prompt // 2) / prompt))
        assert demo_room(translator, answered, 256, "x" * 300) < 0
        # Nothing was answered: a token a character, generously.
        assert demo_room(translator, [], 4096, "x" * 300) < wide


class TestStrategies:
    def setting(self, best: TranslatorCandidate, **options: Any) -> TranslatorSetting:
        usual: dict[str, Any] = {
            "wordings": tuple(instruction_wordings(SET)), "pool": varied(24), "sizes": (2, 4), "candidates": 2, "seed": 0,
            "best": lambda: best, "room": lambda: 1e9,
        }  # fmt: skip
        return TranslatorSetting(**(usual | options))

    def made(self, name: str, best: TranslatorCandidate, **options: Any) -> list[TranslatorCandidate]:
        return list(TRANSLATOR_STRATEGIES[name](self.setting(best, **options)))

    def test_other_words_have_no_demos(self):
        found = self.made("wording", TranslatorCandidate())
        assert [(c.wording, c.demos, c.repeat_penalty) for c in found] == [
            ("facts", (), REPEAT_PENALTY),
            ("literal", (), REPEAT_PENALTY),
        ]

    def test_demos_go_with_the_best_words_each_number_before_another_draw(self):
        found = self.made("demos", TranslatorCandidate("wording", "facts"))
        assert [(c.wording, len(c.demos)) for c in found] == [("facts", 2), ("facts", 4)] * 2
        assert "4 demos" in found[1].description
        assert "left out" in self.made("demos", TranslatorCandidate(), room=lambda: 60.0)[1].description

    def test_words_are_combined_with_demos_only_where_demos_are_best(self):
        with_demos = TranslatorCandidate("demos", "default", tuple(varied(2)))
        found = self.made("combined", with_demos)
        assert {c.wording for c in found} == set(instruction_wordings(SET))
        assert all(c.demos == with_demos.demos for c in found)
        assert self.made("combined", TranslatorCandidate()) == []

    def test_the_penalty_is_tried_on_the_best_of_all(self):
        best = TranslatorCandidate("demos", "literal", tuple(varied(2)))
        found = self.made("penalty", best)
        assert {c.repeat_penalty for c in found} >= {1.0, REPEAT_PENALTY}
        assert all((c.wording, c.demos) == (best.wording, best.demos) for c in found)

    def test_a_candidate_is_the_program_it_says(self):
        candidate = TranslatorCandidate("penalty", "literal", tuple(varied(2)), 1.0)
        program = candidate.program(SET)
        assert program.name == candidate.name == "literal-2-demos-penalty-1"
        assert program.predict.signature.instructions == instruction_wordings(SET)["literal"]
        assert program.pairs() == [(t.text, t.english) for t in candidate.demos]
        assert program.adapter.repeat_penalty == 1.0
        assert TranslatorCandidate().program(SET).hash() == Translator(SET).hash()
