"""Which worked examples: the guard against leaks, and the draw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.data.transcripts import Transcript
from balin.errors import InputError
from balin.programs.demos import Leaks, choose_demos, random_demos
from balin.signatures.features import load_feature_set

SET = load_feature_set("palliative13")
FULL = dict.fromkeys(SET.ids, True)


def call(identifier: str, *, text: str | None = None, group: str | None = None, **labels: bool | None) -> Transcript:
    return Transcript(identifier, text or f"تماس شمارهٔ {identifier}.", group=group, labels={**FULL, **labels})


class TestLeaks:
    held = Leaks.of([call("a", text="بیمار می‌خوابد.", group="p1"), call("b", text="درد دارد.")])

    def test_the_same_id(self):
        assert self.held.has(call("a", text="چیز دیگر"))

    def test_the_same_group(self):
        assert self.held.has(call("x", group="p1"))

    @pytest.mark.parametrize(
        "text",
        ["بیمار می‌خوابد.", "بيمار مي خوابد", "  بیمار   میخوابد !", "بیمار می‌خوابد\n"],
        ids=["same", "arabic", "spaces", "line"],
    )
    def test_the_same_text_however_it_is_typed(self, text):
        assert self.held.has(call("x", text=text))

    def test_nothing_shared(self):
        assert not self.held.has(call("x", group="p2"))

    def test_no_group_is_not_a_group(self):
        assert not self.held.has(call("x", group=None))
        assert not Leaks.of([]).has(call("a"))

    def test_it_takes_an_iterator_whole(self):
        held = Leaks.of(t for t in [call("a", group="p1")])
        assert held.ids == {"a"}
        assert held.groups == {"p1"}
        assert len(held.texts) == 1


class TestRandomDemos:
    pool = tuple(call(f"c{n}") for n in range(20))

    def test_as_many_as_asked_for_and_each_once(self):
        found = random_demos(self.pool, SET, 5, 3)
        assert len({d.id for d in found}) == 5
        assert {d.id for d in found} <= {d.id for d in self.pool}

    def test_the_seed_decides_and_the_order_of_the_file_does_not(self):
        for seed in (0, 1, 12345):
            first = [d.id for d in random_demos(self.pool, SET, 4, seed)]
            assert [d.id for d in random_demos(self.pool, SET, 4, seed)] == first
            assert [d.id for d in random_demos(self.pool[::-1], SET, 4, seed)] == first

    def test_0_is_a_seed(self):
        draws = {tuple(d.id for d in random_demos(self.pool, SET, 4, seed)) for seed in (0, 0, 0, 0)}
        assert len(draws) == 1
        assert len({tuple(d.id for d in random_demos(self.pool, SET, 4, seed)) for seed in range(10)}) > 5

    def test_only_whole_labels(self):
        pool = [call("blank", fever=None), call("whole"), replace(call("none"), labels={"pain": True})]
        assert [d.id for d in random_demos(pool, SET, 1, 0)] == ["whole"]

    def test_too_few_says_how_many_there_are_and_what_to_do(self):
        pool = [call("a"), call("b"), call("c", pain=None)]
        with pytest.raises(InputError, match=r"^4 demos .* 2 of the 3 .*--demos.*--demos-from") as caught:
            random_demos(pool, SET, 4, 0)
        assert "تماس" not in str(caught.value)

    def test_none(self):
        assert random_demos([], SET, 0, 0) == []


class TestChooseDemos:
    def test_from_candidates_apart_nothing_is_taken_from_the_scored(self):
        pool = [call(f"p{n}", group=f"g{n}") for n in range(6)]
        scored = [call(f"s{n}", group=f"h{n}") for n in range(4)]
        demos, kept = choose_demos(pool, scored, SET, 3, 0)
        assert {d.id for d in demos} < {p.id for p in pool}
        assert kept == scored

    def test_a_candidate_that_leaks_is_not_drawn_as_long_as_others_are_enough(self):
        scored = [call("s0", group="g"), call("s1", text="متن یکم"), call("s2")]
        leaky = [call("x0", group="g"), call("x1", text="متن يكم"), call("s2", text="دیگر")]
        apart = [call("y0"), call("y1"), call("y2")]
        for seed in range(20):
            demos, kept = choose_demos([*leaky, *apart], scored, SET, 3, seed)
            assert {d.id for d in demos} == {"y0", "y1", "y2"}
            assert kept == scored

    def test_where_the_pool_itself_is_scored_what_a_demo_leaks_into_is_held_out(self):
        pool = [call(f"c{n}", group=f"g{n // 2}") for n in range(8)]
        demos, kept = choose_demos(pool, pool, SET, 2, 0)
        groups = {d.group for d in demos}
        assert len(demos) == 2
        assert kept == [t for t in pool if t.group not in groups]
        assert len(kept) < 7

    def test_no_demos_hold_nothing_out(self):
        pool = [call("a"), call("b")]
        assert choose_demos(pool, pool, SET, 0, 0) == ([], pool)

    def test_too_few_in_all(self):
        pool = [call("a"), call("b", pain=None)]
        with pytest.raises(InputError, match=r"2 demos .* 1 of the 2"):
            choose_demos(pool, [call("c")], SET, 2, 0)

    def test_it_is_the_same_every_time(self, calls):
        for seed in (0, 7):
            one = choose_demos(calls, calls, SET, 3, seed)
            assert one == choose_demos(calls, calls, SET, 3, seed)
            assert one[0] == choose_demos(calls[::-1], calls, SET, 3, seed)[0]

    @given(st.data())
    def test_no_demo_ever_shares_anything_with_what_is_scored(self, data):
        names, texts, groups = st.integers(0, 12), st.integers(0, 8), st.sampled_from([None, "g1", "g2", "g3"])
        rows = st.lists(st.tuples(names, texts, groups), max_size=8, unique_by=lambda r: r[0])

        def drawn(part: str) -> list[Transcript]:
            return [call(f"{i}", text=f"متن {t}", group=g) for i, t, g in data.draw(rows, label=part)]

        pool, scored = drawn("pool"), drawn("scored")
        count = data.draw(st.integers(0, 4))
        try:
            demos, kept = choose_demos(pool, scored, SET, count, data.draw(st.integers(0, 3)))
        except InputError:
            assert len(pool) < count
            return
        assert len(demos) == count
        assert not any(Leaks.of(demos).has(t) for t in kept)
        assert [t for t in scored if t in kept] == kept
