"""The tolerant parser of `lines`: what models write around the template, and the wrong line never read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balin.engines.protocol import Completion
from balin.programs.formats import Task, answer_format
from balin.programs.formats.lines import parse_lines, written
from balin.signatures.answers import State
from balin.signatures.features import Feature, FeatureSet, load_feature_set

PALLIATIVE = load_feature_set("palliative13")
LABELS = {language: {f.id: f.label[language] for f in PALLIATIVE} for language in ("en", "fa")}
VALUES = {
    True: ("True", "true", "TRUE", "Yes", "yes", "بله", "بلی", "✓", "1"),
    False: ("False", "false", "FALSE", "No", "no", "خیر", "خير", "✗", "0"),
}
vectors = st.lists(st.booleans(), min_size=13, max_size=13).map(lambda v: dict(zip(PALLIATIVE.ids, v, strict=True)))


def parse(text: str) -> dict[str, bool]:
    return parse_lines(text, PALLIATIVE)


@pytest.mark.parametrize(
    "text",
    [
        "Pain: True\nFever: False",
        "Pain:True\nFever:False",
        "Pain : true\nFever : false",
        "PAIN: TRUE\nFEVER: FALSE",
        "  Pain:   True  \n\n\n  Fever:   False  ",
        "Pain: True.\nFever: False.",
        "Pain: True;\nFever: False;",
        "**Pain**: True\n**Fever**: False",
        "**Pain:** True\n**Fever:** False",
        "**Pain: True**\n**Fever: False**",
        "__Pain__: `True`\n__Fever__: `False`",
        "### Pain: True\n### Fever: False",
        "> Pain: True\n> Fever: False",
        "- Pain: True\n- Fever: False",
        "* Pain: True\n* Fever: False",
        "• Pain: True\n• Fever: False",
        "1. Pain: True\n2. Fever: False",
        "1) Pain: Yes\n2) Fever: No",
        "12. Pain: True\n13. Fever: False",
        "(a) Pain: True\n(b) Fever: False",
        "Pain: True, Fever: False",
        "Pain: True,Fever: False,",
        "Pain: True; Fever: False",
        "Pain: True، Fever: False",
        "Pain: True Fever: False",
        "Pain=True\nFever=False",
        "Pain → True\nFever → False",
        "Pain? yes\nFever? no",
        "Pain：True\nFever：False",
        "Ｐａｉｎ： Ｔｒｕｅ\nFever: False",
        '"Pain": true,\n"Fever": false',
        '{"pain": true, "fever": false}',
        "```\nPain: True\nFever: False\n```",
        "pain: True\nfever: False",
        "Pain (pain): True\nFever (تب): False",
        "Pain: [True]\nFever: (False)",
        'Pain: "True"\nFever: «False»',
        "Pain: True (pain)\nFever: False (not mentioned)",
        "Pain: True - he groans\nFever: False - measured at 37",
        "Pain:\nTrue\nFever:\nFalse",
        "Pain:\n\n  True\n\nFever:\n\n  False",
        "Pain: ✅\nFever: ❌",
        "Pain: Present\nFever: Absent",
        "Pain: بله\nFever: خیر",
        "درد: بله\nتب: خیر",
        "درد: دارد\nتب: ندارد",
        "درد: True\nتب: False",
        "درد： بله\nتب： خیر",
        "درد؟ بله\nتب؟ خیر",
        "درد: بله، تب: خیر",
        "**درد**: بله.\n**تب**: خير.",
        "۱. درد: بله\n۲. تب: خیر",
        "\u200fدرد: بله\u200f\n\u200fتب: خیر\u200f",
        "Here is the filled template:\n\nPain: True\nFever: False\n\nLet me know if you need more.",
        "Pain: True\r\nFever: False\r\n",
        "Pain:\tTrue\nFever:\tFalse",
    ],
)
def test_what_models_write_around_the_template(text):
    assert parse(text) == {"pain": True, "fever": False}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "True/False",
        "True / False",
        "[True/False]",
        "True or False",
        "بله/خیر",
        "Not mentioned",
        "not present",
        "N/A",
        "n/a",
        "unknown",
        "Unclear",
        "None",
        "null",
        "-",
        "?",
        "___",
        "...",
        "Maybe",
        "ذکر نشده",
        "نامشخص",
        "2",
        "see above",
        "Pain",
    ],
)
@pytest.mark.parametrize(
    "around", ["Pain: {}", "Fever: False\nPain: {}\nSeizures: True", "- **Pain**: {}.", "Pain: {}, Fever: True"]
)
def test_no_readable_value_is_missing_and_not_false(value, around):
    found = parse(around.format(value))
    assert "pain" not in found
    if "Seizures" in around:
        assert found == {"fever": False, "seizures": True}


class TestTheWrongLineIsNeverRead:
    @pytest.mark.parametrize("language", ["en", "fa"])
    @pytest.mark.parametrize("value", [True, False])
    def test_an_omitted_label_is_missing_whatever_the_others_say(self, language, value):
        for left_out in PALLIATIVE.ids:
            rest = {i: label for i, label in LABELS[language].items() if i != left_out}
            assert parse(written(rest, dict.fromkeys(rest, value))) == dict.fromkeys(rest, value)

    @pytest.mark.parametrize("language", ["en", "fa"])
    def test_an_unfilled_label_does_not_take_the_next_ones_value(self, language):
        for blank in PALLIATIVE.ids:
            text = "\n".join(f"{label}:{'' if i == blank else ' True'}" for i, label in LABELS[language].items())
            assert parse(text) == {i: True for i in PALLIATIVE.ids if i != blank}

    @pytest.mark.parametrize("first", [0, 1])
    def test_an_unfilled_label_does_not_take_the_next_ones_number(self, first):
        lines = [f"{first + n}. {label}:" for n, label in enumerate(LABELS["en"].values())]
        assert parse("\n".join(lines)) == {}
        assert parse("Seizures:\n1. Fever: True") == {"fever": True}
        assert parse("Seizures:\n0) Fever: True") == {"fever": True}

    def test_the_empty_template_has_no_values(self):
        for language in ("en", "fa"):
            assert parse("\n".join(f"{label}:" for label in LABELS[language].values())) == {}

    @pytest.mark.parametrize(
        "text",
        [
            "Painful to read: True",
            "Spain: True",
            "feverish: True",
            "No fever: True",
            "History of seizures: True",
            "The pain",
            "Pain and fever",
            "He said: no pain. True",
            "True\nFalse\nTrue",
            "Pain True",
        ],
    )
    def test_a_line_that_is_not_a_features_gives_nothing(self, text):
        assert parse(text) == {}

    def test_an_explanation_does_not_answer_for_another_feature(self):
        assert parse("Fever: False\nPain: True (with weakness)\nSeizures: False") == {
            "fever": False,
            "pain": True,
            "seizures": False,
        }

    def test_of_two_names_the_longer_is_meant(self):
        made = named(
            ("chest", "Chest pain", "Chest"), ("pain", "Pain", "Any pain"), ("night", "Pain at night", "Night")
        )
        text = "Chest pain: True\nPain at night: True\nPain: False"
        assert parse_lines(text, made) == {"chest": True, "night": True, "pain": False}
        assert parse_lines("Chest pain: True\nPain at night: True", made) == {"chest": True, "night": True}

    def test_a_label_that_is_another_features_short_name_is_still_the_labels(self):
        made = named(("chest", "Chest pain", "Pain"), ("any", "Pain", "Any pain"))
        assert parse_lines("Chest pain: True\nPain: False", made) == {"chest": True, "any": False}
        assert parse_lines("Pain: False", made) == {"any": False}

    def test_a_label_that_is_another_features_id_is_still_the_labels(self):
        made = named(("pain", "Chest pain", "Chest"), ("any", "Pain", "Any pain"))
        assert parse_lines("Chest pain: True\nPain: False", made) == {"pain": True, "any": False}


def named(*features: tuple[str, str, str]) -> FeatureSet:
    made = tuple(Feature(i, (), {"en": label}, {"en": short}, {"en": f"{label}."}) for i, label, short in features)
    return FeatureSet("named", "Named", "en", {"en": "a note"}, {}, {}, made)


class TestNames:
    @pytest.mark.parametrize("kind", ["label", "short"])
    @pytest.mark.parametrize("language", ["en", "fa"])
    def test_labels_short_labels_and_ids_in_both_languages(self, kind, language):
        for feature in PALLIATIVE:
            assert parse(f"{getattr(feature, kind)[language]}: yes") == {feature.id: True}
            assert parse(f"{feature.id}: no") == {feature.id: False}

    @pytest.mark.parametrize("language", ["en", "fa"])
    def test_letters_that_look_the_same(self, language):
        arabic = str.maketrans("یک", "يك")
        curly = str.maketrans("'", "’")
        for feature in PALLIATIVE:
            name = feature.label[language]
            for variant in (name.translate(arabic), name.translate(curly), name.upper(), name.title()):
                assert parse(f"{variant}: True") == {feature.id: True}, variant

    @pytest.mark.parametrize("joiner", ["\u200c", " ", ""], ids=["half-space", "space", "nothing"])
    def test_the_half_space_is_typed_in_three_ways(self, joiner):
        name = LABELS["fa"]["psychological_complaints"]
        assert "\u200c" in name
        assert parse(f"{name.replace(chr(0x200C), joiner)}: بله") == {"psychological_complaints": True}

    def test_more_spaces_than_one_in_a_name(self):
        assert parse("Loss  of   appetite: True") == {"loss_of_appetite": True}

    def test_a_name_given_twice_keeps_its_first_readable_value(self):
        assert parse("Pain: True\nFever: False\nPain: False") == {"pain": True, "fever": False}
        assert parse("Pain: unknown\nPain: False\nPain: True") == {"pain": False}
        assert parse("Pain:\nFever: True\nدرد: خیر") == {"pain": False, "fever": True}


class TestRoundTrips:
    @given(vectors, st.sampled_from(["en", "fa"]))
    def test_the_filled_template(self, labels, language):
        assert parse(written(LABELS[language], labels)) == labels

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_any_decoration_of_any_line(self, data):
        labels = data.draw(vectors)
        order = data.draw(st.permutations(PALLIATIVE.ids))
        lines = []
        for number, identifier in enumerate(order, start=2):
            feature = PALLIATIVE.features[PALLIATIVE.ids.index(identifier)]
            name = data.draw(st.sampled_from([*feature.label.values(), *feature.short.values(), feature.id]))
            value = data.draw(st.sampled_from(VALUES[labels[identifier]]))
            before = data.draw(
                st.sampled_from(["", "  ", "- ", "* ", "• ", f"{number}. ", f"{number}) ", "> ", "### "])
            )
            mark = data.draw(st.sampled_from(["", "*", "**", "`", '"']))
            colon = data.draw(st.sampled_from([":", " :", "：", " = ", ": "]))
            after = data.draw(st.sampled_from(["", ".", " ", ";", ",", " (see text)", "  ", "\r"]))
            inner = data.draw(st.booleans())
            head = f"{mark}{name}{colon}{mark}" if inner else f"{mark}{name}{mark}{colon}"
            lines.append(f"{before}{head} {value}{after}")
        text = data.draw(st.sampled_from(["\n", "\n\n"])).join(lines)
        assert parse(text) == labels

    @given(vectors, st.sets(st.sampled_from(PALLIATIVE.ids)), st.sampled_from(["en", "fa"]))
    def test_only_what_is_written_is_found(self, labels, kept, language):
        names = {i: label for i, label in LABELS[language].items() if i in kept}
        assert parse(written(names, labels)) == {i: labels[i] for i in kept}

    @given(st.text())
    def test_any_text_gives_booleans_of_known_features(self, text):
        found = parse(text)
        assert set(found) <= set(PALLIATIVE.ids)
        assert all(isinstance(value, bool) for value in found.values())


class TestACutAnswer:
    task = Task("Fill in.", PALLIATIVE, "en", False, 100)
    lines = answer_format("lines")
    labels: Mapping[str, bool] = MappingProxyType({i: n % 2 == 0 for n, i in enumerate(PALLIATIVE.ids)})
    text = written(LABELS["en"], labels)

    def states(self, text: str, finish: str) -> dict[str, State]:
        return {i: a.state for i, a in self.lines.read(self.task, [Completion(text, finish)]).items()}

    def test_whole_lines_are_kept_and_the_rest_is_missing(self):
        for kept in range(13):
            lines = self.text.split("\n")
            for rest in ("", lines[kept][:-2], lines[kept]):
                cut = "\n".join([*lines[:kept], rest])
                expected = {
                    i: State.MISSING if n >= kept else State.TRUE if self.labels[i] else State.FALSE
                    for n, i in enumerate(PALLIATIVE.ids)
                }
                assert self.states(cut, "length") == expected

    def test_an_answer_that_ended_by_itself_keeps_its_last_line(self):
        assert State.MISSING not in self.states(self.text, "stop").values()
