"""Which model digests an output folder began with, and the refusal to mix two of them under one name."""

from __future__ import annotations

import json
from pathlib import Path

from ..data.files import write_private
from ..engines.protocol import ModelIdentity
from ..errors import ModelChanged, RunError


class ModelRecord:
    """Remembers a model's digest at first use.

    Args:
        path: The JSON file, made at first use.
        accept_change: Take a changed digest as the new one instead of refusing it.
    """

    def __init__(self, path: Path, *, accept_change: bool = False) -> None:
        self._path = path
        self._accept = accept_change

    def check(self, identity: ModelIdentity) -> None:
        """Record a model, or compare it with the record.

        Raises:
            ModelChanged: It has another digest than at first use.
            RunError: The record cannot be read.
        """
        key = f"{identity.engine}:{identity.name}"
        known = self._read()
        if key not in known or (self._accept and known[key] != identity.digest):
            known[key] = identity.digest
            write_private(self._path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
        elif known[key] != identity.digest:
            raise ModelChanged(
                f"{identity.name} has changed: {known[key][:19]}… when this folder was begun, {identity.digest[:19]}… now. "
                "Its old answers are not comparable with new ones; use another --out, or --accept-model-change"
            )

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"{self._path}: cannot be read ({type(error).__name__}); remove it to begin anew") from None
        if not isinstance(content, dict):
            raise RunError(f"{self._path}: is no record of models; remove it to begin anew")
        return {str(k): str(v) for k, v in content.items()}
