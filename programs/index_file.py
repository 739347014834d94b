"""An index of demos as JSON: checked types that a program file and a bundle share. Vectors are base64 of little-endian float32."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..engines.embedding import EmbedderIdentity
from .retrieval import METHOD, Neighbours

# Wider rows than any embedding model known to us makes; a file that says more is no index.
WIDEST = 8192


class EmbedderEntry(BaseModel):
    """An `EmbedderIdentity`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(min_length=1)]
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def identity(self) -> EmbedderIdentity:
        """The identity that was written."""
        return EmbedderIdentity(self.name, self.version, self.sha256)


class NeighboursEntry(BaseModel):
    """A `Neighbours` with its embedder; see there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    method: Literal["balanced-1"] = METHOD
    embedder: EmbedderEntry
    width: Annotated[int, Field(ge=1, le=WIDEST)]
    vectors: str
    costs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    shows: tuple[tuple[str, ...], ...]
    marks: tuple[tuple[str, ...], ...]
    count: Annotated[int, Field(ge=1)]
    balance: Annotated[float, Field(ge=0)]
    room: int
    rate: Annotated[float, Field(ge=0)]

    @classmethod
    def of(cls, neighbours: Neighbours, embedder: EmbedderIdentity, **others: Any) -> Self:
        """The entry for an index."""
        return cls(
            embedder=EmbedderEntry(**embedder.to_dict()),
            width=neighbours.vectors.shape[1],
            vectors=packed(neighbours.vectors),
            costs=neighbours.costs,
            shows=tuple(tuple(sorted(s)) for s in neighbours.shows),
            marks=tuple(tuple(sorted(m)) for m in neighbours.marks),
            count=neighbours.count,
            balance=neighbours.balance,
            room=neighbours.room,
            rate=neighbours.rate,
            **others,
        )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        n = len(self.costs)
        if not len(self.shows) == len(self.marks) == n or self.neighbours.vectors.shape[0] != n:
            raise ValueError("an index has as many vectors as demos")
        return self

    @cached_property
    def neighbours(self) -> Neighbours:
        """What was written."""
        return Neighbours(
            vectors=unpacked(self.vectors, self.width),
            costs=self.costs,
            shows=tuple(frozenset(s) for s in self.shows),
            marks=tuple(frozenset(m) for m in self.marks),
            count=self.count,
            balance=self.balance,
            room=self.room,
            rate=self.rate,
        )


def packed(vectors: Any) -> str:
    """Vectors as text."""
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii")


def unpacked(text: str, width: int) -> Any:
    """The vectors of a text, float32 [n, width].

    Raises:
        ValueError: It holds no such rows, or a row that is no direction.
    """
    import numpy as np

    flat = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    rows = flat.reshape(-1, width)
    if not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise ValueError("a vector is not of length 1")
    return rows
