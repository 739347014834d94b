"""The two signatures and their words, for any set and language; and DSPy with its doors closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from balin.errors import FeatureSetError
from balin.signatures import translate
from balin.signatures.extract import extract_signature
from balin.signatures.features import Feature, FeatureSet, load_feature_set
from balin.signatures.private_dspy import dspy
from balin.signatures.translate import language_name, translate_signature
from balin.signatures.wording import INPUT, default_instructions, describe

PALLIATIVE = load_feature_set("palliative13")


def small_set(*ids: str, language: str = "de") -> FeatureSet:
    features = tuple(
        Feature(i, (), {language: f"Label {i}"}, {language: f"Kurz {i}"}, {language: f"Definition von {i}."})
        for i in ids
    )
    return FeatureSet("klein", "Klein", language, {language: "eine {Notiz}"}, {}, {}, features)


class TestTheExtractSignature:
    @pytest.mark.parametrize("language", ["en", "fa"])
    def test_one_input_and_one_optional_boolean_for_each_feature_in_order(self, language):
        signature = extract_signature(PALLIATIVE, language)
        assert list(signature.input_fields) == [INPUT]
        assert tuple(signature.output_fields) == PALLIATIVE.ids
        for feature in PALLIATIVE:
            field = signature.output_fields[feature.id]
            assert field.annotation == bool | None
            assert field.default is None
            assert feature.definition[language] in field.json_schema_extra["desc"]

    def test_instructions_are_the_sets_unless_others_are_given(self):
        assert extract_signature(PALLIATIVE, "en").instructions == default_instructions(PALLIATIVE, "en")
        assert extract_signature(PALLIATIVE, "en", "Decide.").instructions == "Decide."

    def test_a_language_that_the_set_is_not_written_in_is_refused(self):
        for build in (extract_signature, default_instructions):
            with pytest.raises(FeatureSetError, match=r"palliative13.*'de'.*en, fa"):
                build(PALLIATIVE, "de")

    def test_it_is_made_without_a_warning(self):
        # What DSPy warns of today is gone in its next version.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            extract_signature(PALLIATIVE, "en")
            translate_signature(PALLIATIVE)

    @pytest.mark.parametrize(
        "identifier",
        ["instructions", "fields", "signature", "input_fields", "output_fields", "model_config", "json", "class"],
    )
    def test_every_id_that_a_file_may_have_makes_a_signature(self, tmp_path, identifier):
        path = tmp_path / "set.yaml"
        path.write_text(
            "schema: 1\nid: klein\nsource_language: de\nsubject: {de: eine Notiz}\n"
            f"features:\n  - {{id: {identifier}, label: {{de: Wort}}, definition: {{de: Ein Satz.}}}}\n",
            encoding="utf-8",
        )
        try:
            found = load_feature_set(path)
        except FeatureSetError:
            return  # refused when the file is read: just as good
        assert tuple(extract_signature(found, "de").output_fields) == (identifier,)

    def test_any_number_of_features_in_any_language(self):
        for count in (1, 40):
            ids = tuple(f"f{n}" for n in range(count))
            assert tuple(extract_signature(small_set(*ids), "de").output_fields) == ids


class TestWording:
    def test_the_opening_names_the_subject_and_the_rules_follow(self):
        for language in ("en", "fa"):
            text = default_instructions(PALLIATIVE, language)
            assert PALLIATIVE.subject[language] in text.split("\n")[0]
            assert text.endswith(PALLIATIVE.rules[language])
            assert "{subject}" not in text

    def test_the_two_languages_do_not_mix(self):
        persian = default_instructions(PALLIATIVE, "fa") + " ".join(describe(f, "fa") for f in PALLIATIVE)
        latin = {word for word in persian.split() if any("a" <= c <= "z" for c in word.casefold())}
        assert latin <= {"GCS"}
        english = default_instructions(PALLIATIVE, "en") + " ".join(describe(f, "en") for f in PALLIATIVE)
        assert not any("\u0600" <= c <= "\u06ff" for c in english)

    def test_a_set_without_rules_and_in_a_language_without_an_opening_of_its_own(self):
        german = small_set("a")
        text = default_instructions(german, "de")
        assert "eine {Notiz}" in text
        assert text.strip() == text

    def test_a_description_says_what_counts_and_what_does_not_in_one_line(self):
        pain = PALLIATIVE.features[PALLIATIVE.ids.index("pain")]
        for language in ("en", "fa"):
            text = describe(pain, language)
            parts = (pain.definition, pain.counts, pain.excludes)
            places = [text.index(part[language]) for part in parts]
            assert places == sorted(places)
            assert "\n" not in text
        assert describe(small_set("a").features[0], "de") == "Definition von a."


class TestTheTranslateSignature:
    def test_one_text_in_and_one_out(self):
        signature = translate_signature(PALLIATIVE)
        assert list(signature.input_fields) == [translate.INPUT]
        assert list(signature.output_fields) == [translate.OUTPUT]
        assert signature.instructions == translate.default_instructions(PALLIATIVE)
        assert translate_signature(PALLIATIVE, instructions="Translate.").instructions == "Translate."

    def test_the_instructions_name_both_languages_and_the_subject(self):
        text = translate.default_instructions(PALLIATIVE)
        assert "Persian" in text
        assert "English" in text
        assert PALLIATIVE.subject["en"] in text

    def test_any_pair_of_languages(self):
        assert language_name("de") == "German"
        assert language_name("xx") == "xx"
        text = translate.default_instructions(small_set("a", language="xx"), "fr")
        assert "xx" in text
        assert "French" in text
        assert "Persian" not in text


SWITCHES = (
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LITELLM_TELEMETRY",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
)
SECRET = "MARYAM-0912"
IN_A_FRESH_PROCESS = f"""
import json, os, socket, sys

asked = []
def refuse(*args, **_):
    asked.append(repr(args[-1]))
    raise OSError("no network in this test")
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, refuse)

at_import = {{}}
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("dspy", "litellm", "huggingface_hub"):
            at_import.setdefault(name, {{k: os.environ.get(k) for k in {SWITCHES!r}}})
sys.meta_path.insert(0, Watch())

import balin.signatures.private_dspy as private
dspy = private.dspy
import litellm, logging, time  # DSPy imports LiteLLM when a model of its own is used
time.sleep(0.3)  # LiteLLM fetches in the background

for name in ("dspy", "dspy.predict.predict", "dspy.utils.parallelizer", "dspy.clients.lm"):
    logging.getLogger(name).error("Error for %s", "{SECRET}")
    logging.getLogger(name).info("{SECRET}")
    try:
        raise ValueError("{SECRET}")
    except ValueError:
        logging.getLogger(name).exception("{SECRET}")

class Fails(dspy.Module):
    def forward(self, transcript):
        raise ValueError("cannot read " + transcript)

rows = [dspy.Example(transcript="{SECRET}", label=True).with_inputs("transcript")] * 2
score = dspy.Evaluate(devset=rows, metric=lambda *_: 1.0, num_threads=1, max_errors=10, provide_traceback=True)(Fails())

print(json.dumps({{
    "asked": asked,
    "at_import": at_import,
    "cache": [dspy.cache.enable_disk_cache, dspy.cache.enable_memory_cache],
    "history": dspy.settings.disable_history,
    "files": [os.path.join(b, f) for b, d, files in os.walk(os.environ["HOME"]) for f in (*d, *files)],
}}))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a fresh process with an empty home saw, and all that it wrote to the terminal."""
    home: Path = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if k not in {*SWITCHES, "DSPY_CACHEDIR", "XDG_CACHE_HOME"}}
    # What a user's own shell may say is no reason to open the doors.
    environment = kept | {"HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "False", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


class TestPrivacy:
    def test_the_switches_are_set_before_dspy_is_looked_for(self, fresh):
        seen = fresh[0]["at_import"]
        assert "dspy" in seen
        for module, switches in seen.items():
            assert switches == {
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_TELEMETRY": "False",
                "HF_HUB_OFFLINE": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "DO_NOT_TRACK": "1",
            }, module

    def test_nothing_is_connected_to(self, fresh):
        assert fresh[0]["asked"] == []

    def test_nothing_is_written_to_the_home_folder(self, fresh):
        assert fresh[0]["files"] == []

    def test_caches_and_history_are_off(self, fresh):
        assert fresh[0]["cache"] == [False, False]
        assert fresh[0]["history"] is True
        assert dspy.settings.disable_history is True

    def test_logs_say_where_and_not_what(self, fresh):
        _, written = fresh
        assert SECRET not in written
        assert "text withheld" in written
        assert "dspy.utils.parallelizer" in written
