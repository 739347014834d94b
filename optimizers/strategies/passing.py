"""Which transcripts of the pool the model gets (nearly) right: DSPy's BootstrapFewShot as a filter.

DSPy makes a demo of what the model *answered*. With a metric that forgives one wrong feature those demos would teach the
mistake, and one that forgives none keeps the easy calls where nothing is present. Here a transcript passes with all but one
features right, its demo gets the gold labels, and a quota of positives for each feature decides which of the passing are taken.
A call that failed is no wrong answer: the transcript does not pass, and DSPy's error path, which aborts after a few and forgets
the teacher's demos, is never entered.
"""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...data.transcripts import Transcript
from ...programs.pipeline import Extraction
from ...signatures.private_dspy import dspy
from ...signatures.wording import INPUT
from .setting import Setting

FORGIVEN = 1
# Looking at a transcript costs its answer; this many show every feature that is not very rare.
LOOKED_AT = 48


def passing(setting: Setting) -> list[Transcript]:
    """The pool's transcripts that the program without demos gets right but for at most one feature, in the order of looking.

    Raises:
        EngineUnavailable: What was answered is in the store.
    """
    looked_at = _rare_first(setting.pool, setting.feature_ids, setting.seed)[:LOOKED_AT]
    answered = setting.answers(setting.build(), looked_at)
    teacher = _Teacher(
        setting.build().predict.signature,
        {setting.texts[t.id]: e for t, e in zip(looked_at, answered, strict=True)},
    )
    teleprompter = dspy.BootstrapFewShot(
        metric=lambda example, prediction, trace: _right(example, prediction, setting.feature_ids),
        max_bootstrapped_demos=len(looked_at),
        max_labeled_demos=0,
        max_rounds=1,
    )
    student = _Teacher(teacher.predict.signature, {})
    # It prints to the output, where a command's JSON goes, and its bar counts work that is done already.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        compiled = teleprompter.compile(student, teacher=teacher, trainset=setting.examples(looked_at))
    return setting.transcripts_of(compiled.predict.demos)


def with_quotas(
    choices: Sequence[Transcript], count: int, feature_ids: Iterable[str], rng: random.Random
) -> list[Transcript]:
    """`count` of the transcripts, such that each feature has its quota of positives among them.

    A feature's quota is its share of positives in `choices` times `count`, but at least one. Each step takes a transcript that
    has a feature which none of the taken has, where there is one; of those, the one with the most features below their
    quota, less those that have theirs already; among equals the generator chooses.

    Args:
        choices: Labelled transcripts.
        count: How many are wanted; all are taken where there are fewer.
        feature_ids: The features.
        rng: Breaks ties.
    """
    ids, left = tuple(feature_ids), rng.sample(choices, len(choices))
    share = {i: sum(t.labels[i] is True for t in left) / max(1, len(left)) for i in ids}
    quota = {i: max(1, round(share[i] * count)) for i in ids}
    taken: list[Transcript] = []
    while left and len(taken) < count:
        have = {i: sum(t.labels[i] is True for t in taken) for i in ids}
        gains = [_gain([i for i in ids if t.labels[i]], have, quota) for t in left]
        taken.append(left.pop(gains.index(max(gains))))
    return taken


def _gain(present: Sequence[str], have: Mapping[str, int], quota: Mapping[str, int]) -> tuple[bool, int]:
    """Whether a transcript shows a feature for the first time, and how much it does for the quotas."""
    return any(have[i] == 0 for i in present), sum(1 if have[i] < quota[i] else -1 for i in present)


class _Teacher(dspy.Module):
    """Answers from what is known already, and leaves the trace that BootstrapFewShot reads."""

    def __init__(self, signature: Any, known: Mapping[str, Extraction]) -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)
        self.known = known

    def forward(self, **inputs: str) -> dspy.Prediction:
        extraction = self.known[inputs[INPUT]]
        values = {i: a.value for i, a in extraction.answers.items()}
        prediction = dspy.Prediction(**values, failed=extraction.failure is not None)
        dspy.settings.trace.append((self.predict, inputs, prediction))
        return prediction


def _right(example: Any, prediction: Any, feature_ids: Sequence[str]) -> bool:
    wrong = sum(prediction[i] is not example[i] for i in feature_ids)
    return not prediction.failed and wrong <= FORGIVEN


def _rare_first(pool: Sequence[Transcript], feature_ids: Sequence[str], seed: int) -> list[Transcript]:
    """Transcripts with the rarest positives first, otherwise at random: few are looked at, and all features are wanted."""
    count = {i: sum(t.labels[i] is True for t in pool) for i in feature_ids}
    shuffled = random.Random(seed).sample(pool, len(pool))
    return sorted(shuffled, key=lambda t: min((count[i] for i in feature_ids if t.labels[i]), default=len(pool)))
