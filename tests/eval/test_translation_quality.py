"""The translations that a run read: found again in its store, measured, and set beside the errors that they cost."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sacrebleu.metrics.chrf import CHRF

from balin.data.readers import read_dataset
from balin.data.transcripts import Dataset
from balin.eval.copying import copied_words
from balin.eval.job import run_evaluation
from balin.eval.runs import read_run
from balin.eval.shown import read_selection
from balin.eval.translation_quality import stored_translations, translated_arms, translation_quality
from balin.eval.translation_tables import quality_grid

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "engines"))
from calls import SET, WordEngine, job, some_calls, take, to_english, write_calls  # type: ignore[import-not-found]

PAIN = next(f for f in SET if f.id == "pain")
COPIED = "Since the evening nobody has given her the tablets and the water"


def spoilt(text: str) -> str:
    """A translation that loses the pain, and for c2 repeats another call."""
    english = to_english(text).replace(PAIN.label["en"], "something")
    return f"{english} {COPIED}" if " c2 " in text else english


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs on dev: on the spoilt translations, and on given English."""
    calls = some_calls(9, part="dev")
    pool = [replace(c, part="pool", remark=COPIED) for c in some_calls(2, begin=20)]
    data = write_calls(tmp_path / "calls.csv", [*calls, *pool])
    take(monkeypatch, WordEngine(english=spoilt))
    made = run_evaluation(job(tmp_path, data, route="translated", part="dev"))
    given = run_evaluation(job(tmp_path, data, route="translated", english="given", part="dev"))
    return [made.folder, given.folder]


@pytest.fixture
def data(folders: list[Path], tmp_path: Path) -> Dataset:
    return read_dataset(tmp_path / "calls.csv", SET)


def test_the_translations_of_a_run_are_found_in_its_store_and_no_others(folders: list[Path], data: Dataset) -> None:
    store, run = folders[0].parent / "store", read_run(folders[0])
    found = stored_translations(run, store, data)
    assert found == {t.id: spoilt(t.text) for t in data.part("dev")}
    other = {**run, "translator": {**run["translator"], "digest": "sha256:" + "0" * 64}}
    assert stored_translations(other, store, data) == {}
    assert stored_translations(run, store.with_name("nowhere"), data) == {}
    assert not store.with_name("nowhere").exists()


def test_the_errors_that_come_from_translating_are_those_that_given_english_does_not_have(
    folders: list[Path], data: Dataset
) -> None:
    selection = read_selection(folders, resamples=0)
    assert translated_arms(selection) == [0]
    quality = translation_quality(selection, 0, data, folders[0].parent / "store")
    assert quality is not None
    with_pain = sum(t.labels["pain"] is True for t in data.part("dev"))
    assert (quality.read, quality.scored, quality.ceiling) == (9, 9, "B")
    assert quality.everything.errors.errors == quality.everything.lost == with_pain
    assert (quality.share_of_translation, quality.gained) == (1.0, 0)
    metric = CHRF()
    dev = list(data.part("dev"))
    expected = metric.corpus_score([spoilt(t.text) for t in dev], [[str(t.english) for t in dev]]).score
    assert quality.chrf == pytest.approx(expected)
    clean = next(f for f in quality.findings if f.name == "passed every check")
    checked = [f for f in quality.findings if f.name.startswith("check not passed")]
    assert clean.transcripts + max((f.transcripts for f in checked), default=0) <= 9
    thirds = [f for f in quality.findings if f.name.startswith("chrF")]
    assert sum(f.transcripts for f in thirds) == 9
    assert sum(f.errors.errors for f in thirds) == with_pain
    assert f"{with_pain} of {with_pain} wrong answers (100 %)" in " ".join(quality_grid(quality).notes)


def test_without_an_arm_on_given_english_no_share_is_claimed(folders: list[Path], data: Dataset) -> None:
    quality = translation_quality(read_selection(folders[:1], resamples=0), 0, data, folders[0].parent / "store")
    assert quality is not None
    assert (quality.ceiling, quality.share_of_translation, quality.gained) == (None, None, None)
    assert "needs a run of the same model on given English" in " ".join(quality_grid(quality).notes)


def test_copies_are_looked_for_only_where_the_translator_had_demos(folders: list[Path], data: Dataset) -> None:
    selection = read_selection(folders, resamples=0)
    store = folders[0].parent / "store"
    without = translation_quality(selection, 0, data, store)
    assert without is not None
    assert (without.demos, without.copied) == (0, None)
    selection.arms[0].run["translator"]["program"]["demos"] = 2
    quality = translation_quality(selection, 0, data, store)
    assert quality is not None
    assert quality.copied == 1
    pool = [str(t.english) for t in data.part("pool")]
    # The invented calls name their features in one order, so some of their references share long runs: the control sees them.
    assert quality.by_chance == sum(copied_words(str(t.english), "", pool) > 0 for t in data.part("dev"))
    assert quality.longest_by_id == {"c2": len(COPIED.split())}
    finding = next(f for f in quality.findings if "another call" in f.name)
    assert finding.transcripts == 1
    text = quality_grid(quality).markdown()
    assert "Taken from another call: 1 translations" in text
    assert "tablets" not in text


def test_data_without_english_have_no_chrf_and_a_missing_store_gives_nothing(
    folders: list[Path], data: Dataset
) -> None:
    selection = read_selection(folders[:1], resamples=0)
    bare = replace(data, transcripts=tuple(replace(t, english=None) for t in data))
    quality = translation_quality(selection, 0, bare, folders[0].parent / "store")
    assert quality is not None
    assert (quality.chrf, quality.referenced) == (None, 0)
    assert translation_quality(selection, 0, data, folders[0].parent / "elsewhere") is None
