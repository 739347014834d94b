"""Programs as files: the same prompts after a round trip, and nothing in them that the signature does not name."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.errors import InputError, ProgramError
from balin.programs.builtin import BUILT_IN
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS
from balin.programs.saving import load_program, save_program
from balin.signatures.features import FeatureSet, load_feature_set
from balin.signatures.private_dspy import dspy
from balin.signatures.wording import INPUT

SET = load_feature_set("palliative13")
LABELS = {i: n % 3 == 0 for n, i in enumerate(SET.ids)}
SECRET = "خانم رضایی ۰۹۱۲"


def prompt_of(extractor: Extractor, text: str = "Ein Text.\n«متن»") -> Any:
    return extractor.adapter.prompt(extractor.predict.signature, extractor.predict.demos, {INPUT: text})


def built(feature_set: FeatureSet = SET, language: str = "en", name: str = "lines", **options: Any) -> Extractor:
    extractor = Extractor(feature_set, name="mine", format=name, language=language, **options)
    labels = {i: n % 2 == 0 for n, i in enumerate(feature_set.ids)}
    extractor.set_demos(
        [(f"{SECRET} \u200c«1»\r\n\t\\n", labels), ("Zwei ü 😀", {i: not v for i, v in labels.items()})]
    )
    return extractor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "program.json"


@pytest.fixture
def saved(path: Path) -> dict[str, Any]:
    """The content of a saved program; its file is at `path`."""
    save_program(built(), path)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


class TestARoundTrip:
    @pytest.mark.parametrize("name", list(FORMATS))
    def test_the_prompts_are_byte_for_byte_the_same(self, asked, name, path):
        feature_set, language = asked
        extractor = built(feature_set, language, name, instructions=None)
        save_program(extractor, path)
        loaded = load_program(path, feature_set)
        assert prompt_of(loaded) == prompt_of(extractor)
        assert loaded.hash() == extractor.hash()
        assert loaded.state() == extractor.state()
        assert (loaded.name, loaded.format) == ("mine", name)

    @pytest.mark.parametrize(
        "options",
        [{"instructions": "Eins.\n\n Zwei \u200c {x} %s"}, {"definitions": False}, {"max_tokens": 77}],
        ids=str,
    )
    def test_every_option_is_kept(self, path, options):
        save_program(built(**options), path)
        loaded = load_program(path, SET)
        assert prompt_of(loaded) == prompt_of(built(**options))
        assert loaded.state() == built(**options).state()

    @pytest.mark.parametrize("name", list(BUILT_IN))
    def test_built_in_programs(self, path, name):
        extractor = BUILT_IN[name].build(SET, "fa")
        save_program(extractor, path)
        assert prompt_of(load_program(path, SET)) == prompt_of(extractor)

    def test_a_second_save_writes_the_same_bytes(self, path, tmp_path):
        save_program(built(), path)
        save_program(load_program(path, SET), tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes()

    def test_thresholds(self, path, tmp_path):
        extractor = built(name="probe")
        extractor.thresholds = {"fever": 0.1, "pain": 0.1 + 0.2}
        save_program(extractor, path)
        loaded = load_program(path, SET)
        assert loaded.thresholds == extractor.thresholds
        assert loaded.hash() == extractor.hash() != loaded.asking_hash()
        assert prompt_of(loaded) == prompt_of(built(name="probe"))
        save_program(loaded, tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes()

    def test_only_a_program_with_thresholds_is_of_schema_2(self, path):
        extractor = built(name="probe")
        save_program(extractor, path)
        plain = json.loads(path.read_text(encoding="utf-8"))
        assert plain["schema"] == 1
        assert "thresholds" not in plain
        extractor.thresholds = {"pain": 0.25}
        save_program(extractor, path)
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content == plain | {"schema": 2, "thresholds": {"pain": 0.25}, "hash": extractor.hash()}

    @settings(max_examples=15)
    @given(instructions=st.text(min_size=1, max_size=60), text=st.text(max_size=60))
    def test_any_text(self, tmp_path_factory, instructions, text):
        file = tmp_path_factory.getbasetemp() / "any.json"
        extractor = Extractor(SET, name="any", format="lines", instructions=instructions)
        extractor.set_demos([(text, LABELS)])
        save_program(extractor, file)
        assert prompt_of(load_program(file, SET)) == prompt_of(extractor)


class TestTheFile:
    def test_only_the_signatures_fields_of_a_demo_are_in_it(self, path, scripted):
        rows = [
            dspy.Example(
                transcript=f"Call {n}", **LABELS, patient_name="RAHIMI", mobile_no=SECRET, answers="x"
            ).with_inputs(INPUT)
            for n in range(3)
        ]
        compiled = dspy.LabeledFewShot(k=2).compile(Extractor(SET, name="x", format="json"), trainset=rows)
        compiled.set_lm(scripted(name="secret-model").lm())
        save_program(compiled, path)
        content = json.loads(path.read_text(encoding="utf-8"))
        assert [set(d) for d in content["demos"]] == [{INPUT, *SET.ids}] * 2
        for word in ("RAHIMI", SECRET, "patient_name", "mobile_no", "secret-model", str(path.parent)):
            assert word not in json.dumps(content, ensure_ascii=False)
        assert prompt_of(load_program(path, SET)) == prompt_of(compiled)

    def test_only_its_owner_can_read_it(self, path):
        path.write_text("{}", encoding="utf-8")
        path.chmod(0o644)
        save_program(built(), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_persian_stays_readable(self, path):
        save_program(built(), path)
        assert SECRET in path.read_text(encoding="utf-8")

    def test_a_folder_that_is_not_there_is_a_clear_error(self, tmp_path):
        with pytest.raises(InputError, match="nowhere"):
            save_program(built(), tmp_path / "nowhere" / "program.json")


class TestRefusals:
    def refused(self, path: Path, *words: str, feature_set: FeatureSet = SET) -> None:
        """One sentence that names the file and never shows a demo."""
        with pytest.raises(ProgramError) as caught:
            load_program(path, feature_set)
        message = str(caught.value)
        for word in (path.name, *words):
            assert word in message
        for private in (SECRET, "رضایی", "Zwei ü"):
            assert private not in message
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize("version", [0, 4, "1", None, 1.5, 1.0, [1], {}, True])
    def test_an_unknown_version(self, path, saved, version):
        write(path, saved | {"schema": version})
        self.refused(path, "schema")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("instructions", "Other."),
            ("format", "json"),
            ("language", "fa"),
            ("language", "xx"),
            ("definitions", False),
            ("max_tokens", 100),
            ("hash", "0" * 64),
            ("demos", []),
        ],
    )
    def test_a_changed_file(self, path, saved, key, value):
        assert saved[key] != value
        write(path, saved | {key: value})
        self.refused(path)

    @pytest.fixture
    def with_thresholds(self, path):
        extractor = built(name="probe")
        extractor.thresholds = {"pain": 0.3, "fever": 0.6}
        save_program(extractor, path)
        return json.loads(path.read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        ("thresholds", "word"),
        [
            ({"pain": 0.31, "fever": 0.6}, "thresholds"),
            ({"pain": 0.3}, "thresholds"),
            ({"pain": 0.3, "fever": 1.0}, "fever"),
            ({"pain": 0.3, "fever": 0}, "fever"),
            ({"pain": 0.3, "fever": float("nan")}, "fever"),
            ({"pain": 0.3, "fever": True}, "fever"),
            ({"pain": 0.3, "fever": "0.6"}, "fever"),
            ({"pain": 0.3, "warts": 0.6}, "warts"),
            ({}, "thresholds"),
            (None, "thresholds"),
            ([0.3], "thresholds"),
        ],
        ids=str,
    )
    def test_wrong_or_changed_thresholds(self, path, with_thresholds, thresholds, word):
        write(path, with_thresholds | {"thresholds": thresholds})
        self.refused(path, word)

    def test_thresholds_and_schema_go_together(self, path, with_thresholds, saved):
        write(path, with_thresholds | {"schema": 1})
        self.refused(path, "thresholds")
        del with_thresholds["thresholds"]
        write(path, with_thresholds)
        self.refused(path, "thresholds")

    def test_thresholds_for_a_format_without_probabilities(self, path, with_thresholds):
        write(path, with_thresholds | {"format": "lines"})
        self.refused(path, "lines")

    def test_a_changed_demo(self, path, saved):
        saved["demos"][0]["pain"] = not saved["demos"][0]["pain"]
        write(path, saved)
        self.refused(path, "prompts")
        saved["demos"][0]["pain"] = not saved["demos"][0]["pain"]
        saved["demos"][1][INPUT] += " "
        write(path, saved)
        self.refused(path, "prompts")

    def test_another_feature_set(self, path, saved, german):
        assert saved["feature_set"]["id"] == SET.id
        self.refused(path, "palliative13", "wunden", "--features", feature_set=german)

    def test_the_same_set_with_other_words(self, path, saved):
        write(path, saved | {"feature_set": {"id": SET.id, "hash": "f" * 64}})
        self.refused(path, "palliative13", "f" * 12, SET.hash[:12])

    @pytest.mark.parametrize(
        "key", ["kind", "name", "hash", "feature_set", "format", "language", "definitions", "demos"]
    )
    def test_a_missing_key(self, path, saved, key):
        del saved[key]
        write(path, saved)
        self.refused(path, key)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("kind", "translate"),
            ("name", 3),
            ("format", "xml"),
            ("format", None),
            ("language", 1),
            ("definitions", "yes"),
            ("definitions", 1),
            ("max_tokens", "512"),
            ("max_tokens", 0),
            ("max_tokens", True),
            ("instructions", [SECRET]),
            ("feature_set", "palliative13"),
            ("demos", {SECRET: True}),
            ("demos", SECRET),
            ("demos", [SECRET]),
            ("extra", SECRET),
        ],
    )
    def test_a_wrong_type_or_value(self, path, saved, key, value):
        write(path, saved | {key: value})
        self.refused(path, key)

    def test_half_a_character_in_the_instructions(self, path, saved):
        path.write_text(json.dumps(saved | {"instructions": f"{SECRET} \ud800"}), encoding="utf-8")
        self.refused(path, "instructions", "half a character")

    def test_brackets_without_end(self, path):
        path.write_text("[" * 100_000, encoding="utf-8")
        self.refused(path, "not JSON")

    @pytest.mark.parametrize(
        "change",
        [
            {"pain": "True"},
            {"pain": None},
            {"pain": 1},
            {INPUT: 5},
            {INPUT: True},
            {"phone": SECRET},
            {"pain": [SECRET]},
        ],
        ids=str,
    )
    def test_a_wrong_demo(self, path, saved, change):
        saved["demos"][1] |= change
        write(path, saved)
        self.refused(path, "demos")

    def test_a_demo_without_a_label(self, path, saved):
        del saved["demos"][1]["pain"]
        write(path, saved)
        self.refused(path, "demos[1]")

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"1", SECRET.encode(), b'{"schema": NaN}']
    )
    def test_no_program_at_all(self, path, content):
        path.write_bytes(content)
        self.refused(path)

    def test_half_a_character(self, path, saved):
        saved["demos"][0][INPUT] = "\ud800"
        path.write_text(json.dumps(saved), encoding="utf-8")
        self.refused(path)

    def test_no_file_and_a_folder(self, tmp_path):
        self.refused(tmp_path / "absent.json", "built-in")
        self.refused(tmp_path)
