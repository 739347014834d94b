"""Which engine is taken, what the user is told, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from balin.engines import embedded, ollama, ollama_api, weights
from balin.engines.catalogue import load_catalogue
from balin.engines.opening import DEFAULT_MODEL, DEFAULT_NUM_CTX, EngineSettings, open_engine
from balin.errors import EngineUnavailable, InputError, ModelMissing, RemoteRefused

SMALL = "smollm2:135m"
UNKNOWN = "somebodys-own:7b"
OLLAMA_ONLY = next(m.name for m in load_catalogue() if m.gguf is None)


class World:
    """A machine in which each engine is there or not; both are stand-ins that keep how they were opened."""

    def __init__(self) -> None:
        self.server: str | None = "0.33.0"
        self.tags: set[str] | None = None
        self.warm_up_error: BaseException | None = None
        self.weights: Path | None = Path("/models/file.gguf")
        self.opened: list[tuple[str, str, dict[str, Any]]] = []
        self.closed: list[str] = []
        self.asked: list[tuple[Any, Any]] = []
        self.said: list[str] = []

    def open(self, model: str, **settings: Any) -> Any:
        return open_engine(model, EngineSettings(**settings), say=self.said.append)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    class Ollama:
        engine = "ollama"

        def __init__(self, model: str, **options: Any) -> None:
            made.opened.append(("ollama", model, options))
            self.model = model

        @property
        def identity(self) -> str:
            if made.server is None:
                raise EngineUnavailable("Ollama does not answer at 127.0.0.1:11434")
            if made.tags is not None and self.model not in made.tags:
                raise ModelMissing(f"Ollama has no {self.model}; run `ollama pull {self.model}`")
            return self.model

        def warm_up(self) -> None:
            if made.warm_up_error:
                raise made.warm_up_error

        def close(self) -> None:
            made.closed.append(self.model)

    class Embedded:
        engine = "embedded"

        def __init__(self, path: Path, **options: Any) -> None:
            made.opened.append(("embedded", str(path), options))

    def probe(host: str | None = None, *, allow_remote: Any = ()) -> str | None:
        made.asked.append((host, allow_remote))
        return made.server

    monkeypatch.setattr(ollama, "OllamaEngine", Ollama)
    monkeypatch.setattr(embedded, "EmbeddedEngine", Embedded)
    monkeypatch.setattr(ollama_api, "probe_server", probe)
    monkeypatch.setattr(weights, "find_weights", lambda entry, *, models_dir: made.weights)
    return made


class TestAuto:
    def test_ollama_where_it_answers_and_has_the_model(self, world):
        assert world.open(SMALL).engine == "ollama"
        assert world.said == ["engine: Ollama 0.33.0"]
        assert [kind for kind, *_ in world.opened] == ["ollama"]
        assert world.closed == []

    def test_embedded_where_ollama_does_not_answer(self, world):
        world.server = None
        assert world.open(SMALL).engine == "embedded"
        assert world.said == ["engine: embedded llama.cpp (Ollama does not answer at http://127.0.0.1:11434)"]

    def test_embedded_where_ollama_lacks_the_model_and_the_connection_is_closed(self, world):
        world.tags = {"something-else"}
        assert world.open(SMALL).engine == "embedded"
        (said,) = world.said
        assert "embedded" in said
        assert "Ollama has no" in said
        assert len(world.closed) == 1

    def test_embedded_where_ollama_cannot_load_the_model(self, world):
        world.warm_up_error = EngineUnavailable("Ollama could not load it: out of memory")
        assert world.open(SMALL).engine == "embedded"
        assert "out of memory" in world.said[0]
        assert len(world.closed) == 1

    def test_any_other_failure_closes_the_connection_too(self, world):
        world.warm_up_error = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            world.open(SMALL)
        assert len(world.closed) == 1

    def test_a_model_outside_the_catalogue_is_ollamas(self, world):
        assert world.open(UNKNOWN).engine == "ollama"
        assert world.opened[0][1] == UNKNOWN

    def test_neither_says_what_each_lacks_and_what_to_do(self, world):
        world.server = world.weights = None
        with pytest.raises(ModelMissing) as caught:
            world.open(SMALL)
        for word in (SMALL, "Ollama does not answer", f"balin models pull {SMALL}"):
            assert word in str(caught.value)
        assert caught.value.exit_code == 3
        assert world.said == []

    def test_neither_for_a_model_that_nobody_knows(self, world):
        world.tags = set()
        with pytest.raises(ModelMissing) as caught:
            world.open("qwen2.5-coder:1.5")
        for word in ("Ollama has no qwen2.5-coder:1.5", "not in the catalogue", f"did you mean {DEFAULT_MODEL}?"):
            assert word in str(caught.value)

    def test_no_traceback_of_the_two_attempts(self, world):
        world.server = world.weights = None
        with pytest.raises(EngineUnavailable) as caught:
            world.open(SMALL)
        assert caught.value.__suppress_context__


class TestOllama:
    def test_no_other_engine_is_tried(self, world):
        world.server = None
        with pytest.raises(EngineUnavailable, match="does not answer"):
            world.open(SMALL, choice="ollama")
        assert [kind for kind, *_ in world.opened] == ["ollama"]
        assert len(world.closed) == 1

    def test_the_catalogues_tag_is_asked_for(self, world):
        for entry in load_catalogue():
            world.open(entry.name, choice="ollama")
            assert world.opened[-1][1] == entry.ollama
            assert world.opened[-1][2]["num_ctx"] == entry.num_ctx

    def test_settings_are_passed_on(self, world):
        world.open(
            UNKNOWN,
            choice="ollama",
            host="gpu01",
            allow_remote=("gpu01",),
            num_ctx=8192,
            timeout=5.0,
            slots=4,
        )
        assert world.opened[0][2] == {
            "host": "gpu01",
            "allow_remote": ("gpu01",),
            "num_ctx": 8192,
            "timeout": 5.0,
            "slots": 4,
        }

    def test_a_context_of_ours_for_a_model_that_is_not_in_the_catalogue(self, world):
        world.open(UNKNOWN, choice="ollama")
        assert world.opened[0][2]["num_ctx"] == DEFAULT_NUM_CTX


class TestEmbedded:
    def test_ollama_is_not_even_asked(self, world):
        assert world.open(SMALL, choice="embedded").engine == "embedded"
        assert world.asked == []
        entry = load_catalogue().get(SMALL)
        assert world.opened == [
            (
                "embedded",
                str(world.weights),
                {
                    "name": entry.name,
                    "digest": f"sha256:{entry.gguf.sha256}",
                    "num_ctx": entry.num_ctx,
                    "threads": None,
                    "slots": 1,
                },
            )
        ]

    def test_missing_weights_name_the_command(self, world):
        world.weights = None
        with pytest.raises(ModelMissing, match=f"balin models pull {SMALL}"):
            world.open(SMALL, choice="embedded")

    def test_a_model_without_pinned_weights_is_sent_to_ollama(self, world):
        with pytest.raises(ModelMissing, match=rf"{OLLAMA_ONLY}.*ollama pull"):
            world.open(OLLAMA_ONLY, choice="embedded")

    def test_a_model_outside_the_catalogue(self, world):
        with pytest.raises(ModelMissing, match=rf"{UNKNOWN}.*balin models list"):
            world.open(UNKNOWN, choice="embedded")
        with pytest.raises(ModelMissing, match=rf"did you mean {SMALL}\?"):
            world.open("smollm2:135", choice="embedded")


@pytest.mark.parametrize("choice", ["auto", "ollama", "embedded"])
class TestWhateverTheChoice:
    def test_a_cloud_model_is_refused_before_anything_is_asked(self, world, choice):
        with pytest.raises(RemoteRefused, match="cloud"):
            world.open("gpt-oss:120b-cloud", choice=choice)
        assert world.opened == world.asked == []

    def test_more_context_than_the_model_has_is_refused(self, world, choice):
        entry = load_catalogue().get(SMALL)
        with pytest.raises(InputError, match=rf"--num-ctx {entry.context + 1}.*{entry.context}.*{SMALL}"):
            world.open(SMALL, choice=choice, num_ctx=entry.context + 1)
        assert world.opened == []
        world.open(SMALL, choice=choice, num_ctx=entry.context)
        assert world.opened[0][2]["num_ctx"] == entry.context

    def test_names_are_taken_in_any_case(self, world, choice):
        world.open(SMALL.upper(), choice=choice)
        assert world.opened


def test_auto_asks_the_host_that_was_given_and_no_other(world):
    world.open(SMALL, host="gpu01:5000", allow_remote=("gpu01",))
    assert world.asked == [("gpu01:5000", ("gpu01",))]


def test_a_host_that_is_not_allowed_is_not_asked_and_the_reason_is_said(world, monkeypatch):
    def refuse(host: str | None = None, *, allow_remote: Any = ()) -> str:
        raise RemoteRefused(f"{host} is not this machine; say --allow-remote {host}")

    monkeypatch.setattr(ollama_api, "probe_server", refuse)
    assert world.open(SMALL, host="gpu01").engine == "embedded"
    assert "--allow-remote gpu01" in world.said[0]
    world.weights = None
    with pytest.raises(EngineUnavailable, match="--allow-remote gpu01"):
        world.open(SMALL, host="gpu01")
    assert [kind for kind, *_ in world.opened] == ["embedded"]
