"""What a model proposes is asked for once, also where it came to nothing; what may pass is asked for again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from test_strategies import Writer  # type: ignore[import-not-found]

from balin.data.store import Store
from balin.engines.protocol import ChatRequest, Message
from balin.errors import CallTimeout, EmptyAnswer, EngineUnavailable, IncompleteAnswer
from balin.optimizers.proposals import Proposer

REQUEST = ChatRequest(
    messages=(Message("user", "Write better instructions."),), max_tokens=700, temperature=1.0, seed=1
)


def asked_twice(folder: Path, first: Any) -> tuple[Any, Any, int]:
    """What a search and its resumption get for one request, text or error, and how often the model was asked; after `first` it writes an instruction."""
    writer, found = Writer(first, "Look closely."), []
    for _ in range(2):
        try:
            found.append(Proposer(writer, Store(folder)).chat(REQUEST).text)
        except Exception as error:
            found.append(error)
    return found[0], found[1], len(writer.asked)


@pytest.mark.parametrize("error", [IncompleteAnswer("the answer was cut at 700 tokens"), EmptyAnswer("nothing")])
def test_a_proposal_that_came_to_nothing_is_not_asked_for_again(tmp_path: Path, error: Exception) -> None:
    """It could come to something then, and a resumed search would leave the path that it went."""
    first, second, times = asked_twice(tmp_path, error)
    assert first is error
    assert type(second) is type(error)
    assert str(second) == str(error)
    assert times == 1


@pytest.mark.parametrize("error", [CallTimeout("slow"), EngineUnavailable("no server")])
def test_what_may_pass_is_asked_for_again(tmp_path: Path, error: Exception) -> None:
    first, second, times = asked_twice(tmp_path, error)
    assert first is error
    assert "Look closely." in second
    assert times == 2


def test_a_proposal_is_asked_for_once(tmp_path: Path) -> None:
    first, second, times = asked_twice(tmp_path, "Look twice.")
    assert first == second
    assert times == 1
