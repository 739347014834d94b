"""The page: one file, safe with whatever runs hold, and the same numbers as the tables."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from invented_arms import (  # type: ignore[import-not-found]
    invented_comparison,
    invented_run,
    invented_selection,
    invented_table,
)

from balin.errors import InputError
from balin.eval import page as page_module
from balin.eval.comparison import compare_runs
from balin.eval.disagreements import disagreements
from balin.eval.metrics import AnswerTable
from balin.eval.page import headline, published_for, render_page, write_page
from balin.eval.shown import arm_names, select

VOID = {"meta", "input", "link", "br"}
EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(1)">'


class Page(HTMLParser):
    """Elements, ids, texts by tag; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def comparison():
    return invented_comparison(4)


@pytest.fixture(scope="module")
def page(comparison):
    return render_page(comparison.selection, comparison)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_needs_nothing_else(page):
    parsed = Page(page)
    for tag, attributes in parsed.tags:
        assert not {"src", "srcset", "data", "action", "onclick", "onerror"} & set(attributes), tag
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert not parsed.all("link")
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    policy = next(a["content"] for a in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    script = page[page.rindex("<script>") + 8 : page.rindex("</script>")]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_every_id_is_there_once_and_every_link_leads_somewhere(page):
    parsed = Page(page)
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.tags:
        for name in ("href", "xlink:href", "aria-labelledby"):
            if name in attributes:
                assert attributes[name].removeprefix("#") in ids
        if "data-filters" in attributes:
            assert attributes["data-filters"] in ids


def test_tables_and_figures_can_be_read_without_seeing(page):
    parsed = Page(page)
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all("scope" in a for a in parsed.all("th"))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in parsed.all("svg"))
    assert len(parsed.all("figure")) == len(parsed.all("svg")) == len(parsed.all("figcaption")) == 10
    sortable = [a for a in parsed.all("th") if "aria-sort" in a]
    assert len(sortable) > 50


def test_the_headline_says_the_best_arm_its_interval_and_the_paired_difference(comparison, page):
    said = headline(comparison.selection, comparison)
    best = max(comparison.arms, key=lambda arm: arm.scores.summaries()["mcc"].median)
    summary = best.scores.summaries()["mcc"]
    told = f"{summary.median:.3f} [{summary.median_interval.low:.3f}, {summary.median_interval.high:.3f}]"
    assert told in said
    assert best.title in said
    assert "paired difference" in said
    assert said in Page(page).texts["h1"]
    assert "Translating first (C − D) changes the mean MCC of aya-expanse:8b" in page


def test_one_arm_and_no_defined_score():
    assert "median MCC" in headline(invented_selection(1))
    table = invented_table(5)
    blank = AnswerTable(table.ids, table.groups, table.features, np.zeros_like(table.gold), table.state, table.p_true)
    selection = select([(invented_run(), blank)], resamples=10)
    assert headline(selection).startswith("No score is defined on 5 transcripts")
    Page(render_page(selection))


@pytest.mark.parametrize("n", [1, 2, 40])
@pytest.mark.parametrize("arms", [1, 2])
def test_few_transcripts(n, arms):
    comparison = invented_comparison(arms, n) if arms > 1 else None
    selection = comparison.selection if comparison else invented_selection(1, n)
    Page(render_page(selection, comparison, drawings=[]))


def test_what_runs_hold_is_escaped():
    run = invented_run(
        labels={"pain": EVIL},
        command=EVIL,
        warnings=[EVIL],
        model={"name": EVIL},
        program={"name": EVIL, "language": "en"},
    )
    table = invented_table(20)
    named = AnswerTable((EVIL, *table.ids[1:]), table.groups, table.features, table.gold, table.state, table.p_true)
    selection = select([(run, named)], resamples=10)
    page = render_page(selection, texts={EVIL: EVIL})
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    parsed = Page(page)
    assert not [a for _, a in parsed.tags if "onerror" in a]
    found = data_of(page)
    assert found["ids"][0] == EVIL
    assert found["texts"] == {"0": EVIL}


def test_transcripts_are_there_only_when_asked_for(comparison, page):
    secret = "بیمار شبها نمیخوابد"
    texts = dict.fromkeys(comparison.arms[0].table.ids, secret)
    shown = render_page(comparison.selection, comparison, texts=texts, drawings=[])
    assert secret in shown
    assert "This file holds transcripts." in shown
    assert "This file holds transcripts." not in page
    assert data_of(page)["texts"] == {}


def test_disagreements_are_the_answers_that_are_not_the_label(comparison):
    found = disagreements(comparison.selection)
    assert found.total == len(found.rows)
    tables = [arm.table for arm in comparison.arms]
    wrong = np.stack([table.state != table.gold for table in tables]).any(axis=0)
    assert found.total == wrong.sum()
    number, feature, label, said = found.rows[0]
    row = tables[0].ids.index(found.ids[number])
    assert label == "FT"[tables[0].gold[row, feature]]
    assert said == "".join("FTME"[table.state[row, feature]] for table in tables)
    cut = disagreements(comparison.selection, limit=5)
    assert (len(cut.rows), cut.total) == (5, found.total)
    most = max(sum(a != label for a in said) for _, _, label, said in found.rows)
    assert max(sum(a != label for a in said) for _, _, label, said in cut.rows) == most


def test_arms_are_named_by_what_tells_them_apart():
    runs = [invented_run(0), invented_run(2), invented_run(3)]
    assert arm_names(runs) == [
        "qwen2.5:7b-instruct, direct, probe",
        "aya-expanse:8b, translated, probe",
        "aya-expanse:8b, direct, lines",
    ]
    assert arm_names([invented_run(0), invented_run(0, name="other")])[1] == "qwen2.5:7b-instruct, direct (other)"
    assert arm_names([{}]) == ["?, route unknown"]
    assert arm_names([invented_run(1, english="given", translator=None)]) == ["llama3.1:8b, given English"]


def test_arms_are_cut_to_what_all_have_answered():
    first, second = invented_table(30), invented_table(30, ("pain", "fever"), seed=1)
    with pytest.raises(InputError, match="different gold labels"):
        select([(invented_run(0), first), (invented_run(1), second)], resamples=5)
    failed = invented_table(30, errors=4, seed=2)
    selection = select([(invented_run(0), first), (invented_run(1), failed)], resamples=5)
    assert [arm.scores.n for arm in selection.arms] == [26, 26]
    assert "26 of 30 transcripts" in selection.notes[0]
    with pytest.raises(InputError, match="no feature that all"):
        select([(invented_run(0), invented_table(5, ("a",))), (invented_run(1), invented_table(5, ("b",)))])


def test_published_values_stand_beside_the_studys_questions_only():
    assert published_for(invented_selection(2))
    other = select([(invented_run(feature_set={"id": "heart3"}), invented_table(20))], resamples=5)
    assert published_for(other) == []
    assert "published" not in render_page(other, drawings=[])


def test_the_largest_page_is_small_enough():
    comparison = invented_comparison(5, 1221, resamples=20, permutations=5)
    assert len(render_page(comparison.selection, comparison).encode()) < 3_000_000
    many = invented_selection(1, 10_000, resamples=5)
    assert len(render_page(many).encode()) < 3_000_000


def test_arms_that_share_but_some_features_and_one_class():
    whole = invented_table(30)
    gold = whole.gold.copy()
    gold[:, 1] = 0
    first = replace(whole, gold=gold)
    cut = {name: getattr(first, name)[:, :4] for name in ("gold", "state", "p_true")}
    fewer = AnswerTable(whole.ids, whole.groups, whole.features[:4], **cut)
    comparison = compare_runs([(invented_run(0), first), (invented_run(1), fewer)], resamples=20, permutations=20)
    page = render_page(comparison.selection, comparison)
    Page(page)
    assert "B was not asked for: " in page
    assert "of one class" in page


def test_a_page_of_run_folders_is_written_for_its_owner_alone(tmp_path, monkeypatch):
    whole, failed = invented_table(20), invented_table(20, errors=20)
    runs = {
        "a": (invented_run(0), whole),
        "b": (invented_run(1), failed),
        "c": (invented_run(2), invented_table(20, seed=2)),
    }
    monkeypatch.setattr(page_module, "read_run", lambda folder: runs[folder.name][0])
    monkeypatch.setattr(page_module, "read_predictions", lambda folder: runs[folder.name][1])
    path = write_page([Path("a"), Path("b"), Path("c")], tmp_path / "new" / "report.html", remark="An illustration.")
    assert path.is_absolute()
    assert path.stat().st_mode & 0o77 == 0
    page = path.read_text(encoding="utf-8")
    assert "An illustration. Left out, every call having failed: invented-1." in page
    assert "Of 2 arms" in page
    with pytest.raises(InputError, match="no run has an answer"):
        write_page([Path("b")], path)


def test_the_headline_says_where_the_data_do_not_tell():
    tables = [invented_table(60, seed=i, skill=1.2) for i in range(2)]
    runs = [(invented_run(i), table) for i, table in enumerate(tables)]
    same = compare_runs([runs[0], (invented_run(1), tables[0])], resamples=20, permutations=20)
    assert "these data do not tell the two apart" in headline(same.selection, same)
    apart = compare_runs(
        [runs[0], (invented_run(1), invented_table(60, seed=1, skill=-1.0))], resamples=50, permutations=20
    )
    said = headline(apart.selection, apart)
    assert "do not tell" not in said
    assert "−" in said.split("paired difference B − A: ")[1]


# What a reader would do with the keyboard: a press of a focused button is a click of it.
PROBE = """
const first = (id) => document.querySelector(`#${id} tbody th`).textContent;
const button = document.querySelectorAll("#by-feature thead button")[2];
button.focus(); document.activeElement.click();
const up = [first("by-feature"), button.closest("th").getAttribute("aria-sort")];
document.activeElement.click();
const down = [first("by-feature"), button.closest("th").getAttribute("aria-sort")];
const box = document.querySelector("[data-filters=by-feature]");
box.value = "pain"; box.dispatchEvent(new Event("input"));
const kept = [...document.querySelectorAll("#by-feature tbody tr")].filter((row) => !row.hidden).length;
document.getElementById("on").click();
const told = document.getElementById("found").textContent;
const kind = document.getElementById("pick-kind");
kind.value = "missing"; kind.dispatchEvent(new Event("input"));
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const boxes = [...document.querySelectorAll("figure svg")].map((figure) => figure.getBoundingClientRect());
const hidden = boxes.filter((b) => b.width < 200 || b.height < 100 || b.left < 0 || b.right > innerWidth).length;
const ground = getComputedStyle(document.body).backgroundColor, loaded = performance.getEntriesByType("resource").length;
document.body.append(Object.assign(document.createElement("pre"), { id: "probe", textContent:
  JSON.stringify({ up, down, kept, told, missing: document.getElementById("found").textContent, wide, loaded, ground,
    figures: boxes.length, hidden }) }));
"""
BROWSER = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")


def browse(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*BROWSER, f"--user-data-dir={folder / 'profile'}", *options, (folder / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert "CONSOLE" not in done.stderr, "the page has errors or warnings"
    return done


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(500, False), (1280, False), (1280, True)])
def test_a_browser_sorts_filters_leafs_and_shows_the_figures(comparison, tmp_path, monkeypatch, width, dark):
    own = page_module._resource
    monkeypatch.setattr(page_module, "_resource", lambda name: own(name) + (PROBE if name == "page.js" else ""))
    (tmp_path / "report.html").write_text(render_page(comparison.selection, comparison), encoding="utf-8")
    scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    done = browse(tmp_path, f"--window-size={width},900", *scheme, "--dump-dom")
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)[1])
    scores = comparison.arms[0].scores.features
    known = {
        comparison.selection.label(n): item.values["mcc"]
        for n, item in scores.items()
        if item.values["mcc"] is not None
    }
    assert found["up"][1] == "ascending"
    assert round(known[found["up"][0]], 2) == round(min(known.values()), 2)
    assert found["down"][1] == "descending"
    assert round(known[found["down"][0]], 2) == round(max(known.values()), 2)
    assert found["kept"] == 1
    rows = disagreements(comparison.selection).rows
    assert found["told"] == f"51 to 100 of {len(rows)}"
    assert found["missing"].endswith(f" of {sum('M' in said for *_, said in rows)}")
    assert not found["wide"]
    assert found["loaded"] == 0, "the page fetches something"
    assert found["figures"] > 6
    assert found["hidden"] == 0
    red, green, blue = (int(part) for part in re.findall(r"\d+", found["ground"])[:3])
    assert (red + green + blue < 3 * 60) is dark


@needs_browser
def test_it_prints_on_a4(comparison, tmp_path):
    (tmp_path / "report.html").write_text(render_page(comparison.selection, comparison), encoding="utf-8")
    browse(tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    pdf = (tmp_path / "report.pdf").read_bytes()
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert 3 < len(sheets) < 40
    assert {(round(float(w)), round(float(h))) for w, h in sheets} <= {(595, 842), (594, 841), (595, 841), (594, 842)}
