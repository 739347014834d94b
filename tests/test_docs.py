"""What the documents show is true: files in them can be read, prompts are the code's own, tables hold the corpus's counts."""

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from balin.data.readers import read_bytes, write_rejects
from balin.programs.formats import FORMATS, Demo, Task
from balin.signatures.features import load_feature_set
from balin.signatures.wording import default_instructions

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CORPUS = ROOT / "data" / "corpus"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), CORPUS / "README.md"]

DEMO = "Ankles thick since Monday, shoes too tight. Breathes well, takes all tablets."
TEXT = "Sleeps in an armchair for lack of breath. Left out the water tablet on Friday. Legs slim."


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def read_csv(text, feature_set):
    return read_bytes(text.encode(), ".csv", "example.csv", feature_set)


@pytest.fixture
def example(tmp_path):
    """The feature set that features.md shows."""
    (shown,) = blocks(DOCS / "features.md", "yaml")
    file = tmp_path / "heart.yaml"
    file.write_text(shown, encoding="utf-8")
    return load_feature_set(file)


def test_the_example_feature_set_loads(example):
    assert example.languages == ("en", "de")
    assert example.source_language == "de"
    assert len(example) == 3


def test_the_example_data_can_be_used_with_it(example):
    (shown,) = blocks(DOCS / "features.md", "csv")
    data = read_csv(shown, example)
    assert data.rejects == ()
    assert data.labelled == example.ids
    assert all(t.group for t in data)
    assert all({t.labels[i] for t in data} == {True, False} for i in example.ids)


def test_the_keys_are_all_explained(example):
    text = (DOCS / "features.md").read_text(encoding="utf-8")
    (shown,) = blocks(DOCS / "features.md", "yaml")
    used = set(re.findall(r"^(?:  - |    )?([a-z_]+):", shown, re.MULTILINE)) - {"en", "de"}
    assert used <= set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def test_the_example_of_the_studys_columns_is_read_whole(feature_set):
    good, _ = blocks(DOCS / "data.md", "csv")
    data = read_csv(good, feature_set)
    assert data.rejects == ()
    assert set(data.labelled) == {"pain", "fever", "gastrointestinal_issues"}
    assert [t.group for t in data] == ["p17", "p17", "p18"]
    assert all(t.english for t in data)


def test_the_rejects_are_those_that_are_shown(feature_set, tmp_path):
    _, faulty = blocks(DOCS / "data.md", "csv")
    (shown,) = blocks(DOCS / "data.md", "text")
    data = read_csv(faulty, feature_set)
    write_rejects(tmp_path / "rejects.csv", data.rejects)
    written = (tmp_path / "rejects.csv").read_text(encoding="utf-8")
    assert list(csv.reader(io.StringIO(shown))) == list(csv.reader(io.StringIO(written)))
    assert len(data) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_the_prompts_are_the_codes_own(name, example):
    labels = {"breathlessness": False, "leg_swelling": True, "medication_stopped": False}
    task = Task(default_instructions(example, "en"), example, "en", definitions=name == "probe", max_tokens=512)
    prompt = FORMATS[name].prompt(task, [Demo(DEMO, labels)], TEXT)
    shown = blocks(DOCS / "answers.md", "text")
    assert "\n".join(f"[{m.role}]\n{m.content}\n" for m in prompt.messages) in shown
    if prompt.probes:
        assert f"{prompt.probes[0]}\n" in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.casefold()).replace(" ", "-") for h in headings}


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in (CORPUS / "palliative13.jsonl").read_text(encoding="utf-8").splitlines()]


def cells(first):
    """The cells of the corpus card's table row that begins so."""
    text = (CORPUS / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"^\| {re.escape(first)} \|(.+)\|$", text, re.MULTILINE)
    assert len(found) == 1, first
    return [cell.strip() for cell in found[0].split("|")]


def test_the_corpus_card_counts_positives(rows, feature_set):
    assert cells("transcripts")[:4] == [str(n) for n in (*per_part(rows, lambda row: True), len(rows))]
    for feature in feature_set:
        counts = per_part(rows, lambda row, i=feature.id: row[i])
        share = f"{100 * sum(counts) / len(rows):.0f} %"
        assert cells(f"`{feature.id}`") == [*(str(n) for n in (*counts, sum(counts))), share]


def test_the_corpus_card_counts_registers_and_phenomena(rows):
    for register, n in Counter(row["register"] for row in rows).items():
        assert cells(f"`{register}`")[0] == str(n)
    for phenomenon, n in Counter(p for row in rows for p in row["phenomena"]).items():
        assert cells(f"`{phenomenon}`")[0] == str(n)


def per_part(rows, wanted):
    return [sum(bool(wanted(row)) for row in rows if row["part"] == part) for part in ("pool", "dev", "test")]
