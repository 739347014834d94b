"""The real small model, loaded once a session."""

from __future__ import annotations

