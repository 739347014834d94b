from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from balin.data.checks import check_dataset, personal_data_in
from balin.data.transcripts import Dataset, Reject, Transcript
from balin.signatures.features import FeatureSet


def data_of(*rows: Transcript, labelled: tuple[str, ...] = (), rejects: tuple[Reject, ...] = ()) -> Dataset:
    return Dataset("f.csv", "0" * 64, "palliative13", rows, rejects, labelled)


def test_counts(palliative: FeatureSet) -> None:
    rows = [
        Transcript("1", "تب دارد", english="fever", group="a", labels={"fever": True, "pain": None}, part="dev", row=2),
        Transcript("2", "تب ندارد و خوب است", group="a", labels={"fever": False, "pain": None}, part="dev", row=3),
        Transcript("3", "سرفه دارد امروز", labels={"fever": None, "pain": None}, row=4),
    ]
    rejects = (
        Reject(5, None, "the id is empty", "empty_id"),
        Reject(6, "1", "…", "duplicate_id"),
        Reject(7, None, "…", "empty_id"),
    )
    report = check_dataset(data_of(*rows, labelled=("fever", "pain"), rejects=rejects), palliative)
    assert (report.rows, report.usable, report.rejects) == (6, 3, {"empty_id": 2, "duplicate_id": 1})
    fever = report.labels["fever"]
    assert (fever.positives, fever.negatives, fever.blank, fever.prevalence) == (1, 1, 1, 0.5)
    assert report.labels["pain"].prevalence is None
    assert len(report.unlabelled) == 11
    assert (report.groups, report.repeating_groups, report.ungrouped) == (1, 1, 1)
    assert report.words == {"min": 2, "median": 3.0, "max": 5}
    assert report.scripts == {"arabic": 1.0, "latin": 0.0, "other": 0.0}
    assert report.english == 1
    assert report.parts["dev"].n == 2
    assert report.parts["dev"].positives == {"fever": 1, "pain": 0}
    text = "\n".join(report.warnings)
    assert "3 rows of 6 cannot be used (empty_id 2, duplicate_id 1)." in text
    assert "fever has 1 positive: intervals will be wide." in text
    assert "pain has a column and no label in it." in text
    assert "1 transcript is in no part." in text
    assert "2 of 3 transcripts have no English text." in text


def test_duplicates_and_leaks(palliative: FeatureSet) -> None:
    rows = [
        Transcript("1", "می‌رود.", group="a", part="pool", row=2),
        Transcript("2", "مي رود", group="b", part="test", row=3),
        Transcript("3", "x", part="dev", row=4),
        Transcript("4", "X!", part="dev", row=5),
        Transcript("5", "y", group="c", row=6),
        Transcript("6", "Y", group="c", part="dev", row=7),
        Transcript("7", "z", group="a", part="dev", row=8),
    ]
    report = check_dataset(data_of(*rows), palliative)
    assert [(d.rows, d.across_groups, d.across_parts) for d in report.duplicates] == [
        ((2, 3), True, True),
        ((4, 5), True, False),
        ((6, 7), False, False),
    ]
    assert report.groups_across_parts == 1
    text = "\n".join(report.warnings)
    assert "1 text is in more than one part, a leak (rows 2, 3 for example)." in text
    assert "1 group is in more than one part, a leak." in text
    assert "2 texts occur more than once, 1 of them in different groups" in text


def test_the_wrong_text_column_is_noticed(palliative: FeatureSet, german: FeatureSet) -> None:
    row = Transcript("1", "The patient has fever", row=2)
    assert any("Arabic script" in w for w in check_dataset(data_of(row), palliative).warnings)
    assert not any("Arabic script" in w for w in check_dataset(data_of(row), german).warnings)


def test_one_class_and_no_labels(palliative: FeatureSet) -> None:
    rows = [Transcript(str(i), f"متن {i}", labels={"fever": True}) for i in range(12)]
    assert (
        "fever has positives only: its scores are undefined."
        in check_dataset(data_of(*rows, labelled=("fever",)), palliative).warnings
    )
    assert any("no labels" in w for w in check_dataset(data_of(*rows), palliative).warnings)


def test_enough_of_both_gives_no_label_warning(german: FeatureSet) -> None:
    rows = [Transcript(str(i), f"Text {i}", labels=dict.fromkeys(german.ids, i % 2 == 0)) for i in range(20)]
    assert check_dataset(data_of(*rows, labelled=german.ids), german).warnings == ()


def test_personal_data_kinds() -> None:
    assert list(personal_data_in("شماره ۰۹۱۲ ۳۴۵ ۶۷ ۸۹ و +989123456789 و 00989123456789")) == ["mobile_number"] * 3
    assert list(personal_data_in("کد ملی ۰۰۸۴۵۷۵۹۴۸ و 008-457594-8")) == ["national_id"] * 2
    assert list(personal_data_in("کارت 6037-9971-1234-5670")) == []
    assert list(personal_data_in("card 4111 1111 1111 1111 / 4111111111111111")) == ["card_number"] * 2
    assert list(personal_data_in("فشار 120 روی 80، 1111111111، سال 1402، قند 350، 0084575947")) == []


@given(st.integers(0, 10**9 - 1))
def test_national_ids_have_one_check_digit(number: int) -> None:
    digits = f"{number:09d}"
    found = [d for d in range(10) if "national_id" in personal_data_in(f"{digits}{d}")]
    assert len(found) <= 1
    if len(set(digits)) > 1:
        assert len(found) == 1


def test_hints_have_rows_and_no_text(palliative: FeatureSet) -> None:
    rows = [Transcript("1", "زنگ بزنید ۰۹۱۲۳۴۵۶۷۸۹", english="call 09123456789", row=2), Transcript("2", "خوب", row=3)]
    report = check_dataset(data_of(*rows), palliative)
    assert (report.personal_data["mobile_number"].count, report.personal_data["mobile_number"].rows) == (2, (2,))
    assert "look like a mobile number (row 2)" in report.warnings[0]
    whole = json.dumps(report.to_dict(), ensure_ascii=False)
    assert "345" not in whole
    assert "زنگ" not in whole


def test_an_empty_dataset_has_a_report(palliative: FeatureSet) -> None:
    report = check_dataset(data_of(), palliative)
    assert report.words == {}
    assert report.scripts == {}
    json.dumps(report.to_dict())
