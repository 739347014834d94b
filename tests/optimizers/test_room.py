"""How many tokens demos may take."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.engines.protocol import Telemetry
from balin.optimizers.room import UNKNOWN, Rates, Room, measured_rates
from balin.programs.builtin import BUILT_IN
from balin.programs.extractor import Extractor
from balin.signatures.features import load_feature_set
from balin.signatures.wording import INPUT

SET = load_feature_set("palliative13")
LABELS = dict.fromkeys(SET.ids, False)


def program(format: str = "probe") -> Extractor:
    made = BUILT_IN["few-shot"].build(SET, "en")
    made.set_format(format)
    return made


def fixed(of: Extractor) -> int:
    prompt = of.adapter.prompt(of.predict.signature, [], {INPUT: ""})
    return sum(len(m.content) for m in prompt.messages) + max(map(len, prompt.probes), default=0)


@pytest.mark.parametrize("format", ["probe", "lines"])
def test_instructions_and_transcripts_have_a_rate_each(format: str) -> None:
    """English instructions at a quarter of a token a letter, Persian transcripts at three quarters."""
    of = program(format)
    requests = 13 if format == "probe" else 1
    answered = []
    for n in range(20):
        text = "س" * (50 + 11 * n)
        tokens = round(0.25 * fixed(of) + 0.75 * len(text))
        answered.append((text, Telemetry(requests=requests, prompt_tokens=requests * tokens)))
    assert measured_rates(of, answered) == pytest.approx((0.25, 0.75), abs=0.01)


def test_few_transcripts_of_different_lengths_give_no_slope() -> None:
    of = program()
    cost = Telemetry(requests=1, prompt_tokens=round(0.25 * (fixed(of) + 100)))
    assert measured_rates(of, [("x" * 100, cost)] * 5) == pytest.approx((0.25, 0.5), abs=0.01)


def test_without_any_answer_the_rate_is_the_safe_one() -> None:
    assert measured_rates(program(), []) == UNKNOWN
    assert measured_rates(program(), [("x", Telemetry())]) == UNKNOWN


def test_the_answer_is_reserved() -> None:
    assert (
        Room(4096, Rates(0.25, 0.25), "x").left(program("lines"))
        < Room(4096, Rates(0.25, 0.25), "x").left(program("probe")) - 400
    )


def test_a_demo_that_is_too_long_is_passed_over_for_a_shorter_one() -> None:
    of = program()
    room = Room(10_000, Rates(1.0, 1.0), "x" * 500)
    left = int(room.left(of))
    long, short = Transcript("a", "x" * left, labels=LABELS), Transcript("b", "x" * 40, labels=LABELS)
    assert room.fitting(of, [(long, long.text), (short, short.text)]) == [short]
    assert of.predict.demos == []


def test_what_fits_by_the_estimate_fits() -> None:
    of = program("lines")
    room = Room(8192, Rates(0.5, 0.5), "x" * 500)
    many = [Transcript(f"t{n}", "y" * (100 + n), labels=LABELS) for n in range(50)]
    taken = room.fitting(of, [(t, t.text) for t in many])
    assert 1 < len(taken) < 50
    of.set_demos([(t.text, t.labels) for t in taken])
    assert room.left(of) >= 0
    assert room.tokens(of, room.longest) + 512 <= 8192


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.floats(0.15, 0.6), st.floats(0.15, 1.2), st.lists(st.integers(20, 600), min_size=20, max_size=20), st.randoms()
)
def test_a_prompt_never_takes_more_than_the_estimate(
    words: float, texts: float, lengths: list[int], rng: Random
) -> None:
    """Tokens that vary by a twentieth around their rates, and demos of the same kind as the transcripts."""
    of = program()
    assume(len(set(lengths)) >= 8 and max(lengths) - min(lengths) > 100)

    def true(size: int) -> float:
        return words * fixed(of) + texts * size * rng.uniform(0.97, 1.03)

    answered = [("x" * n, Telemetry(requests=1, prompt_tokens=round(true(n)))) for n in lengths]
    room = Room(100_000, measured_rates(of, answered), "x" * max(lengths))
    for n in lengths:
        assert room.tokens(of, "x" * n) >= 0.97 * true(n)
