"""Where a program's demos come from, as far as its run can tell.

A demo is known to be invented if its text is one of the shipped corpus: the source, the reference translation, or what the
run's translator made of a source, which the store beside the run still has. What a run says of itself is not taken for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.corpus import read_corpus
from ..data.store import Store, key_of
from ..data.transcripts import text_hash
from ..errors import InputError
from ..signatures.features import FeatureSet
from .manifest import DemoEntry


def trace_demos(
    folder: Path,
    run: Mapping[str, Any],
    feature_set: FeatureSet,
    texts: Sequence[str],
    translated: Sequence[tuple[str, str]] = (),
    *,
    allow: bool,
) -> tuple[DemoEntry, ...]:
    """Where each demo comes from.

    Args:
        folder: The run's folder.
        run: What its `run.json` holds.
        feature_set: The questions.
        texts: The texts of the extractor's demos, in order.
        translated: Source and translation of the translator's demos, in order.
        allow: Let demos pass that are not of the shipped corpus.

    Raises:
        InputError: There are such demos, and they are not allowed; each is named.
    """
    if not texts and not translated:
        return ()
    invented = _corpus_texts(folder, run, feature_set)
    ids = _ids(run, len(texts))
    found = [
        DemoEntry(id=invented[text], source="corpus") if text in invented else DemoEntry(id=ids[i], source="allowed")
        for i, text in enumerate(texts)
    ]
    # Both sides of a worked translation are texts that would leave.
    found += [
        DemoEntry(id=invented[source], source="corpus")
        if source in invented and translation in invented
        else DemoEntry(id=f"translator demo {n}", source="allowed")
        for n, (source, translation) in enumerate(translated, start=1)
    ]
    others = [d.id for d in found if d.source == "allowed"]
    if others and not allow:
        raise InputError(
            f"the bundle would hold the text of {len(others)} transcripts as worked examples, and they are not of the shipped "
            f"corpus: {', '.join(others)}. If they are synthetic or de-identified and may leave with the bundle, say "
            "--allow-demos; else export a program without demos, or one with demos of the corpus"
        )
    return tuple(found)


def _corpus_texts(folder: Path, run: Mapping[str, Any], feature_set: FeatureSet) -> dict[str, str]:
    """Every text that is known to be invented, with the id of its call."""
    corpus = read_corpus(feature_set)
    found = {text: t.id for t in corpus for text in (t.text, t.english) if text}
    store = folder.parent / "store"
    if run["translator"] is None or not store.is_dir():
        return found
    kept = Store(store)
    model = {k: v for k, v in run["translator"].items() if k != "program"}
    for transcript in corpus:
        # As `programs.pipeline.answer_key` makes it, for greedy sampling.
        key = key_of(
            program=run["translator"]["program"]["hash"], model=model, sampling=[], text=text_hash(transcript.text)
        )
        record = kept.get("translations", key)
        if record is not None:
            found.setdefault(str(record["text"]), transcript.id)
    return found


def _ids(run: Mapping[str, Any], count: int) -> list[str]:
    """The demos' ids as the run, or the optimization or search that chose them, has them; their numbers where none does."""
    for ids in (run["demos"]["ids"], *(choice["demos"] for choice in run.get("chosen") or ())):
        if len(ids) == count:
            return [str(i) for i in ids]
    return [f"demo {n}" for n in range(1, count + 1)]
