"""`balin models` and `balin doctor`: what is here, what is not, and what could leave."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from balin.engines.catalogue import load_catalogue

sys.path.append(str(Path(__file__).parents[1] / "eval"))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import WordEngine  # type: ignore[import-not-found]
from ollama_server import fixture, serve  # type: ignore[import-not-found]


@pytest.fixture
def ollama():
    with serve(WordEngine()) as server:
        yield server


def test_the_catalogue_with_licences_and_digests(balin, no_weights):
    found = balin("models", "list", "--json")
    assert found.code == 0
    assert found.document["ollama"] is False
    models = {m["name"]: m for m in found.document["models"]}
    assert list(models) == [m.name for m in load_catalogue()]
    for model in models.values():
        assert model["licence"]
        assert model["in_ollama"] is None
        assert model["embedded"] == ("to be pulled" if model["sha256"] else None)
    assert models["smollm2:135m"]["sha256"].startswith("b179c952")
    plain = balin("models", "list")
    assert "Apache-2.0" in plain.out
    assert "Ollama does not answer here." in plain.out


def test_what_ollama_has_is_in_the_list(balin, no_weights, ollama):
    found = balin("models", "list", "--host", ollama.url, "--json")
    assert found.document["ollama"] is True
    models = {m["name"]: m["in_ollama"] for m in found.document["models"]}
    digest = fixture("tags")["models"][0]["digest"].removeprefix("sha256:")
    assert models.pop("smollm2:135m") == f"sha256:{digest}"
    assert not any(models.values())


def test_weights_from_a_file_are_refused_unless_they_are_the_pinned_ones(balin, no_weights, tmp_path):
    (tmp_path / "other.gguf").write_bytes(b"GGUF and something")
    found = balin("models", "pull", "smollm2:135m", "--file", tmp_path / "other.gguf")
    assert found.code == 2
    assert "is not the weights of smollm2:135m" in found.err
    assert not list(no_weights.glob("*.gguf"))


def test_offline_and_without_weights_it_says_what_is_missing(balin, no_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "no-store"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = balin("models", "pull", "smollm2:135m", "--offline")
    assert found.code == 3
    assert "downloads are off" in found.err
    assert "--file SmolLM2-135M-Instruct.Q4_1.gguf" in found.err


def checks(found):
    return {c["what"]: c for c in found.document["checks"]}


def test_doctor_without_anything_is_3_and_says_what_to_do(balin, no_weights):
    found = balin("doctor", "--json")
    assert found.code == 3
    assert found.document["usable"] is False
    listed = checks(found)
    assert listed["Ollama"]["found"] == "does not answer"
    assert "`balin models pull qwen2.5-coder:1.5b`" in listed["embedded weights"]["do"]
    assert str(no_weights) in listed["embedded weights"]["found"]
    assert "127.0.0.1" in listed["text goes to"]["found"]
    assert {"Python", "packages", "DSPy and LiteLLM", "OLLAMA_NO_CLOUD"} <= set(listed)
    plain = balin("doctor")
    assert plain.code == 3
    assert "does not answer" in plain.out


def test_doctor_with_an_ollama_is_0(balin, no_weights, ollama):
    found = balin("doctor", "--host", ollama.url, "--json")
    assert found.code == 0
    listed = checks(found)
    assert listed["Ollama"]["found"] == "version 0.33.0"
    assert listed["Ollama models"]["found"] == "smollm2:135m (catalogue)"
    assert listed["text goes to"]["found"] == f"only {ollama.url} and this process"


def test_doctor_points_at_cloud_models_and_at_other_caches(balin, no_weights, ollama, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".dspy_cache").mkdir()
    for _ in range(2):
        ollama.fail("tags", "tags_remote")
    found = balin("doctor", "--host", ollama.url, "--json")
    listed = checks(found)
    assert listed["cloud model"]["state"] == "note"
    assert "Balin refuses it" in listed["cloud model"]["do"]
    assert ".dspy_cache" in listed["DSPy's disk cache"]["found"]


def test_doctor_does_not_ask_another_machine(balin, no_weights):
    found = balin("doctor", "--host", "http://gpu01:11434", "--json")
    assert found.code == 3
    listed = checks(found)
    assert "--allow-remote gpu01" in listed["Ollama"]["found"]
    assert "--allow-remote gpu01" in listed["text goes to"]["found"]
    listing = balin("models", "list", "--host", "http://gpu01:11434", "--json")
    assert listing.code == 0
    assert "--allow-remote gpu01" in listing.err


@pytest.mark.live
def test_doctor_finds_the_small_models_weights(balin, small_engine):
    found = balin("doctor", "--json")
    assert found.code == 0
    assert "smollm2:135m" in checks(found)["embedded weights"]["found"]
    models = {m["name"]: m["embedded"] for m in balin("models", "list", "--json").document["models"]}
    assert models["smollm2:135m"] == "here"
