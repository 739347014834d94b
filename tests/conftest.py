"""What every test may use: the feature set, the corpus, and the real small model, loaded once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from balin.data.corpus import read_corpus
from balin.data.transcripts import Dataset
from balin.engines.catalogue import load_catalogue
from balin.engines.embedded import EmbeddedEngine
from balin.engines.weights import default_models_dir, find_weights
from balin.signatures.features import FeatureSet, load_feature_set

# The same examples in every run, and no failure because a machine is busy.
settings.register_profile("balin", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("balin")

SMALL = "smollm2:135m"


@pytest.fixture(scope="session")
def feature_set() -> FeatureSet:
    """The shipped 13 features."""
    return load_feature_set("palliative13")


@pytest.fixture(scope="session")
def corpus(feature_set: FeatureSet) -> Dataset:
    """The shipped corpus."""
    return read_corpus(feature_set)


@pytest.fixture(scope="session")
def small_engine() -> Iterator[EmbeddedEngine]:
    """SmolLM2-135M inside this process, context 4096; `make test` pulls its weights."""
    entry = load_catalogue().get(SMALL)
    weights = find_weights(entry, models_dir=default_models_dir())
    if weights is None or entry.gguf is None:
        pytest.fail(f"the live tests need the weights of {SMALL}: run `balin models pull {SMALL}`, or `make test`")
    engine = EmbeddedEngine(weights, name=SMALL, digest=f"sha256:{entry.gguf.sha256}", num_ctx=4096)
    yield engine
    engine.close()
