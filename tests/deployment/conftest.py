"""What the tests of bundles share: runs made with an engine that answers at once, and the bundles of them."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def runs_made(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """`runs_made(format="json", …)`: a run on four invented calls; equal settings are run once a session."""
    known: dict[str, Path] = {}

    def made(**fields: Any) -> Path:
        key = repr(sorted(fields.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("made")
            known[key] = run_evaluation(job(folder, calls_file(folder), **fields)).folder
        return known[key]

    return made


@pytest.fixture
def make_run(engine: WordEngine, tmp_path: Path, runs_made: MakeRun) -> MakeRun:
    """`make_run(format="json", …)`: a copy of such a run with its store, or a run on other data; the test may change it."""

    def make(data: Any = None, **fields: Any) -> Path:
        if data is not None:
            return run_evaluation(job(tmp_path, data, **fields)).folder
        kept = runs_made(**fields)
        shutil.copytree(kept.parent, tmp_path / "runs", dirs_exist_ok=True)
        return tmp_path / "runs" / kept.name

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
