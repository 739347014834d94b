"""What the data tests share: the shipped feature set, and a small one in German that nothing in the code knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from balin.signatures.features import FeatureSet, load_feature_set

GERMAN = """
schema: 1
id: wunden
source_language: de
subject: {de: eine Notiz der Wundambulanz}
columns: {id: [nummer], text: [notiz], group: [patient]}
features:
  - {id: wound_pain, columns: [Schmerz], label: {de: Wundschmerz}, definition: {de: Die Wunde schmerzt.}}
  - {id: smell, label: {de: Geruch}, definition: {de: Die Wunde riecht.}}
"""


@pytest.fixture(scope="session")
def palliative() -> FeatureSet:
    return load_feature_set("palliative13")


@pytest.fixture(scope="session")
def german(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    path: Path = tmp_path_factory.mktemp("sets") / "wunden.yaml"
    path.write_text(GERMAN, encoding="utf-8")
    return load_feature_set(path)
