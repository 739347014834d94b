"""True and False as models write them, and as probabilities of one token."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from balin.engines.protocol import TokenChoice
from balin.programs.formats.values import fold, probability, read_value

TRUE_TOKENS = (" True", "True", "true", " yes", "Yes", "True,", " بله", "1", " t", "T", "Tr")
FALSE_TOKENS = (" False", "False", "false", " no", "No", "False\n", " خیر", "0", " f", "F", "Fal")
OTHER_TOKENS = ("\n", " ", "", "Pain", " {", '"', " the", " not", "tall", "fair", "unknown", "؟", "2")

logprobs = st.floats(-60, 0)
tokens = st.sampled_from((*TRUE_TOKENS, *FALSE_TOKENS, *OTHER_TOKENS))
tops = st.dictionaries(tokens, logprobs, max_size=20).map(lambda d: tuple(d.items()))


def choice(*top: tuple[str, float]) -> TokenChoice:
    return TokenChoice(top[0][0], math.log(top[0][1]), tuple((t, math.log(p)) for t, p in top))


class TestProbability:
    def test_the_rest_of_the_mass_is_left_out(self):
        assert probability(choice((" True", 0.3), ("\n", 0.6), (" False", 0.1))) == pytest.approx(0.75)

    def test_variants_of_a_value_are_added_up(self):
        found = probability(choice((" True", 0.2), ("True", 0.1), ("true", 0.1), (" False", 0.1), (" no", 0.1)))
        assert found == pytest.approx(4 / 6)

    def test_one_value_alone_is_certain(self):
        assert probability(choice((" True", 0.01), ("x", 0.9))) == 1.0
        assert probability(choice((" False", 0.01), ("x", 0.9))) == 0.0

    def test_neither_value_is_none(self):
        assert probability(choice(("Pain", 0.9), ("\n", 0.1))) is None
        assert probability(TokenChoice("", 0.0)) is None

    @pytest.mark.parametrize("token", TRUE_TOKENS)
    def test_a_token_that_begins_or_holds_true(self, token):
        assert probability(TokenChoice(token, -0.5, ((token, -0.5), ("x", -2.0)))) == 1.0

    @pytest.mark.parametrize("token", FALSE_TOKENS)
    def test_a_token_that_begins_or_holds_false(self, token):
        assert probability(TokenChoice(token, -0.5, ((token, -0.5), ("x", -2.0)))) == 0.0

    @pytest.mark.parametrize("token", OTHER_TOKENS)
    def test_a_token_that_is_neither(self, token):
        assert probability(TokenChoice(token, -0.5, ((token, -0.5),))) is None

    def test_the_written_token_counts_once_and_also_without_alternatives(self):
        assert probability(TokenChoice(" True", -0.1)) == 1.0
        with_it = TokenChoice(" True", math.log(0.6), ((" True", math.log(0.6)), (" False", math.log(0.4))))
        without_it = TokenChoice(" True", math.log(0.6), ((" False", math.log(0.4)),))
        assert probability(with_it) == pytest.approx(0.6)
        assert probability(without_it) == pytest.approx(0.6)

    def test_an_impossible_token_is_no_evidence(self):
        top = ((" True", 0.0), (" False", -math.inf))
        assert probability(TokenChoice(" True", 0.0, top)) == 1.0
        assert probability(TokenChoice("x", 0.0, (("x", 0.0), (" True", -math.inf)))) is None

    @given(tops, tokens, logprobs)
    def test_it_is_none_or_between_0_and_1(self, top, token, logprob):
        found = probability(TokenChoice(token, logprob, top))
        assert found is None or 0.0 <= found <= 1.0

    @given(st.text(max_size=12), logprobs, st.lists(st.tuples(st.text(max_size=8), logprobs), max_size=8))
    def test_any_tokens_at_all(self, token, logprob, top):
        found = probability(TokenChoice(token, logprob, tuple(top)))
        assert found is None or 0.0 <= found <= 1.0

    @given(tops, st.floats(-20, 0))
    def test_mass_lost_to_other_tokens_changes_nothing(self, top, lost):
        assume(top)
        token, logprob = top[0]
        full = probability(TokenChoice(token, logprob, top))
        less = probability(TokenChoice(token, logprob + lost, tuple((t, p + lost) for t, p in top)))
        assert less == (full if full is None else pytest.approx(full, rel=1e-6, abs=1e-12))

    @given(st.floats(-30, 0), st.floats(-30, 0), st.floats(0.01, 5))
    def test_it_grows_with_the_mass_of_true(self, true, false, more):
        def of(logprob: float) -> float:
            found = probability(TokenChoice("x", 0.0, ((" True", logprob), (" False", false))))
            assert found is not None
            return found

        assert of(true - more) <= of(true)
        assert of(true) == pytest.approx(1 / (1 + math.exp(false - true)))


class TestReadValue:
    @pytest.mark.parametrize(
        "text",
        [
            "True",
            "true.",
            " TRUE ",
            "**True**",
            "`True`",
            '"true"',
            "True (pain)",
            "Yes",
            "yes, since Monday",
            "1",
            "Present",
            "✓",
            "✅",
            "بله",
            "بلی",
            "بلي",
            "آری",
            "درست",
            "دارد",
            "مثبت",
            "ja",
            "Wahr",
            "True\u200f",
            "= True",
            "Ｔｒｕｅ",
        ],
    )
    def test_true(self, text):
        assert read_value(text) is True

    @pytest.mark.parametrize(
        "text",
        [
            "False",
            "false.",
            "**False**",
            "no",
            "No.",
            "0",
            "absent",
            "Negative",
            "✗",
            "❌",
            "خیر",
            "خير",
            "نه",
            "نادرست",
            "ندارد",
            "منفی",
            "منفي",
            "nein",
            "Falsch",
            "False (not mentioned)",
        ],
    )
    def test_false(self, text):
        assert read_value(text) is False

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "...",
            "True/False",
            "true or false",
            "False / True",
            "yes/no",
            "بله/خیر",
            "not mentioned",
            "Not true",
            "unknown",
            "N/A",
            "None",
            "null",
            "maybe",
            "Trueish",
            "نامشخص",
            "ذکر نشده",
            "2",
            "10",
            "pain",
            "not present",
        ],
    )
    def test_neither(self, text):
        assert read_value(text) is None

    @pytest.mark.parametrize(("persian", "value"), [("۱", True), ("۰", False), ("١", True), ("٠", False)])
    def test_digits_of_every_script(self, persian, value):
        assert read_value(persian) is value

    @given(st.text())
    def test_any_text_gives_true_false_or_none(self, text):
        assert read_value(text) in (True, False, None)


class TestFold:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("كيف", "کیف"),
            ("PAIN", "pain"),
            ("Ｐａｉｎ：", "pain:"),
            ("\ufeffتب\u200f", "تب"),
            ("می\u200cخوابد", "می خوابد"),
            ("۱۲", "12"),
            ("١٢", "12"),
        ],
    )
    def test_what_looks_the_same_is_the_same(self, one, other):
        assert fold(one) == fold(other)

    @given(st.text())
    def test_any_text(self, text):
        assert isinstance(fold(text), str)
