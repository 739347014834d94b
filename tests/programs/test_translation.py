"""The checks on a translation that need no reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.protocol import Telemetry
from balin.programs.translation import FOREIGN_SHARE, LENGTH_RATIO, Translation, check_translation

NAMES = ("length", "untranslated", "numbers", "refusal", "repetition")
SOURCE = "بیمار از ۳ روز پیش تب ۳۸٫۵ دارد و امروز دو بار استفراغ کرده است."
GOOD = "The patient has had a fever of 38.5 for 3 days and has vomited twice today."


def test_a_good_translation_passes():
    assert check_translation(SOURCE, GOOD) == ()


@pytest.mark.parametrize(
    ("translation", "name"),
    [
        ("Fever 38.5 for 3 days.", "length"),
        (GOOD * 3, "length"),
        ("", "length"),
        (SOURCE, "untranslated"),
        ("The patient has had تب for 3 days, 38.5, and has استفراغ today.", "untranslated"),
        ("I’m sorry, I can’t translate this note of 3 days and 38.5 degrees of fever.", "refusal"),
        (GOOD.replace("38.5", "39.5"), "numbers"),
        (GOOD.replace(" for 3 days", ""), "numbers"),
        ("I'm sorry, but I cannot help with translating 3 medical notes of 38.5 words today.", "refusal"),
        ("As an AI model I have no opinion on 38.5 or on the 3 days of this note.", "refusal"),
        ("The patient vomited again. " * 3 + "38.5, 3 days.", "repetition"),
    ],
)
def test_each_check_finds_what_it_is_for(translation, name):
    assert name in check_translation(SOURCE, translation)


@pytest.mark.parametrize("said", ["I cannot sleep", "I am unable to walk", "I'm sorry to trouble you", "I can’t eat"])
def test_a_caller_who_cannot_is_no_refusal(said):
    assert check_translation(SOURCE, f"{said}, a fever of 38.5 for 3 days, vomited twice today.") == ()


def test_several_warnings_in_a_fixed_order():
    found = check_translation(SOURCE, "متاسفم. " * 60)
    assert found == tuple(n for n in NAMES if n in found)
    assert {"length", "untranslated", "numbers"} <= set(found)


def test_one_persian_name_in_a_text_is_no_failure():
    assert check_translation(SOURCE, GOOD + " He takes آسپرین.") == ()


def test_digits_of_any_script_are_the_same_numbers():
    for digits in ("۳۸", "٣٨", "38"):
        assert check_translation(f"دمای بدن بیمار {digits} درجه است.", "The patient's temperature is 38 degrees.") == ()
        assert "numbers" in check_translation(
            f"دمای بدن بیمار {digits} درجه است.", "The patient's temperature is normal."
        )


def test_between_two_latin_scripts_nothing_is_called_untranslated():
    assert check_translation("Der Patient hat seit gestern Fieber.", "The patient has had fever since yesterday.") == ()
    assert "untranslated" not in check_translation("Der Patient hat Fieber.", "Der Patient hat Fieber.")


def test_a_sentence_may_stand_twice_and_a_short_one_often():
    twice = "He has a fever. He has a fever. Three days now, it is 38.5 and 3."
    assert "repetition" not in check_translation(SOURCE, twice)
    assert "repetition" not in check_translation(SOURCE, "Yes. Yes. Yes. He has 38.5 for 3 days and vomits now.")


def test_an_empty_source_and_one_without_words_are_no_crash():
    for source in ("", " ", "؟!", "😀"):
        assert set(check_translation(source, "Fever.")) <= set(NAMES)


def test_a_number_of_any_length_is_no_crash():
    assert check_translation("شماره " + "9" * 5000, "Number " + "9" * 5000) == ()


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts(source, translation):
    found = check_translation(source, translation)
    assert set(found) <= set(NAMES)
    assert len(found) == len(set(found))
    assert found == check_translation(source, translation)


@given(st.integers(1, 40), st.integers(0, 120))
def test_the_length_band(words, translated):
    ratio = translated / words
    found = check_translation("کلمه " * words, "word " * translated)
    assert ("length" in found) == (not LENGTH_RATIO[0] <= ratio <= LENGTH_RATIO[1])


@given(st.integers(0, 60), st.integers(1, 60))
def test_the_foreign_share(persian, latin):
    found = check_translation("تب" * 10, "ت" * persian + "x" * latin)
    assert ("untranslated" in found) == (persian / (persian + latin) > FOREIGN_SHARE)


@given(st.lists(st.integers(0, 10**6), max_size=5), st.lists(st.integers(0, 10**6), max_size=5))
def test_every_number_of_the_source_is_wanted(source, translated):
    found = check_translation(" و ".join(map(str, source)), " and ".join(map(str, translated)))
    assert ("numbers" in found) == (not set(source) <= set(translated))


def test_a_record_and_back():
    made = Translation(GOOD, Telemetry(1, 0, 50, None, 20, 0.5, 0.25), 1.5, warnings=())
    back = Translation.from_record(made.to_record(), SOURCE)
    assert (back.text, back.telemetry, back.seconds, back.failure, back.warnings) == (
        GOOD,
        made.telemetry,
        1.5,
        None,
        (),
    )
    assert back.stored
    assert not made.stored
    assert "numbers" in Translation.from_record(made.to_record(), SOURCE + " ۷").warnings
