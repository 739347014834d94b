"""`balin export`: from a run's folder to a bundle and a last line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from balin.deployment.bundle import read_bundle

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import some_calls, write_calls  # type: ignore[import-not-found]

EMBEDDED = ("--engine", "embedded", "--model", "smollm2:135m")


@pytest.fixture
def run(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(4))
    assert balin("evaluate", "--data", data, *EMBEDDED, "--demos", 0, "--format", "json", "--name", "mine").code == 0
    return Path("runs/mine")


@pytest.mark.parametrize("target", ["out/mine.balin", "out/mine"])
def test_a_run_becomes_a_bundle(balin, run, target):
    found = balin("export", run, "--to", target, "--modelfile", "--json")
    assert found.code == 0, found.err
    assert found.out.count("\n") == 1
    bundle = read_bundle(Path(target))
    document = found.document
    assert document == document | {
        "bundle": target,
        "sha256": bundle.hash,
        "run": "mine",
        "route": "direct",
        "demos": [],
        "tried": None,
    }
    assert "Modelfile" in document["files"]
    assert document["models"]["extract"]["name"] == "smollm2:135m"
    assert isinstance(document["scores"]["mcc"]["mean"], float)
    assert f"sha256 of its manifest: {bundle.hash}" in found.err
    assert "note: the scores are those of the part 'all'" in found.err


def test_demos_of_ones_own_need_permission(balin, engine, tmp_path):
    data = write_calls(tmp_path / "own.csv", [*some_calls(4, 900, part="pool"), *some_calls(3, part="dev")])
    assert balin("evaluate", "--data", data, *EMBEDDED, "--name", "own").code == 0
    found = balin("export", "runs/own", "--to", "own.balin")
    assert (found.code, found.out) == (2, "")
    assert "--allow-demos" in found.err
    for identifier in json.loads(Path("runs/own/run.json").read_text())["demos"]["ids"]:
        assert identifier in found.err
    assert not Path("own.balin").exists()
    assert balin("export", "runs/own", "--to", "own.balin", "--allow-demos").code == 0


def test_a_translated_program_has_no_modelfile(balin, engine, tmp_path):
    data = write_calls(tmp_path / "calls.csv", some_calls(3))
    translated = ("--route", "translated", "--demos", 0, "--name", "tr")
    assert balin("evaluate", "--data", data, *EMBEDDED, *translated).code == 0
    found = balin("export", "runs/tr", "--to", "tr.balin", "--modelfile")
    assert found.code == 2
    assert "a Modelfile translates nothing" in found.err
    assert not Path("tr.balin").exists()


def test_what_is_no_run_or_no_place_for_a_bundle(balin, run):
    found = balin("export", "nothing", "--to", "x.balin")
    assert found.code == 2
    assert "no run.json" in found.err
    found = balin("export", run, "--to", "runs")
    assert found.code == 2
    assert "is no bundle, so it is not replaced" in found.err
    assert (run / "run.json").is_file()
    assert balin("export", run).code == 2
