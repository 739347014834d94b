"""The Extractor as a DSPy module: predictions, traces, demos, optimizers, and the hash that names it."""

from __future__ import annotations

import warnings

import pytest

from balin.engines.protocol import Telemetry
from balin.errors import CallTimeout, EngineUnavailable, FeatureSetError, InputError
from balin.programs.builtin import BUILT_IN
from balin.programs.extractor import Extractor
from balin.programs.formats import FORMATS
from balin.signatures.answers import State
from balin.signatures.features import load_feature_set
from balin.signatures.private_dspy import dspy

SET = load_feature_set("palliative13")
TRUTH = {i: n % 3 == 0 for n, i in enumerate(SET.ids)}


def right(request) -> str:
    """An answer in the template of `lines` with the labels of TRUTH."""
    return "\n".join(f"{f.label['en']}: {TRUTH[f.id]}" for f in SET)


def made(scripted, *args, name="lines", **options):
    engine = scripted(*args)
    extractor = Extractor(SET, name="x", format=name, **options)
    extractor.set_lm(engine.lm())
    return extractor, engine


def examples(count):
    """Labelled examples with columns that are nobody's business."""
    return [
        dspy.Example(transcript=f"Call {n}.", **TRUTH, patient_id=f"P{n}", phone="0912").with_inputs("transcript")
        for n in range(count)
    ]


class TestAPrediction:
    def test_it_holds_fields_answers_telemetry_and_what_was_written(self, scripted):
        extractor, engine = made(scripted, right)
        found = extractor(transcript="She called.")
        assert {i: found[i] for i in SET.ids} == TRUTH
        assert tuple(found.answers) == SET.ids
        assert {i: a.value for i, a in found.answers.items()} == TRUTH
        assert found.raw == right(None)
        assert found.telemetry.requests == 1
        assert "She called." in engine.requests[0].messages[-1].content

    def test_one_bad_field_costs_one_field_and_no_second_call(self, scripted):
        extractor, engine = made(scripted, lambda r: right(r).replace("Pain: False", "Pain: I cannot tell"))
        assert "Pain: False" in right(None)
        found = extractor(transcript="t")
        assert found.pain is None
        assert found.answers["pain"].state is State.MISSING
        assert {i: found[i] for i in SET.ids if i != "pain"} == {i: v for i, v in TRUTH.items() if i != "pain"}
        assert engine.calls == 1

    def test_probes_are_one_request_a_feature_and_their_cost_is_added_up(self, scripted):
        extractor, engine = made(scripted, name="probe")
        found = extractor(transcript="t")
        assert len(engine.reads) == len(SET)
        assert len(engine.renders) == 1
        assert {a.state for a in found.answers.values()} == {State.FALSE}
        assert all(0 < a.p_true < 0.5 for a in found.answers.values())
        assert found.telemetry == sum((engine.read("x").telemetry for _ in SET), Telemetry())

    @pytest.mark.parametrize("error", [CallTimeout("t"), EngineUnavailable("u")])
    @pytest.mark.parametrize("name", ["lines", "probe"])
    def test_an_engines_error_passes_as_it_is(self, scripted, error, name):
        extractor, _ = made(scripted, lambda _: error, lambda _: error, name=name)
        with pytest.raises(type(error)) as caught:
            extractor(transcript="SECRET")
        assert "SECRET" not in str(caught.value)

    def test_asking_gives_no_warning(self, scripted):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            extractor, _ = made(scripted, right)
            extractor(transcript="t")

    def test_a_text_with_braces_and_marks_stays_as_it_is(self, scripted):
        extractor, engine = made(scripted, right)
        text = 'She said: "{pain}" [[ ## fever ## ]] %s \\n <|im_end|> {{x}}\n\n\tend'
        extractor(transcript=text)
        assert text in engine.requests[0].messages[-1].content

    @pytest.mark.parametrize("identifier", ["answers", "telemetry", "raw"])
    def test_no_feature_is_hidden_by_what_stands_beside_the_fields(self, scripted, tmp_path, identifier):
        path = tmp_path / "set.yaml"
        path.write_text(
            "schema: 1\nid: klein\nsource_language: de\nsubject: {de: eine Notiz}\n"
            f"features:\n  - {{id: {identifier}, label: {{de: Wort}}, definition: {{de: Ein Satz.}}}}\n",
            encoding="utf-8",
        )
        try:
            feature_set = load_feature_set(path)
        except FeatureSetError:
            return  # refused when the file is read: just as good
        extractor = Extractor(feature_set, name="x", format="lines", language="de")
        extractor.set_lm(scripted(lambda _: "Wort: True").lm())
        assert extractor(transcript="t")[identifier] is True


class TestWhatDspyKeeps:
    def test_a_trace_holds_the_inputs_and_the_feature_fields(self, scripted):
        extractor, _ = made(scripted, right)
        with dspy.context(trace=[]):
            extractor(transcript="t")
            ((predictor, inputs, prediction),) = dspy.settings.trace
        assert predictor is extractor.predict
        assert inputs == {"transcript": "t"}
        assert {i: prediction[i] for i in SET.ids} == TRUTH

    def test_nothing_is_kept_where_no_trace_was_asked_for(self, scripted):
        extractor, _ = made(scripted, right)
        before = len(dspy.settings.trace or ())
        extractor(transcript="t")
        assert len(dspy.settings.trace or ()) == before
        assert extractor.history == extractor.predict.history == extractor.predict.traces == []
        assert extractor.predict.lm.history == []
        assert dspy.clients.base_lm.GLOBAL_HISTORY == []


class TestDemos:
    def test_they_stand_before_the_text_in_order(self, scripted):
        extractor, engine = made(scripted, right)
        extractor.set_demos([("First.", TRUTH), ("Second.", {i: not v for i, v in TRUTH.items()})])
        extractor(transcript="Third.")
        users = [m.content for m in engine.requests[0].messages if m.role == "user"]
        assert [w in u for w, u in zip(("First.", "Second.", "Third."), users, strict=True)] == [True] * 3
        assert engine.requests[0].messages[2].content == right(None)

    def test_a_blank_label_is_refused_by_name_and_without_the_text(self, scripted):
        extractor, _ = made(scripted, right)
        for labels in ({**TRUTH, "pain": None}, {i: v for i, v in TRUTH.items() if i != "pain"}):
            with pytest.raises(InputError, match=r"demo 2.*pain") as caught:
                extractor.set_demos([("ok", TRUTH), ("SECRET", labels)])
            assert "SECRET" not in str(caught.value)

    def test_columns_beside_the_features_are_left_behind(self, scripted):
        extractor, _ = made(scripted, right)
        extractor.set_demos([("First.", {**TRUTH, "phone": True})])
        assert set(extractor.predict.demos[0].keys()) == {"transcript", *SET.ids}

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_dspys_labeled_few_shot_compiles_it(self, scripted, name):
        extractor, engine = made(scripted, right, name=name)
        compiled = dspy.LabeledFewShot(k=2).compile(extractor, trainset=examples(5))
        assert isinstance(compiled, Extractor)
        assert (compiled.name, compiled.format, compiled.feature_set.hash) == ("x", name, SET.hash)
        assert len(compiled.predict.demos) == 2
        assert extractor.predict.demos == []
        assert compiled.hash() != extractor.hash()
        compiled.set_lm(engine.lm())
        compiled(transcript="The text.")
        messages = engine.renders[0] if name == "probe" else engine.requests[0].messages
        assert [m.role for m in messages] == ["system", *["user", "assistant"] * 2, "user"]
        assert "0912" not in str(messages)

    def test_dspys_bootstrap_few_shot_compiles_it(self, scripted):
        extractor, engine = made(scripted, right)
        metric = lambda example, found, trace=None: all(example[i] == found[i] for i in SET.ids)  # noqa: E731
        bootstrap = dspy.BootstrapFewShot(metric=metric, max_bootstrapped_demos=2, max_labeled_demos=0)
        with dspy.context(lm=engine.lm()):
            compiled = bootstrap.compile(extractor, trainset=examples(3))
        assert len(compiled.predict.demos) == 2
        assert {i: compiled.predict.demos[0][i] for i in SET.ids} == TRUTH
        state = compiled.state()
        assert all(set(demo) == {"transcript", *SET.ids} for demo in state["demos"])
        compiled.set_lm(engine.lm())
        compiled(transcript="The text.")
        assert len(engine.requests[-1].messages) == 6


class TestThresholds:
    def test_they_decide_where_there_is_a_probability(self, scripted):
        extractor, engine = made(scripted, name="probe")
        plain = extractor(transcript="t")
        p_true = plain.answers["pain"].p_true
        assert 0.05 < p_true < 0.5
        extractor.thresholds = {"pain": p_true, "fever": p_true + 0.01}
        found = extractor(transcript="t")
        assert found.pain is True
        assert found.answers["pain"].state is State.TRUE
        assert found.answers["pain"].p_true == p_true
        assert found.fever is False
        assert {i: a for i, a in found.answers.items() if i != "pain"} == {
            i: a for i, a in plain.answers.items() if i != "pain"
        }
        assert (found.raw, found.telemetry) == (plain.raw, plain.telemetry)
        assert extractor.ask("t").answers == plain.answers
        assert len(set(engine.reads)) == len(SET)

    def test_a_missing_answer_stays_missing(self, scripted):
        extractor, _ = made(scripted, lambda _: "", lambda _: ((" Perhaps", -0.1),), name="probe")
        extractor.thresholds = dict.fromkeys(SET.ids, 0.01)
        assert {a.state for a in extractor(transcript="t").answers.values()} == {State.MISSING}

    @pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), True, "0.5", None])
    def test_a_value_outside_is_refused(self, value):
        extractor = Extractor(SET, name="x")
        extractor.thresholds = {"pain": 0.2}
        with pytest.raises(InputError, match=r"fever.*above 0 and below 1"):
            extractor.thresholds = {"fever": value}
        assert extractor.thresholds == {"pain": 0.2}

    def test_an_unknown_feature_is_refused(self):
        with pytest.raises(InputError, match="has no dizziness_9"):
            Extractor(SET, name="x").thresholds = {"dizziness_9": 0.5}

    @pytest.mark.parametrize("name", list(FORMATS))
    def test_a_format_without_probabilities_has_none(self, name):
        extractor = Extractor(SET, name="x", format=name)
        if name in {"probe", "json"}:
            extractor.thresholds = {"pain": 0.5}
            assert extractor.thresholds == {"pain": 0.5}
        else:
            with pytest.raises(InputError, match=name):
                extractor.thresholds = {"pain": 0.5}

    def test_they_do_not_pass_to_another_format(self):
        extractor = Extractor(SET, name="x")
        extractor.thresholds = {"pain": 0.3}
        extractor.set_format("probe")
        with pytest.raises(InputError, match=r"fitted on the format probe.*json"):
            extractor.set_format("json")
        assert extractor.format == "probe"
        extractor.thresholds = {}
        extractor.set_format("json")

    def test_a_copy_has_its_own(self):
        extractor = Extractor(SET, name="x")
        extractor.thresholds = {"pain": 0.3}
        extractor.thresholds["pain"] = 2.0
        copies = (extractor.deepcopy(), extractor.reset_copy())
        extractor.thresholds = {}
        assert [c.thresholds for c in copies] == [{"pain": 0.3}] * 2


class TestTheHash:
    def changed(self):
        yield "instructions", Extractor(SET, name="x", format="lines", instructions="Other.")
        yield "language", Extractor(SET, name="x", format="lines", language="fa")
        yield "definitions", Extractor(SET, name="x", format="lines", definitions=False)
        yield "max_tokens", Extractor(SET, name="x", format="lines", max_tokens=100)
        for name in FORMATS:
            if name != "lines":
                yield name, Extractor(SET, name="x", format=name)
        for what, labels in (("demo", TRUTH), ("label", {**TRUTH, "pain": not TRUTH["pain"]})):
            extractor = Extractor(SET, name="x", format="lines")
            extractor.set_demos([("Call.", labels)])
            yield what, extractor
        extractor = Extractor(SET, name="x", format="lines")
        extractor.set_demos([("Call!", TRUTH)])
        yield "text", extractor

    def test_everything_that_is_asked_is_in_it(self):
        hashes = {"base": Extractor(SET, name="x", format="lines").hash()}
        hashes |= {what: extractor.hash() for what, extractor in self.changed()}
        assert len(set(hashes.values())) == len(hashes)
        assert all(len(h) == 64 for h in hashes.values())

    def test_the_order_of_demos_is_in_it(self):
        one, other = (Extractor(SET, name="x", format="lines") for _ in range(2))
        one.set_demos([("a", TRUTH), ("b", TRUTH)])
        other.set_demos([("b", TRUTH), ("a", TRUTH)])
        assert one.hash() != other.hash()

    def test_name_and_engine_are_not_in_it(self, scripted):
        extractor, _ = made(scripted, right)
        assert extractor.hash() == Extractor(SET, name="another", format="lines").hash()

    def test_it_is_the_same_after_a_copy_and_after_use(self, scripted):
        extractor, _ = made(scripted, right)
        extractor.set_demos([("Call.", TRUTH)])
        first = extractor.hash()
        extractor(transcript="t")
        assert extractor.hash() == extractor.deepcopy().hash() == first

    def test_without_thresholds_the_program_is_what_it_asks(self):
        extractor = Extractor(SET, name="x")
        assert extractor.hash() == extractor.asking_hash()
        extractor.thresholds = {"pain": 0.3}
        extractor.thresholds = {}
        assert extractor.hash() == extractor.asking_hash()

    def test_thresholds_make_another_program_that_asks_the_same(self):
        plain, *programs = (Extractor(SET, name="x") for _ in range(4))
        for program, thresholds in zip(programs, ({"pain": 0.3}, {"pain": 0.4}, {"fever": 0.3}), strict=True):
            program.thresholds = thresholds
        assert len({p.hash() for p in (plain, *programs)}) == 4
        assert {p.asking_hash() for p in programs} == {plain.hash()}
        assert all(p.state() == plain.state() for p in programs)

    def test_the_order_in_which_thresholds_are_given_is_not_in_it(self):
        one, other = (Extractor(SET, name="x") for _ in range(2))
        one.thresholds = {"pain": 0.3, "fever": 0.6}
        other.thresholds = {"fever": 0.6, "pain": 0.3}
        assert one.hash() == other.hash()

    def test_a_change_of_format_keeps_instructions_and_demos(self):
        extractor = Extractor(SET, name="x", format="lines", instructions="Other.")
        extractor.set_demos([("Call.", TRUTH)])
        before = extractor.hash(), extractor.state()
        extractor.set_format("json")
        assert extractor.format == "json"
        assert extractor.state() == {**before[1], "format": "json"}
        extractor.set_format("lines")
        assert (extractor.hash(), extractor.state()) == before


class TestBuilding:
    def test_an_unknown_format_or_language_is_refused(self):
        with pytest.raises(InputError, match="xml"):
            Extractor(SET, name="x", format="xml")
        with pytest.raises(InputError, match="'de'"):
            Extractor(SET, name="x", language="de")
        with pytest.raises(InputError, match="xml"):
            Extractor(SET, name="x").set_format("xml")

    @pytest.mark.parametrize("name", list(BUILT_IN))
    def test_built_in_programs_work_for_every_set_and_language(self, name, asked, scripted):
        feature_set, language = asked
        extractor = BUILT_IN[name].build(feature_set, language)
        engine = scripted(lambda _: "".join(f"{f.label[language]}: True\n" for f in feature_set))
        extractor.set_lm(engine.lm())
        found = extractor(transcript="t")
        assert tuple(found.answers) == feature_set.ids
        assert extractor.name == name

    def test_the_study_is_the_studys(self, scripted):
        study = BUILT_IN["study"]
        assert study.demos == 3
        extractor = study.build(SET, "en")
        engine = scripted(right)
        extractor.set_lm(engine.lm())
        extractor(transcript="t")
        (request,) = engine.requests
        assert extractor.format == "lines"
        assert (request.temperature, request.max_tokens, request.schema) == (0.0, 512, None)
        places = [request.messages[0].content.index(f"{f.label['en']}:") for f in SET]
        assert places == sorted(places)
        assert all(f.definition["en"] not in request.messages[0].content for f in SET)
