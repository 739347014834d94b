"""No demos: what the instructions alone give, and the measure of every other strategy."""

from __future__ import annotations

from collections.abc import Iterator

from .setting import Candidate, Setting

NAME = "zero-shot"


def candidates(setting: Setting) -> Iterator[Candidate]:
    """One candidate."""
    yield setting.candidate(NAME, "no demos")
