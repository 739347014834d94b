"""What a run's folder is called, whatever files and models are called; and that a name never costs another folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balin.engines.protocol import ModelIdentity
from balin.errors import InputError
from balin.eval.job import run_evaluation
from balin.eval.runs import read_run

sys.path.append(str(Path(__file__).parent))
from calls import WordEngine, calls_file, job, take  # type: ignore[import-not-found]


@pytest.fixture
def engine(monkeypatch):
    made = WordEngine()
    take(monkeypatch, made)
    return made


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
AWKWARD = [
    "../../etc/passwd",
    "/",
    ".",
    "..",
    "a b\tc",
    "نمونه:۷ب",
    "CON",
    "-rf",
    "hf.co/bartowski/Qwen:Q4_K_M",
    "x" * 200,
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(AWKWARD) | NAMES)
def test_the_folder_of_a_run_is_a_plain_name_whatever_the_model_is_called(tmp_path_factory, monkeypatch, model):
    tmp_path = tmp_path_factory.mktemp("job")
    take(monkeypatch, WordEngine(ModelIdentity(model, "sha256:" + "a" * 64, "ollama", "1", 4096)))
    outcome = run_evaluation(job(tmp_path, calls_file(tmp_path, 1), route="translated", program="few-shot"))
    check_name(outcome.folder, tmp_path / "runs")


@pytest.mark.parametrize(
    "name", ["a b", "-rf", ".hidden", "a'b\"c", "a\nb", "تماس‌ها", "C:\\calls", "$(ls)", "x" * 240, "ن" * 120, "NUL"]
)
def test_the_folder_of_a_run_is_a_plain_name_whatever_the_file_is_called(tmp_path, engine, name):
    data = calls_file(tmp_path, 8).rename(tmp_path / f"{name}.csv")
    for more in ({}, {"split_seed": 1}):
        outcome = run_evaluation(job(tmp_path, data, **more))
        check_name(outcome.folder, tmp_path / "runs")


def check_name(folder, parent):
    assert folder.parent == parent
    assert folder.is_dir()
    assert read_run(folder)["name"] == folder.name
    assert all(c.isalnum() or c in "._-" for c in folder.name)
    assert not folder.name.startswith((".", "-"))
    assert len(folder.name.encode()) <= 240  # with room for the temporary name


@pytest.mark.parametrize("name", ["", ".", "..", "../elsewhere", "a/b", "store", "splits", "a\0b", "x" * 300])
def test_a_run_cannot_be_named_so_that_it_replaces_something_else(tmp_path, engine, name):
    data = calls_file(tmp_path)
    run_evaluation(job(tmp_path, data, split_seed=0, part="all", name="first"))
    before = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    with pytest.raises(InputError):
        run_evaluation(job(tmp_path, data, name=name))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == before
