"""What the tests of bundles share: runs made with an engine that answers at once, and the bundles of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balin.data.corpus import read_corpus
from balin.deployment.bundle import Bundle, read_bundle, write_bundle
from balin.deployment.export import export_run
from balin.eval.job import run_evaluation

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import SET, WordEngine, calls_file, job, take  # type: ignore[import-not-found]

MakeRun = Callable[..., Path]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> WordEngine:
    """Finds every feature that a text names, but no pain."""
    made = WordEngine(deaf={"pain"})
    take(monkeypatch, made)
    return made


@pytest.fixture
def make_run(engine: WordEngine, tmp_path: Path) -> MakeRun:
    """`make_run(format="json", …)`: the folder of a run on four invented calls, without demos unless told otherwise."""

    def make(data: Any = None, **fields: Any) -> Path:
        return run_evaluation(job(tmp_path, data or calls_file(tmp_path), **fields)).folder

    return make


@pytest.fixture
def make_bundle(make_run: MakeRun, tmp_path: Path) -> Callable[..., Bundle]:
    """`make_bundle(format="json", …)`: the bundle of such a run, read again."""

    def make(name: str = "made.balin", *, allow_demos: bool = False, modelfile: bool = False, **fields: Any) -> Bundle:
        made = export_run(make_run(**fields), SET, allow_demos=allow_demos, modelfile=modelfile)
        write_bundle(tmp_path / name, made.files)
        return read_bundle(tmp_path / name)

    return make


@pytest.fixture(scope="session")
def corpus_set() -> Any:
    """The shipped corpus."""
    return read_corpus(SET)
