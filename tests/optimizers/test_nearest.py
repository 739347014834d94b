"""The strategy `nearest`: what its programs hold, and the room they keep."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from scripted import WordEmbedder  # type: ignore[import-not-found]
from test_strategies import IDS, pool, setting  # type: ignore[import-not-found]

from balin.optimizers.room import Rates, Room
from balin.optimizers.strategies import STRATEGIES, Setting
from balin.signatures.wording import INPUT


def ground(**fields: object) -> Setting:
    return replace(setting(**fields), embedder=WordEmbedder)


def test_the_index_holds_the_whole_pool_with_gold_labels_and_the_candidates_differ_in_balance_and_number() -> None:
    made = list(STRATEGIES["nearest"](ground(candidates=5)))
    assert [(c.program.index.neighbours.count, c.program.index.neighbours.balance) for c in made] == [
        (4, 1.0), (4, 0.0), (4, 0.5), (2, 1.0), (2, 0.0),
    ]  # fmt: skip
    assert len({c.program.hash() for c in made}) == 5
    for demo, transcript in zip(made[0].program.index.demos, pool(), strict=True):
        assert (demo.text, dict(demo.labels)) == (transcript.text, transcript.labels)
    assert (made[0].shown, made[0].demos) == ("4 of 24", pool())
    assert not any(t.text in made[0].description for t in pool())


def test_a_balanced_prompt_shows_the_rare_feature() -> None:
    (balanced, plain) = STRATEGIES["nearest"](ground(candidates=2))
    text = next(t.text for t in pool() if not t.labels["fever"])

    def shown(candidate: object) -> set[str]:
        return {i for d in candidate.program.demos_for(text) for i in IDS if d[i]}  # type: ignore[attr-defined]

    assert "fever" in shown(balanced) - shown(plain)
    assert len(plain.program.demos_for(text)) == len(balanced.program.demos_for(text)) == 4


def test_a_prompt_keeps_within_the_context_whatever_the_text() -> None:
    room = Room(1500, Rates(1.0, 1.0), "x" * 100)
    (candidate,) = STRATEGIES["nearest"](ground(candidates=1, room=room, demos=8))
    counts = []
    for length in (0, 100, 300, 600, 2000):
        text = "pain " * (length // 5)
        demos = candidate.program.demos_for(text)
        counts.append(len(demos))
        if demos:
            candidate.program.predict.demos = demos
            assert room.tokens(candidate.program, text) <= room.num_ctx
            candidate.program.predict.demos = []
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0


def test_the_pool_is_embedded_as_the_route_reads_it() -> None:
    embedder = WordEmbedder()
    base = setting()
    read = replace(base, embedder=lambda: embedder, texts={i: f"English {t}" for i, t in base.texts.items()})
    (candidate, *_) = STRATEGIES["nearest"](read)
    assert embedder.asked == [f"English {t.text}" for t in pool()]
    first = pool()[0]
    # The source text is recognised too.
    assert candidate.program.withheld([first.text]) == (0,)
    assert candidate.program.demos_for("x")[0][INPUT].startswith("English")
