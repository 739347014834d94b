"""Progress bars on a terminal."""

from __future__ import annotations

import contextlib
import io
import sys
import time

import pytest

from balin.cli.console import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_redrawn_while_a_library_is_silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by MIPROv2 and GEPA, which work for minutes."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress() as advance, contextlib.redirect_stderr(io.StringIO()):
        advance("gepa", 37, 300)
        until = time.monotonic() + 20
        while "37/300" not in terminal.getvalue() and time.monotonic() < until:
            time.sleep(0.05)
        assert "37/300" in terminal.getvalue()
