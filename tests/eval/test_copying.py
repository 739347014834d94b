"""Word runs that a translation shares with another call and not with its own reference."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.eval.copying import COPIED_WORDS, CallTexts, copied_words

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


def longest_by_hand(own: list[str], right: list[str], others: list[list[str]], at_least: int) -> int:
    def has(words: list[str], run: list[str]) -> bool:
        return any(words[i : i + len(run)] == run for i in range(len(words)))

    runs = [own[i:j] for i in range(len(own)) for j in range(i + at_least, len(own) + 1)]
    return max((len(r) for r in runs if any(has(o, r) for o in others) and not has(right, r)), default=0)


@settings(max_examples=200)
@given(WORDS, WORDS, st.lists(WORDS, max_size=2), st.integers(1, 3))
def test_the_longest_run_is_that_of_a_search_by_hand(
    own: list[str], right: list[str], others: list[list[str]], at_least: int
) -> None:
    found = copied_words(" ".join(own), " ".join(right), [" ".join(o) for o in others], at_least=at_least)
    assert found == longest_by_hand(own, right, others, at_least)


def test_case_and_punctuation_do_not_hide_a_copy_and_the_reference_excuses_it() -> None:
    copied = "She has not eaten since Monday, and nobody has come."
    assert copied_words("SHE has not eaten since monday and nobody has come", "Legs slim.", [copied]) == 10
    assert copied_words(copied, copied, [copied]) == 0
    assert copied_words("She has not eaten since Tuesday", "Legs slim.", [copied]) == 0


def test_a_call_of_the_same_patient_or_text_is_not_another_call() -> None:
    english = "one two three four five six seven eight nine"
    mine = Transcript("a", "متن یک", english=english, group="p1")
    calls = CallTexts([mine, Transcript("b", "متن دو", english=english, group="p1")])
    assert calls.copied(mine, english, "") == 0
    assert calls.copied(Transcript("c", "متن سه", group="p2"), english, "") == 9
    assert COPIED_WORDS == 8
