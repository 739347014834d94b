"""The real small model, loaded once a session."""

from __future__ import annotations

import pytest
from balin.engines.catalogue import load_catalogue
from balin.engines.embedded import EmbeddedEngine
from balin.engines.weights import default_models_dir, find_weights
