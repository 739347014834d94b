"""DSPy's MIPROv2: instructions that the model itself proposes, searched together with sets of demos.

DSPy proposes instructions (from those there are and its tips, never from transcripts, so that none gets into a program's
wording) and runs its Optuna study. What it gets wrong is replaced: its demos are what a model answered, here they come from the other
strategies with gold labels; its score is a mean over examples in minibatches and an outage is a score of 0, here it is the
corpus objective on dev, an outage stops the work, and a program of which too many calls failed has no score.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...data.transcripts import Transcript
from ...errors import BalinError
from ...programs.extractor import Extractor
from ...signatures.private_dspy import dspy
from . import bootstrap, coverage, random_draw
from .setting import Candidate, Setting

NAME = "mipro"
# Proposals of small models are often no better than what is there; a few are enough.
INSTRUCTIONS = 4


def candidates(setting: Setting) -> Iterator[Candidate]:
    """All programs that the study scored but the one it begins with, which is zero-shot; at most `setting.candidates`."""
    one = replace(setting, candidates=1)
    demos = {c.strategy: c.demos for s in (coverage, bootstrap, random_draw) for c in s.candidates(one)}
    student = _Student(setting.build().predict.signature)
    try:
        with quietly() as aloud:
            search = _Search(setting, demos, aloud)
            search.compile(
                student,
                trainset=setting.examples(setting.pool),
                # Only its length is looked at: what is scored is decided by `setting.score`.
                valset=setting.examples(setting.pool[:1]),
                num_trials=setting.candidates,
                minibatch=False,
                program_aware_proposer=False,
                data_aware_proposer=False,
                fewshot_aware_proposer=False,
            )
    except _Stopped as stopped:
        raise stopped.error from None
    yield from search.tried.values()


class _Stopped(BaseException):
    """Carries an error through DSPy, which makes a score of 0 of every `Exception`."""

    def __init__(self, error: BalinError) -> None:
        super().__init__()
        self.error = error


class _Student(dspy.Module):
    """What DSPy changes: one predictor."""

    def __init__(self, signature: Any) -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)


class _Search(dspy.MIPROv2):
    """MIPROv2 with sets of demos, proposals that may fail, and a score of ours."""

    def __init__(self, setting: Setting, demos: dict[str, Sequence[Transcript]], aloud: Aloud) -> None:
        lm = setting.proposer.lm(setting.seed)
        # The seed goes here: `compile` takes 0 for none.
        super().__init__(
            metric=None,
            prompt_model=lm,
            task_model=lm,
            auto=None,
            num_candidates=INSTRUCTIONS,
            seed=setting.seed,
            track_stats=False,
        )
        self.setting = setting
        self.demos = demos
        self.aloud = aloud
        self.instructions: list[str] = []
        self.tried: dict[str, Candidate] = {}

    def _bootstrap_fewshot_examples(self, *_: Any, **__: Any) -> dict[int, list[Any]]:
        return {0: [[], *(self.setting.examples(chosen) for chosen in self.demos.values())]}

    def _propose_instructions(self, program: Any, *others: Any, **named: Any) -> dict[int, list[str]]:
        """DSPy's proposals; the instructions as they are where the model writes none that can be read."""
        own = program.predict.signature.instructions
        try:
            made = super()._propose_instructions(program, *others, **named)[0]
        except Exception:
            if self.setting.proposer.outage is not None:
                raise _Stopped(self.setting.proposer.outage) from None
            made = []
        self.instructions = list(dict.fromkeys([own, *(text for text in made if text.strip())]))
        return {0: self.instructions}

    def _optimize_prompt_parameters(
        self, program: Any, instructions: Any, demos: Any, evaluate: Any, *others: Any
    ) -> Any:
        return super()._optimize_prompt_parameters(program, instructions, demos, self._evaluate, *others)

    def _evaluate(self, program: Any, **_: Any) -> dspy.evaluate.EvaluationResult:
        """The corpus objective of what DSPy put together; NaN, which Optuna takes for no result, where there is none."""
        try:
            candidate = self._candidate(program)
            with self.aloud():
                score = self.setting.score(candidate.program, f"{NAME} ({candidate.description})")
        except BalinError as error:
            raise _Stopped(error) from None
        if candidate.demos or self.instructions.index(program.predict.signature.instructions):
            self.tried.setdefault(candidate.program.hash(), candidate)
        return dspy.evaluate.EvaluationResult(score=math.nan if score is None else score, results=[])

    def _candidate(self, program: Any) -> Candidate:
        instructions = program.predict.signature.instructions
        demos = self.setting.transcripts_of(program.predict.demos)
        origin = next((name for name, chosen in self.demos.items() if list(chosen) == demos), "no")
        number = self.instructions.index(instructions)

        def build() -> Extractor:
            made = self.setting.build()
            made.predict.signature = made.predict.signature.with_instructions(instructions)
            return made

        told = f"instructions {f'proposed {number}' if number else 'as they are'}, {origin} demos"
        return self.setting.candidate(NAME, told, demos, build)


Aloud = Callable[[], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def quietly() -> Iterator[Aloud]:
    """DSPy prints and logs every step, with an error the whole example, and Optuna warns of an option that DSPy sets.

    Yields:
        Opens a place in which output is shown again, for what reports progress.
    """
    shown = sys.stdout, sys.stderr

    @contextlib.contextmanager
    def aloud() -> Iterator[None]:
        with contextlib.redirect_stdout(shown[0]), contextlib.redirect_stderr(shown[1]):
            yield

    logger = logging.getLogger("dspy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield aloud
    finally:
        logger.setLevel(level)
