"""DSPy's GEPA: a local model reads where the program went wrong on transcripts of the pool, and writes better instructions.

GEPA keeps a front of instructions, each the best at some feature or some transcript, and lets a model reflect on the mistakes of
one of them. What would do harm is replaced. Its score is the surrogate of `metric.py`, which a mean over transcripts may be
taken of, with one objective for each feature. An outage stops the work; a call that fails changes no comparison. What a small
model writes in place of instructions (JSON, answers, a transcript's own words) is refused. GEPA resumes by pickle files in
which transcripts stand; here every answer and every proposal is in the store, so the same command goes the same way again
without asking anything twice.

The best instructions go on, with the demos of `coverage` and with none.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...data.transcripts import Transcript
from ...engines.protocol import ChatRequest, Message
from ...errors import BalinError, CallError
from ...programs.extractor import Extractor
from ...programs.pipeline import Extraction
from ...signatures.answers import State
from ...signatures.private_dspy import dspy
from ...signatures.wording import INPUT, describe
from ..metric import Surrogate, gepa_metric
from . import coverage
from .mipro import Aloud, quietly
from .passing import with_quotas
from .proposed import Proposed
from .setting import Candidate, Setting

NAME = "gepa"
# Transcripts on which instructions are compared, at most; and of which one reflection sees the mistakes.
COMPARED = 32
REFLECTED = 4
# As often is a proposal that cannot be used asked for anew.
ATTEMPTS = 3
PROPOSAL_TOKENS = 700

_ASK = """\
You improve the instructions of an assistant that reads notes about patients and decides for each feature whether it is present.

Its instructions now:
<instructions>
{instructions}
</instructions>

{listing} given to it besides. These are notes on which it was wrong, with what was wrong:

{cases}

Write better instructions. State general rules that would have prevented these mistakes. Do not quote or describe the notes, do
not list answers, and do not use JSON. Write the new instructions only, as plain text, no longer than a page."""


def candidates(setting: Setting) -> Iterator[Candidate]:
    """The best instructions first, each with the demos of `coverage` and with none; nothing where none is better.

    Raises:
        InputError: No feature of the pool has both classes.
        EngineUnavailable: What was answered and proposed is in the store.
    """
    best = _Search(setting).best()
    (covering,) = coverage.candidates(replace(setting, candidates=1))
    made = 0
    for number, instructions in enumerate(best, start=1):
        build = _built(setting, instructions)
        for origin, demos in ((coverage.NAME, covering.demos), ("no", ())):
            if made < setting.candidates:
                yield setting.candidate(NAME, f"instructions {number} of {len(best)}, {origin} demos", demos, build)
                made += 1


class _Stopped(BaseException):
    """Carries an error through DSPy and GEPA, which make a score of every `Exception`."""

    def __init__(self, error: BalinError) -> None:
        super().__init__()
        self.error = error


class _Student(dspy.Module):
    """What GEPA changes: one predictor, whose answers come through the store.

    Args:
        signature: Of the program.
        ask: Instructions and a text to answers; a function, as GEPA copies a student deeply.
    """

    def __init__(self, signature: Any, ask: Callable[[str, str], Extraction]) -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)
        self.ask = ask

    def forward(self, **inputs: str) -> dspy.Prediction:
        try:
            extraction = self.ask(self.predict.signature.instructions, inputs[INPUT])
        except BalinError as error:
            raise _Stopped(error) from None
        values = {i: a.value for i, a in extraction.answers.items()}
        prediction = dspy.Prediction(**values, answers=extraction.answers)
        if dspy.settings.trace is not None:
            dspy.settings.trace.append((self.predict, inputs, prediction))
        return prediction


class _Search:
    """One run of GEPA on a setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.by_text = {setting.texts[t.id]: t for t in setting.pool}
        program = setting.build()
        self.feature_set, self.language = program.feature_set, program.adapter.language
        self.own = program.predict.signature.instructions
        self.listing = (
            "The features and what they mean are" if program.adapter.definitions else "The features' names are"
        )
        # The surrogate counts positives over the whole pool: few transcripts would weigh the rare ones by chance.
        surrogate = Surrogate.of_examples(setting.feature_ids, setting.examples(setting.pool))
        self.measure = gepa_metric(surrogate, self.feature_set, self.language)
        words = [self.own, *(f"{f.label[self.language]} {describe(f, self.language)}" for f in self.feature_set)]
        self.proposed = Proposed(list(setting.texts.values()), words)
        self.reflections = 0
        self.calls = 0
        self.aloud: Aloud = contextlib.nullcontext
        self._made: tuple[str, Extractor] = (self.own, program)

    def best(self) -> list[str]:
        """Instructions that were compared on all of the compared transcripts and do better than those there are, best first."""
        compared, reflected = self._parts()
        # A function and no method: a deep copy of a method copies the engine behind it.
        student = _Student(self.setting.build().predict.signature, lambda told, text: self._counted(told, text))
        # One more round of GEPA takes so many calls at most; the last one begins where there is room for it.
        step = 2 * min(REFLECTED, len(reflected)) + len(compared)
        teleprompter = dspy.GEPA(
            metric=self._metric,
            max_metric_calls=max(1, self.setting.gepa_calls - step + 1),
            reflection_minibatch_size=min(REFLECTED, len(reflected)),
            instruction_proposer=self._propose,
            skip_perfect_score=False,
            use_merge=False,
            num_threads=1,
            track_stats=True,
            warn_on_score_mismatch=False,
            seed=self.setting.seed,
            gepa_kwargs={"frontier_type": "hybrid"},
        )
        try:
            with quietly() as aloud:
                self.aloud = aloud
                found = teleprompter.compile(
                    student, trainset=self.setting.examples(reflected), valset=self.setting.examples(compared)
                ).detailed_results
        except _Stopped as stopped:
            raise stopped.error from None
        self.setting.advance(NAME, self.calls, self.calls)
        scores: dict[str, float] = {}
        for program, score in zip(found.candidates, found.val_aggregate_scores, strict=True):
            scores.setdefault(program.predict.signature.instructions, float(score))
        better = [text for text, score in scores.items() if score > scores[self.own]]
        return sorted(better, key=lambda text: -scores[text])

    def _parts(self) -> tuple[list[Transcript], list[Transcript]]:
        """Transcripts of the pool to compare on, with every feature among them, and others to learn from."""
        pool = self.setting.pool
        size = max(1, min(COMPARED, len(pool) // 2, self.setting.gepa_calls // 5))
        compared = with_quotas(pool, size, self.setting.feature_ids, random.Random(self.setting.seed))
        chosen = {t.id for t in compared}
        return compared, [t for t in pool if t.id not in chosen] or list(compared)

    def _counted(self, instructions: str, text: str) -> Extraction:
        answered = self._ask(instructions, text)
        self.calls += 1
        with self.aloud():
            self.setting.advance(NAME, self.calls, max(self.calls, self.setting.gepa_calls))
        return answered

    def _ask(self, instructions: str, text: str) -> Extraction:
        if self._made[0] != instructions:
            self._made = (instructions, _built(self.setting, instructions)())
        (answered,) = self.setting.answers(self._made[1], [self.by_text[text]])
        return answered

    def _metric(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> dspy.Prediction:
        """Score, objectives and feedback. A call that failed has the score of the program's own instructions: no gain, no loss."""
        try:
            found = self.measure(gold, pred)
        except CallError:
            return self._neutral(gold)
        found.feedback = feedback(gold, pred.answers, self.feature_set, self.language)
        return found

    def _neutral(self, gold: Any) -> dspy.Prediction:
        told = "The call failed; nothing is known of the answer."
        try:
            answers = self._ask(self.own, gold[INPUT]).answers
            known = self.measure(gold, dspy.Prediction(answers=answers))
        except CallError:
            # Chance, whatever the instructions.
            return dspy.Prediction(score=0.5, feedback=told, objective_scores={})
        except BalinError as error:
            raise _Stopped(error) from None
        return dspy.Prediction(score=known.score, feedback=told, objective_scores=known.objective_scores)

    def _propose(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """New instructions for the one predictor; those there are where the model writes none that can be used."""
        (name,) = components_to_update
        cases = [f"Note: {case['Inputs'][INPUT]}\nWrong: {case['Feedback']}" for case in reflective_dataset[name]]
        return {name: self._reflected(candidate[name], cases)}

    def _reflected(self, instructions: str, cases: Sequence[str]) -> str:
        for attempt in range(ATTEMPTS):
            self.reflections += 1
            # A prompt that is too long is asked again with fewer cases.
            told = "\n\n".join(cases[: max(1, len(cases) >> attempt)])
            request = ChatRequest(
                messages=(Message("user", _ASK.format(instructions=instructions, listing=self.listing, cases=told)),),
                max_tokens=PROPOSAL_TOKENS,
                temperature=1.0,
                seed=self.setting.seed * 1000 + self.reflections,
            )
            try:
                written = (self.setting.reflector or self.setting.proposer).chat(request).text
            except CallError:
                continue
            except BalinError as error:
                raise _Stopped(error) from None
            text = self.proposed.usable(written)
            if text is not None and text != instructions and self._fits(text):
                return text
        return instructions

    def _fits(self, instructions: str) -> bool:
        """Whether the longest text still has a place behind these instructions."""
        return self.setting.room.left(_built(self.setting, instructions)()) >= 0


def feedback(gold: Any, answers: Mapping[str, Any], feature_set: Any, language: str) -> str:
    """Which features were answered wrongly and how, with what each means; nothing of the text."""
    told = []
    for feature in feature_set:
        label, state = gold.get(feature.id), answers[feature.id].state
        if label is None or state is (State.TRUE if label else State.FALSE):
            continue
        how = "no readable answer" if state is State.MISSING else "overlooked" if label else "false alarm"
        has = "has it" if label else "does not have it"
        told.append(f"{feature.label[language]}: {how}, the patient {has} ({describe(feature, language)})")
    return "; ".join(told) or "nothing, every feature is right"


def _built(setting: Setting, instructions: str) -> Callable[[], Extractor]:
    def build() -> Extractor:
        made = setting.build()
        made.predict.signature = made.predict.signature.with_instructions(instructions)
        return made

    return build
