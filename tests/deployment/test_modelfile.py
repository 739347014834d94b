"""The Modelfile gives Ollama the messages that the bundle holds, or is refused, or is a request that keeps every character."""

from __future__ import annotations

import json
import unicodedata

import pytest
from calls import SET  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st

from balin.deployment import runner
from balin.deployment.export import extract_step
from balin.deployment.manifest import ModelEntry, VotesEntry
from balin.deployment.modelfile import _modelfile, _survives, ollama_files
from balin.errors import InputError
from balin.programs.extractor import Extractor

OLLAMA = ModelEntry(
    name="qwen2.5:7b-instruct", digest="sha256:ab", engine="ollama", engine_version="0.30", num_ctx=4096
)


def step_of(name="json", demos=(), thresholds=None, **fields):
    extractor = Extractor(SET, name="made", format=name, **fields)
    extractor.set_demos([(d, dict.fromkeys(SET.ids, False)) for d in demos])
    extractor.thresholds = thresholds or {}
    return extract_step(extractor)


def parse(text):
    """Ollama's own reading of a Modelfile (parser/parser.go, ParseFile), as (command, value) with "role: text" for MESSAGE."""

    def unquote(s):
        if s.startswith('"""'):
            return (s[3:-3], True) if len(s) >= 6 and s.endswith('"""') else ("", False)
        if s.startswith('"'):
            return (s[1:-1], True) if len(s) >= 2 and s.endswith('"') else ("", False)
        return s, True

    def go_prints(c):
        return c == " " or unicodedata.category(c)[0] in "LMNPS"

    found, state, buffer, name, role = [], "nil", "", "", ""
    for c in text + "\n":
        newline, space = c in "\r\n", c in " \t"
        if state == "nil":
            if c == "#":
                state = "comment"
            elif not newline and not space:
                state, buffer = "name", c
        elif state == "comment":
            state = "nil" if newline else state
        elif state in ("name", "parameter", "message"):
            if space:
                word = buffer.lower() if state == "name" else buffer
                if state == "name" and word in ("parameter", "message"):
                    state, name = word, word
                else:
                    name, role = (name, word) if state == "message" else (word, role)
                    state = "value"
                buffer = ""
            else:
                assert c.isalnum() or c == "_"
                buffer += c
        elif newline or space:
            value, whole = unquote(buffer.strip())
            if not whole or space:
                buffer += c
                continue
            found.append((name, f"{role}: {value}" if role else value))
            state, buffer, role = "nil", "", ""
        elif go_prints(c):
            buffer += c
    return found


def read_back(made):
    commands = parse(made["Modelfile"].decode())
    system = dict(commands)["system"]
    turns = [tuple(v.split(": ", 1)) for n, v in commands if n == "message"]
    return [("system", system), *turns], {n: v for n, v in commands if n not in ("system", "message")}


@pytest.mark.parametrize("name", ["lines", "json", "present"])
@pytest.mark.parametrize("demos", [(), ["He sleeps.\n\tIn a chair: yes", 'She said "no" \\ # not a comment', "FROM x"]])
def test_ollama_reads_the_messages_that_the_bundle_holds(name, demos):
    step = step_of(name, demos)
    messages, options = read_back(ollama_files(step, OLLAMA, SET, "direct"))
    assert messages == [(m.role, m.content) for m in runner.messages(step, "")[:-1]]
    assert options["from"] == "qwen2.5:7b-instruct"
    assert (options["temperature"], options["num_ctx"], options["num_predict"]) == ("0.0", "4096", str(step.max_tokens))
    assert options["top_k"] == "1"


@given(
    texts=st.lists(st.text(st.sampled_from('a" \n\t\r:#\\é\u200c\u00a0﷼ب\x07'), max_size=12), min_size=1, max_size=3)
)
def test_what_is_written_is_read_as_it_was(texts):
    kept = [t for t in texts if _survives(t)]
    turns = [("user" if i % 2 == 0 else "assistant", t) for i, t in enumerate(kept)]
    text = _modelfile(step_of(), OLLAMA, SET, "m", "Answer.\n", turns)
    messages, _ = read_back({"Modelfile": text.encode()})
    assert messages == [("system", "Answer.\n"), *turns]


@pytest.mark.parametrize("text", ["نمی\u200cخوابد", 'three """\nmarks', "a\u00a0b"])
def test_what_a_modelfile_would_change_goes_into_a_request(text):
    step = step_of("lines", [text])
    made = ollama_files(step, OLLAMA, SET, "direct")
    assert set(made) == {"ollama-create.json"}
    request = json.loads(made["ollama-create.json"])
    found = [("system", request["system"]), *((m["role"], m["content"]) for m in request["messages"])]
    assert found == [(m.role, m.content) for m in runner.messages(step, "")[:-1]]
    assert (request["from"], request["model"]) == ("qwen2.5:7b-instruct", "balin-palliative13")
    assert request["parameters"]["num_predict"] == step.max_tokens


def test_the_comment_tells_what_to_send():
    text = ollama_files(step_of("present"), OLLAMA, SET, "direct")["Modelfile"].decode()
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    assert any("ollama create balin-palliative13" in c for c in comments)
    assert any("The patient's condition is as follows: " in c for c in comments)
    assert any('"format": {"type": "array"' in c for c in comments)


@pytest.mark.parametrize(
    ("step", "route", "reason"),
    [
        (step_of("probe"), "direct", "reads one token for each feature"),
        (step_of("json"), "translated", "translates nothing"),
        (
            step_of("json").model_copy(update={"votes": VotesEntry(n=3, temperature=0.7)}),
            "direct",
            "3 sampled answers vote",
        ),
        (step_of("json", thresholds={"pain": 0.4}), "direct", "thresholds"),
    ],
)
def test_what_a_modelfile_cannot_hold_is_refused_with_the_reason(step, route, reason):
    with pytest.raises(InputError, match=reason):
        ollama_files(step, OLLAMA, SET, route)


def test_a_model_measured_inside_the_process_goes_by_its_ollama_tag():
    own = OLLAMA.model_copy(update={"name": "smollm2:135m", "engine": "embedded"})
    assert "FROM smollm2:135m\n" in ollama_files(step_of(), own, SET, "direct")["Modelfile"].decode()
    with pytest.raises(InputError, match="not in the catalogue"):
        ollama_files(step_of(), own.model_copy(update={"name": "unknown:1b"}), SET, "direct")


def test_it_is_a_file_of_the_bundle(make_bundle):
    bundle = make_bundle(modelfile=True, format="json")
    assert "Modelfile" in bundle.manifest.files
