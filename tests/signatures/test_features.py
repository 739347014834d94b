"""Feature sets: the shipped one, any other, and errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.errors import FeatureSetError
from balin.signatures.features import FeatureSet, load_feature_set

# The study's order and column names (com_…), which its users' files have.
STUDY_COLUMNS = {
    "com_request_for_visit": "doctor_visit_request",
    "com_psychiatric_psychological_complaints": "psychological_complaints",
    "com_sleep_disorders": "sleep_disorders",
    "com_loss_of_appetite": "loss_of_appetite",
    "com_seizures": "seizures",
    "com_weakness_and_fatigue": "weakness_and_fatigue",
    "com_decreased_level_of_consciousness": "decreased_consciousness",
    "com_fever": "fever",
    "com_shortness_of_breath_oxygen_saturation_drop_respiratory_complaints": "respiratory_complaints",
    "com_issues_related_to_insurance_and_treatment_costs": "insurance_or_cost_issues",
    "com_urinary_issues": "urinary_issues",
    "com_pain": "pain",
    "com_gastrointestinal_issues": "gastrointestinal_issues",
}

GERMAN = """\
schema: 1
id: wunden
title: Wundambulanz
source_language: de
subject: {de: eine Notiz der Wundambulanz}
columns:
  id: [nummer]
  text: [notiz]
features:
  - id: wound_pain
    columns: [Schmerz]
    label: {de: Wundschmerz}
    definition: {de: Die Wunde schmerzt.}
  - id: smell
    label: {de: Geruch}
    short: {de: Riecht}
    definition: {de: Die Wunde riecht.}
"""

Load = Callable[[str], FeatureSet]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str) -> FeatureSet:
        path = tmp_path / "set.yaml"
        path.write_text(text, encoding="utf-8")
        return load_feature_set(path)

    return read


class TestTheShippedSet:
    palliative = load_feature_set("palliative13")

    def test_it_has_the_studys_features_in_the_studys_order(self):
        assert self.palliative.ids == tuple(STUDY_COLUMNS.values())
        assert len(self.palliative) == 13
        assert [f.id for f in self.palliative] == list(self.palliative.ids)

    def test_it_takes_the_studys_columns_unchanged(self):
        for column, identifier in STUDY_COLUMNS.items():
            assert self.palliative.column_of(column) == identifier
            assert self.palliative.column_of(identifier) == identifier
        assert self.palliative.column_of("com_unknown") is None
        assert "medical_history" in self.palliative.columns["text"]
        assert "medical_history_en" in self.palliative.columns["english"]

    def test_every_text_is_there_in_both_languages(self):
        assert set(self.palliative.languages) == {"en", "fa"}
        assert self.palliative.source_language == "fa"
        for feature in self.palliative:
            for kind in ("label", "short", "definition", "counts", "excludes"):
                texts = getattr(feature, kind)
                assert set(texts) == {"en", "fa"}, (feature.id, kind)
                assert all(text.strip() for text in texts.values())


class TestAnySet:
    def test_nine_features_in_german_are_a_file_and_no_code(self, load):
        german = load(GERMAN)
        assert german.ids == ("wound_pain", "smell")
        assert german.languages == ("de",)
        assert german.features[0].short == {"de": "Wundschmerz"}
        assert german.features[1].short == {"de": "Riecht"}
        assert german.features[0].counts == {}
        assert german.rules == {}
        assert german.column_of("Schmerz") == "wound_pain"
        # The plain names stay accepted, and come first.
        assert german.columns["id"] == ("id", "nummer")
        assert german.columns["text"] == ("text", "notiz")
        assert german.columns["group"] == ("group",)

    def test_norwegian_is_a_language_and_not_false(self, load):
        norwegian = load(GERMAN.replace("de:", "no:").replace("source_language: de", "source_language: no"))
        assert norwegian.languages == ("no",)
        assert norwegian.source_language == "no"

    def test_a_byte_order_mark_is_no_error(self, load):
        assert load("\ufeff" + GERMAN).id == "wunden"

    def test_a_language_that_is_not_written_is_refused_by_name(self, load):
        german = load(GERMAN)
        assert german.require_language("de") == "de"
        with pytest.raises(FeatureSetError, match=r"wunden.*'en'.*de"):
            german.require_language("en")

    def test_the_title_may_be_left_out(self, load):
        assert load(GERMAN.replace("title: Wundambulanz\n", "")).title == "wunden"


class TestTheHash:
    def test_the_files_layout_does_not_count(self, load):
        again = yaml.safe_dump(yaml.safe_load(GERMAN), sort_keys=True, allow_unicode=False)
        assert again != GERMAN
        assert load(again).hash == load(GERMAN).hash

    def test_column_names_do_not_count(self, load):
        assert load(GERMAN.replace("[Schmerz]", "[schmerz_2]")).hash == load(GERMAN).hash

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("id: wunden", "id: wunden2"),
            ("{de: Wundschmerz}", "{de: Schmerz der Wunde}"),
            ("Die Wunde riecht.", "Die Wunde riecht schlecht."),
            ("{de: Riecht}", "{de: Duft}"),
            ("eine Notiz", "ein Brief"),
            ("source_language: de", "source_language: nl"),
            ("id: smell", "id: odour"),
            (
                "definition: {de: Die Wunde riecht.}",
                "definition: {de: Die Wunde riecht.}\n    counts: {de: Fäulnis}",
            ),
            ("columns:\n  id", "rules: {de: Nur jetzt.}\ncolumns:\n  id"),
        ],
    )
    def test_every_word_of_the_questions_counts(self, load, old, new):
        assert old in GERMAN
        assert load(GERMAN.replace(old, new)).hash != load(GERMAN).hash

    def test_the_order_counts(self, load):
        content = yaml.safe_load(GERMAN)
        content["features"].reverse()
        assert load(yaml.safe_dump(content, allow_unicode=True)).hash != load(GERMAN).hash


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("schema: 1", "schema: 2", 1, ("schema", "2", "reads 1")),
        ("schema: 1\n", "", 1, ("schema", "missing")),
        ("id: wunden", "id: Wunden", 2, ("id", "Wunden", "lower-case")),
        ("title:", "titel:", 3, ("titel", "unknown key", "title")),
        ("source_language: de\n", "", 1, ("source_language", "missing")),
        ("{de: eine Notiz der Wundambulanz}", "eine Notiz", 5, ("subject",)),
        ("  id: [nummer]", "  id: nummer", 7, ("columns.id", "list")),
        ("  id: [nummer]", "  ident: [nummer]", 7, ("columns.ident", "unknown key")),
        ("  - id: wound_pain", "  - id: wound pain", 10, ("features[0].id", "wound pain")),
        ("  - id: wound_pain", "  - id: text", 10, ("features[0].id", "Balin uses itself")),
        ("  - id: smell", "  - id: wound_pain", 14, ("features[1]", "wound_pain", "already")),
        ("  - id: smell", "  - id: Schmerz", 14, ("features[1].id", "Schmerz")),
        ("  - id: smell", "  - id: smell\n    columns: [Schmerz]", 14, ("features[1]", "Schmerz", "wound_pain")),
        ("    label: {de: Geruch}", "    label: {en: Smell}", 15, ("features[1].label", "'de'")),
        ("    label: {de: Geruch}", "    label: {de: Geruch, en: Smell}", 15, ("features[1].label.en", "de")),
        ("    label: {de: Geruch}", "    label: {de: ''}", 15, ("features[1].label.de", "empty")),
        ("    label: {de: Geruch}", "    label: Geruch", 15, ("features[1].label", "language")),
        ("    label: {de: Geruch}", "    lable: {de: Geruch}", 15, ("features[1].lable", "unknown key", "label")),
        ("    label: {de: Geruch}", "    label: {de: wundSCHMERZ}", 10, ("wound_pain", "smell", "label", "'de'")),
        ("{de: Riecht}", "{de: Wundschmerz}", 10, ("wound_pain", "smell", "short")),
        ("{de: Riecht}", "{de: Riecht, de: Duft}", 16, ("features[1].short.de", "twice")),
        ("    definition: {de: Die Wunde riecht.}\n", "", 14, ("features[1]", "definition", "missing")),
        ("    label: {de: Geruch}", "    label: {de: Geruch}\n    label: {de: Duft}", 16, ("label", "twice")),
        ("id: wunden", "id: [", 4, ("YAML",)),
    ],
)
def test_an_error_names_file_line_and_key(load, tmp_path, old, new, line, words):
    assert old in GERMAN
    with pytest.raises(FeatureSetError) as caught:
        load(GERMAN.replace(old, new))
    message = str(caught.value)
    assert str(tmp_path / "set.yaml") in message
    assert f"line {line}:" in message
    for word in words:
        assert word in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "palliative",
        "- a\n- b\n",
        "features: []\n",
        GERMAN + "---\nschema: 1\n",
        GERMAN.split("features:", maxsplit=1)[0] + "features: []\n",
        GERMAN.split("features:", maxsplit=1)[0] + "features: {a: b}\n",
        GERMAN.split("features:", maxsplit=1)[0] + "features: [pain]\n",
        "a: \x00\n",
        "!!python/object/apply:os.getcwd []\n",
        "&a [*a]\n",
        "[a, b]: c\n",
        "? {a: b}\n: c\n",
    ],
    ids=lambda text: repr(text[-24:]),
)
def test_a_file_that_is_no_feature_set_is_one_clear_error(load, text):
    with pytest.raises(FeatureSetError, match=r"set\.yaml"):
        load(text)


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path):
    with pytest.raises(FeatureSetError, match=r"paliative13.*palliative13"):
        load_feature_set("paliative13")
    with pytest.raises(FeatureSetError, match="neither a file"):
        load_feature_set(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(GERMAN.encode().replace(b"Geruch", b"Ger\xfcche"))
    with pytest.raises(FeatureSetError, match=r"latin\.yaml.*UTF-8"):
        load_feature_set(latin)


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, len(GERMAN)),
    length=st.integers(0, 30),
    insert=st.text(alphabet="{}[]:,-&*!|>'\"%@`#? \n\tabd1ی", max_size=6),
)
def test_a_damaged_file_is_read_or_refused_and_never_a_crash(tmp_path_factory, place, length, insert):
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text(GERMAN[:place] + insert + GERMAN[place + length :], encoding="utf-8")
    try:
        found = load_feature_set(path)
    except FeatureSetError:
        return
    assert len(found) >= 1
    assert found.languages
    assert all(f.label[k] and f.short[k] and f.definition[k] for f in found for k in found.languages)
