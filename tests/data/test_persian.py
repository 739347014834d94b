from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.data.persian import fingerprint, normalise

PERSIAN = "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیكيىةۀأإؤئ۰۱۲٣٤٥0123،؛؟ـ\u064b\u064e\u0651\u0670\u200b\u200c\u200d\u200e\u00ac\u00a0\ufeff .,!\n"
TEXTS = st.one_of(st.text(), st.text(alphabet=PERSIAN), st.text(alphabet="aeoußüöäÉ\u0308\u0301\u200c\u0610 -"))


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("علي يك كتاب", "علی یک کتاب"),
        ("موسى", "موسی"),
        ("تبِ شَدید", "تب شدید"),
        ("خانهٔ ما خانۀ ما", "خانه ما خانه ما"),
        ("معاينة", "معاینه"),
        ("می‌رود\u200fخوب", "می رودخوب"),
        ("می¬رود", "می رود"),
        ("درجه ٣٨٫۵٪", "درجه 38.5%"),
        ("بیمـــار", "بیمار"),
        ("ﻻله ﺑﯿﻤﺎر", "لاله بیمار"),
        ("  دو\u00a0\n\tسه ", "دو سه"),
        ("آب مسأله مسؤول", "آب مساله مسوول"),
        ("\ufeffتب", "تب"),
    ],
)
def test_persian_forms(given_text: str, expected: str) -> None:
    assert normalise(given_text) == expected


@pytest.mark.parametrize("text", ["Für Müller: 38,5 °C, Größe 1,80 m.", "No fever; SpO2 93% (room air).", "déjà vu"])
def test_other_languages_stay(text: str) -> None:
    assert normalise(text) == text


def test_a_not_sign_in_latin_text_stays() -> None:
    assert normalise("p¬q") == "p¬q"


@given(TEXTS)
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(TEXTS)
def test_fingerprint_sees_the_normalised_text_only(text: str) -> None:
    assert fingerprint(normalise(text)) == fingerprint(text)


@given(TEXTS, st.sampled_from([".", " !", "،", " ؟\u200f"]))
def test_punctuation_at_the_end_does_not_count(text: str, mark: str) -> None:
    if any(c.isalnum() for c in normalise(text)):
        assert fingerprint(text + mark) == fingerprint(text)


def test_half_space_space_and_nothing_are_one() -> None:
    assert fingerprint("می‌رود") == fingerprint("مي رود") == fingerprint("میرود")


def test_case_does_not_count_but_words_and_umlauts_do() -> None:
    assert fingerprint("No Fever.") == fingerprint("no fever")
    assert fingerprint("no fever") != fingerprint("fever")
    assert fingerprint("schon") != fingerprint("schön")


def test_marks_alone_are_told_apart() -> None:
    assert fingerprint("???") != fingerprint("!!!")
