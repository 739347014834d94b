"""What every answer format must do, whatever the feature set, the language and the model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balin.engines.protocol import Completion, TokenChoice
from balin.errors import InputError
from balin.programs.formats import FORMATS, Demo, Prompt, Task, answer_format
from balin.signatures.answers import MISSING, Answer, State
from balin.signatures.features import FeatureSet
from balin.signatures.wording import default_instructions, describe

EVERY_SET = ("palliative-en", "palliative-fa", "german", "one", "forty")
Sets = dict[str, tuple[FeatureSet, str]]


def task_of(feature_set: FeatureSet, language: str, *, definitions: bool = True) -> Task:
    return Task(default_instructions(feature_set, language), feature_set, language, definitions, 300)


def prompt_of(name: str, task: Task, demos: Sequence[Demo] = (), text: str = "Sie ruft an.") -> Prompt:
    return answer_format(name).prompt(task, demos, text)


def labels_of(task: Task, values: Sequence[bool]) -> dict[str, bool]:
    return {i: values[n % len(values)] for n, i in enumerate(task.feature_set.ids)}


def ideal(name: str, task: Task, labels: dict[str, bool]) -> list[Completion]:
    """The completions of a model that answers as a demo with these labels would."""
    prompt = prompt_of(name, task, [Demo("Beispiel.", labels)])
    if prompt.probes:
        likely = ((" True", math.log(0.8)), (" False", math.log(0.1)), ("\n", math.log(0.1)))
        unlikely = ((" False", math.log(0.8)), (" True", math.log(0.1)), ("\n", math.log(0.1)))
        tops = [likely if labels[i] else unlikely for i in task.feature_set.ids]
        return [Completion(top[0][0], "length", (TokenChoice(*top[0], top),)) for top in tops]
    answers = [m.content for m in prompt.messages if m.role == "assistant"]
    return [Completion(answers[-1], "stop")]


def pieces(task: Task) -> st.SearchStrategy[str]:
    """Texts that look like answers: bits of the templates, in any order."""
    feature = task.feature_set.features[0]
    bits = [
        "true",
        "False",
        "null",
        "1",
        '"',
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\n",
        " ",
        "\\",
        "\\u00",
        "NaN",
        "1e999",
        "```json\n",
    ]
    return st.lists(st.sampled_from([*bits, f'"{feature.id}"', feature.label[task.language], "بله"]), max_size=25).map(
        "".join
    )


@pytest.fixture(params=list(FORMATS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=EVERY_SET)
def task(request: pytest.FixtureRequest, feature_sets: Sets) -> Task:
    return task_of(*feature_sets[request.param])


def test_formats_are_found_by_name():
    assert all(answer_format(name).name == name for name in FORMATS)
    assert set(FORMATS) == {"lines", "json", "present", "probe"}
    with pytest.raises(InputError, match=r"'xml'.*lines, json, present, probe"):
        answer_format("xml")


class TestThePrompt:
    def test_two_texts_share_all_but_the_last_message(self, name, task):
        demos = [Demo(f"Beispiel {n}.", labels_of(task, [n % 2 == 0, True])) for n in range(3)]
        one, other = (
            prompt_of(name, task, demos, "Erster Anruf."),
            prompt_of(name, task, demos, "Zweiter, längerer Anruf!"),
        )
        assert one.messages[:-1] == other.messages[:-1]
        assert one.messages[-1] != other.messages[-1]
        for field in ("max_tokens", "schema", "top_logprobs", "partial", "probes"):
            assert getattr(one, field) == getattr(other, field)

    def test_system_first_then_demos_as_turns_then_the_text(self, name, task):
        demos = [Demo(f"Beispiel {n}.", labels_of(task, [True, False])) for n in range(2)]
        messages = prompt_of(name, task, demos).messages
        assert messages[0].role == "system"
        assert messages[0].content.startswith(task.instructions)
        assert [m.role for m in messages[1:]] == ["user", "assistant"] * 2 + ["user"]
        assert [
            ("Beispiel 0." in m.content, "Beispiel 1." in m.content, "Sie ruft an." in m.content) for m in messages
        ] == [
            (False, False, False),
            (True, False, False),
            (False, False, False),
            (False, True, False),
            (False, False, False),
            (False, False, True),
        ]

    def test_without_demos(self, name, task):
        assert [m.role for m in prompt_of(name, task).messages] == ["system", "user"]

    def test_definitions_only_where_they_are_wanted(self, name, feature_sets):
        for feature_set, language in feature_sets.values():
            with_them = prompt_of(name, task_of(feature_set, language)).messages[0].content
            without = prompt_of(name, task_of(feature_set, language, definitions=False)).messages[0].content
            for feature in feature_set:
                assert describe(feature, language) in with_them
                assert feature.definition[language] not in without

    def test_every_feature_is_named_in_the_prompts_language(self, name, task):
        prompt = prompt_of(name, task)
        text = "\n".join([*(m.content for m in prompt.messages), *prompt.probes])
        for feature in task.feature_set:
            assert feature.label[task.language] in text or feature.short[task.language] in text

    def test_a_persian_prompt_has_no_english_phrases(self, name, feature_sets):
        feature_set, _ = feature_sets["palliative-fa"]
        bare = Task("دستور.", feature_set, "fa", False, 300)
        demos = [Demo("نمونه.", labels_of(bare, [True, False]))]
        prompt = prompt_of(name, bare, demos, "متن.")
        text = " ".join([*(m.content for m in prompt.messages), *prompt.probes])
        words = set("".join(c if c.isascii() and (c.isalpha() or c == "_") else " " for c in text).split())
        assert words <= {"True", "False", "true", "false", "JSON", *feature_set.ids}

    def test_another_label_in_a_demo_makes_another_prompt(self, name, task):
        labels = labels_of(task, [False])
        base = prompt_of(name, task, [Demo("Beispiel.", labels)])
        for identifier in task.feature_set.ids:
            changed = prompt_of(name, task, [Demo("Beispiel.", labels | {identifier: True})])
            assert changed.messages != base.messages
            assert changed.messages[0] == base.messages[0]

    def test_the_order_of_a_demos_labels_does_not_matter(self, name, task):
        labels = labels_of(task, [True, False, False])
        backwards = dict(reversed(labels.items()))
        assert prompt_of(name, task, [Demo("x", labels)]) == prompt_of(name, task, [Demo("x", backwards)])

    def test_what_the_engine_is_asked_is_within_its_limits(self, name, task):
        prompt = prompt_of(name, task)
        assert 1 <= prompt.max_tokens <= task.max_tokens
        assert 0 <= prompt.top_logprobs <= 20
        json.dumps(prompt.schema)
        if prompt.probes:
            assert prompt.max_tokens == 1
            assert prompt.top_logprobs > 0
            assert len(prompt.probes) == len(set(prompt.probes)) == len(task.feature_set)
            assert prompt.schema is None


class TestReading:
    @settings(max_examples=40)
    @given(data=st.data(), name=st.sampled_from(list(FORMATS)), which=st.sampled_from(EVERY_SET))
    def test_any_text_gives_an_answer_for_every_feature_in_order(self, data, name, which, feature_sets):
        task = task_of(*feature_sets[which])
        finish = data.draw(st.sampled_from(["stop", "length"]))
        count = len(prompt_of(name, task).probes) or 1
        completions = []
        for _ in range(count):
            text = data.draw(st.text(max_size=40) | pieces(task))
            cut = data.draw(st.integers(0, len(text)))
            top = data.draw(st.lists(st.tuples(st.text(max_size=5), st.floats(-40, 0)), max_size=3))
            tokens = tuple(TokenChoice(t, -0.5, tuple(top)) for t in (text[:cut], text[cut:]) if t)
            completions.append(Completion(text, finish, tokens if data.draw(st.booleans()) else ()))
        answers = answer_format(name).read(task, completions)
        assert tuple(answers) == task.feature_set.ids
        for answer in answers.values():
            assert answer.state in (State.TRUE, State.FALSE, State.MISSING)
            assert answer.p_true is None or 0.0 <= answer.p_true <= 1.0

    @settings(max_examples=40)
    @given(
        values=st.lists(st.booleans(), min_size=40, max_size=40),
        name=st.sampled_from(list(FORMATS)),
        which=st.sampled_from(EVERY_SET),
    )
    def test_a_demos_answer_reads_back_as_its_labels(self, values, name, which, feature_sets):
        task = task_of(*feature_sets[which])
        labels = labels_of(task, values)
        answers = answer_format(name).read(task, ideal(name, task, labels))
        assert {i: a.value for i, a in answers.items()} == labels

    @settings(max_examples=60)
    @given(
        values=st.lists(st.booleans(), min_size=13, max_size=13),
        name=st.sampled_from([n for n in FORMATS if n != "probe"]),
        which=st.sampled_from(EVERY_SET),
        share=st.floats(0, 1),
    )
    def test_of_a_cut_answer_nothing_is_read_wrong(self, values, name, which, share, feature_sets):
        task = task_of(*feature_sets[which])
        labels = labels_of(task, values)
        (whole,) = ideal(name, task, labels)
        cut = Completion(whole.text[: int(share * len(whole.text))], "length")
        if cut.text == whole.text:
            return
        for identifier, answer in answer_format(name).read(task, [cut]).items():
            assert answer.value in (labels[identifier], None)

    def test_only_a_format_that_keeps_whole_values_takes_a_cut_answer(self, name, feature_sets):
        task = task_of(*feature_sets["palliative-en"])
        prompt = prompt_of(name, task)
        if not prompt.partial:
            return
        (whole,) = ideal(name, task, labels_of(task, [True, False]))
        answers = answer_format(name).read(task, [Completion(whole.text[: len(whole.text) // 2], "length")])
        states = [a.state for a in answers.values()]
        assert State.MISSING in states
        assert State.TRUE in states

    @pytest.mark.parametrize(
        "text", ["", " ", "\n", "I cannot say.", "{", "[", "}{", "][", "null", "{}", "true", "[1]", "[null]"]
    )
    @pytest.mark.parametrize("name", [n for n in FORMATS if n != "probe"])
    def test_no_answer_is_missing_and_not_false(self, text, name, feature_sets):
        task = task_of(*feature_sets["palliative-en"])
        answers = answer_format(name).read(task, [Completion(text, "stop")])
        assert set(answers.values()) == {MISSING}


class TestJson:
    @pytest.fixture
    def task(self, feature_sets: Sets) -> Task:
        return task_of(*feature_sets["german"])

    def read(self, task: Task, text: str, tokens: tuple[TokenChoice, ...] = ()) -> list[Answer]:
        return list(answer_format("json").read(task, [Completion(text, "stop", tokens)]).values())

    def test_the_schema_asks_for_every_feature_in_order(self, task):
        schema = prompt_of("json", task).schema
        assert list(schema["properties"]) == schema["required"] == list(task.feature_set.ids)
        assert all(p == {"type": "boolean"} for p in schema["properties"].values())
        assert schema["additionalProperties"] is False

    @pytest.mark.parametrize(
        "text",
        [
            '{"wound_pain": true, "smell": false, "dressing": null}',
            '```json\n{"wound_pain": true,\n "smell": false}\n```',
            'Here you are: {"smell": "no", "wound_pain": "Yes"} as asked.',
            '{"wound_pain": 1, "smell": 0, "dressing": 2}',
            '{"wound_pain": "True (leicht)", "smell": "False", "dressing": "unknown", "other": true}',
            '{"wound_pain": true, "smell": false, "dressing": [true]}',
        ],
    )
    def test_objects_as_models_write_them(self, task, text):
        assert [a.value for a in self.read(task, text)] == [True, False, None]

    def test_the_probability_is_read_where_the_value_begins(self, task):
        def token(text: str, **top: float) -> TokenChoice:
            listed = tuple((t.replace("_", " "), math.log(p)) for t, p in top.items())
            return TokenChoice(text, listed[0][1] if listed else -0.1, listed)

        tokens = (
            *(token(t) for t in ("```", "json", "\n", '{"', "wound", "_pain", '":')),
            token(" true", _true=0.6, _false=0.2, x=0.2),
            *(token(t) for t in (', "', "smell", '":', " ")),
            token("f", f=0.3, t=0.1, x=0.6),
            *(token(t) for t in ("al", "se", ',"dressing"', ": ")),
            token("true", true=0.5, false=0.5),
            token("}"),
        )
        text = '{"wound_pain": true, "smell": false, "dressing": true}'
        found = self.read(task, text, tokens)
        assert [a.value for a in found] == [True, False, True]
        assert [a.p_true for a in found] == pytest.approx([0.75, 0.25, 0.5])

    def test_no_probability_without_tokens_or_without_a_value(self, task):
        assert [a.p_true for a in self.read(task, '{"wound_pain": true}')] == [None, None, None]
        tokens = (TokenChoice('{"smell": null}', -0.1, ((" true", -0.5),)),)
        assert self.read(task, '{"smell": null}', tokens)[1] == MISSING

    def test_a_huge_number_and_deep_nesting_are_no_crash(self, task):
        for text in ('{"smell": ' + "1" * 5000 + "}", '{"smell": ' + "[" * 100_000 + "}", "{" * 100_000 + "}"):
            assert {a.state for a in self.read(task, text)} == {State.MISSING}


class TestPresent:
    def read(self, task: Task, text: str) -> list[bool | None]:
        return [a.value for a in answer_format("present").read(task, [Completion(text, "stop")]).values()]

    def test_the_schema_allows_the_ids_only(self, feature_sets):
        task = task_of(*feature_sets["german"])
        schema = prompt_of("present", task).schema
        assert schema["type"] == "array"
        assert schema["items"]["enum"] == list(task.feature_set.ids)

    @pytest.mark.parametrize(
        "text", ['["smell"]', 'The list:\n```json\n["smell"]\n```', '["smell", "smell"]', '[ "smell" ]']
    )
    def test_membership(self, text, feature_sets):
        assert self.read(task_of(*feature_sets["german"]), text) == [False, True, False]

    def test_an_empty_list_is_an_answer(self, feature_sets):
        assert self.read(task_of(*feature_sets["german"]), "[]") == [False, False, False]

    @pytest.mark.parametrize(
        "text", ['["Wundschmerz"]', '["wound"]', '[{"wound_pain": true}]', "[true, false, false]", '[["wound_pain"]]']
    )
    def test_a_list_of_something_else_does_not_deny_the_rest(self, text, feature_sets):
        assert self.read(task_of(*feature_sets["german"]), text)[0] is not False


class TestProbe:
    @pytest.fixture
    def task(self, feature_sets: Sets) -> Task:
        return task_of(*feature_sets["german"])

    def read(self, task: Task, *tops: Sequence[tuple[str, float]]) -> list[Answer]:
        completions = [
            Completion(t[0][0], "length", (TokenChoice(t[0][0], t[0][1], tuple(t)),)) if t else Completion("", "length")
            for t in tops
        ]
        return list(answer_format("probe").read(task, completions).values())

    def test_the_state_follows_the_probability(self, task):
        found = self.read(
            task,
            [("\n", -0.2), (" True", -2.0), (" False", -3.0)],
            [(" False", -0.1), (" True", -3.0)],
            [(" True", -0.7), (" False", -0.7)],
        )
        assert [a.value for a in found] == [True, False, True]
        assert found[0].p_true == pytest.approx(1 / (1 + math.exp(-1)))
        assert found[2].p_true == 0.5

    def test_where_neither_value_is_likely_or_no_token_came_it_is_missing(self, task):
        found = self.read(task, [("Pain", -0.1), ("\n", -3.0)], [], [(" True", -0.1)])
        assert [a.state for a in found] == [State.MISSING, State.MISSING, State.TRUE]
        assert found[0] == MISSING
