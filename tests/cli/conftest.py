"""What the tests of the command line share: a way to call it, and an engine that answers at once."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from balin.cli import main
from balin.engines.ollama import OllamaEngine

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import WordEngine, take  # type: ignore[import-not-found]


@dataclass(frozen=True)
class Called:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The last line of the output, which must be the only JSON document there."""
        *before, last = self.out.splitlines()
        assert not [line for line in before if line.startswith(("{", "["))]
        return json.loads(last)


Balin = Callable[..., Called]


@pytest.fixture
def balin(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Balin:
    """`balin("evaluate", "--data", path)`, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Called:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return Called(code, *capfd.readouterr())

    return call


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Ollama of this machine's is asked: its default address is one where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{port}")
    monkeypatch.delenv("OLLAMA_NO_CLOUD", raising=False)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts at a server nobody waits."""
    defaults = OllamaEngine.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", lambda seconds: None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> WordEngine:
    """An engine that finds every feature that a text names, but no pain."""
    made = WordEngine(deaf={"pain"})
    take(monkeypatch, made)
    return made


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder of models."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("BALIN_MODELS", str(folder))
    return folder
