"""The work behind `balin optimize --stage translate`: the translator that does best on the pool's references, as a file.

It comes first: the translator is chosen, frozen and given to the other commands (`--translator-program`), and the corpus is
translated once. Only the pool is asked about: part of it gives the demos, the rest is translated and scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..data.files import plain_name, private_folder, write_private
from ..data.split import make_split
from ..data.store import Store, canonical, key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.protocol import Engine
from ..errors import CheckFailed, InputError
from ..eval.arm import Advance, opened, translate_all
from ..eval.job import TRANSLATOR, split_data
from ..eval.models import ModelRecord
from ..eval.scores import ERROR_LIMIT
from ..programs.demos import Leaks
from ..programs.translation import Translation
from ..programs.translator import DEFAULT_NAME
from ..programs.translator_file import save_translator
from ..signatures.translate import instruction_wordings
from .plan import Plan
from .translation_report import TranslatorTrial, report, sentences, translators_table
from .translation_score import COPIED, LOST, TranslatorScore, paired_difference
from .translators import SIZES, TRANSLATOR_STRATEGIES, TranslatorCandidate, TranslatorSetting, demo_room

SCHEMA_VERSION = 1
# Of the pool's transcripts with a reference at least this share gives the demos.
_FOR_DEMOS = 0.25
_FEWEST = 4


@dataclass(frozen=True)
class ChosenTranslator:
    """What the choice of a translator left.

    Attributes:
        folder: Holds `translator.json`, `optimize.json` and `report.md`.
        program: The best translator's file.
        document: What `optimize.json` holds.
        trials: All that was tried, in order.
        best: The best of them.
    """

    folder: Path
    program: Path
    document: dict[str, Any]
    trials: tuple[TranslatorTrial, ...]
    best: TranslatorTrial

    @property
    def too_many_errors(self) -> bool:
        """Whether over 2 % of the best translator's calls failed."""
        return sum(self.best.score.failures.values()) > ERROR_LIMIT * self.best.score.n


def choose_translator(
    plan: Plan, *, say: Callable[[str], None] = lambda _: None, advance: Advance = lambda *_: None
) -> ChosenTranslator:
    """Find the best translator for the plan's model.

    Args:
        plan: What to do; of models there is one.
        say: Told in a sentence what a user should know on the way.
        advance: Told (phase, done, of).

    Raises:
        InputError: Something the user gave cannot be used.
        CheckFailed: No translator could be scored.
        EngineUnavailable: No model to ask; what was answered is in the store.
    """
    if len(plan.models) > 1:
        raise InputError("--stage translate chooses for one translating model at a time; give one --model")
    private_folder(plan.out)
    dataset, _ = split_data(plan.job(plan.arm(plan.models[0], "direct")))
    parts = divide_pool(dataset, plan)
    for warning in parts.warnings:
        say(f"warning: {warning}")
    model = plan.translator or plan.models[0]
    folder = _folder(plan, dataset, model)
    with _Ground.at(plan, model, parts, say, advance) as ground:
        ground.run()
        return _left(ground, dataset, folder)


def _left(ground: _Ground, dataset: Dataset, folder: Path) -> ChosenTranslator:
    """Judge, and write the folder."""
    plan, parts, trials, best = ground.plan, ground.parts, ground.trials, ground.best()
    if best is None:
        raise CheckFailed(f"no translator could be scored: {trials[0].score.detail}")
    default, program, identity = trials[0], folder / TRANSLATOR, ground.engine.identity
    against = None if best is default or default.score.value is None else paired_difference(best.score, default.score)
    save_translator(best.candidate.program(plan.feature_set), program)
    says = sentences(best, against, trials)
    document = {
        "schema": SCHEMA_VERSION,
        "stage": "translate",
        "folder": str(folder),
        "program": str(program),
        "model": identity.to_dict(),
        "objective": {"name": "chrf_less_losses", "lost": LOST, "copied": COPIED},
        "data": {"name": dataset.name, "sha256": dataset.sha256, **parts.sizes},
        "feature_set": {"id": plan.feature_set.id, "hash": plan.feature_set.hash},
        "seed": plan.seed,
        "tried": len(trials),
        "best": best.to_dict(plan.feature_set),
        "against": against and {"default": {**asdict(against), "proven": against.proven}},
        "says": says,
        "warnings": list(parts.warnings),
        "trials": [t.to_dict(plan.feature_set) for t in trials],
    }
    table = translators_table(f"Translators tried on {identity.name}", trials)
    write_private(folder / "optimize.json", canonical(document) + b"\n")
    write_private(folder / "report.md", report(plan.command, [*says, *parts.warnings], table, program).encode("utf-8"))
    return ChosenTranslator(folder, program, document, tuple(trials), best)


@dataclass(frozen=True)
class PoolParts:
    """The pool's transcripts with a reference, in two that share no group and no text.

    Attributes:
        demos: Where demos come from.
        scored: What is translated and scored.
        warnings: What of the pool is in neither, and why.
    """

    demos: tuple[Transcript, ...]
    scored: tuple[Transcript, ...]
    warnings: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """How many there are of each."""
        return {"demos": len(self.demos), "scored": len(self.scored)}


def divide_pool(dataset: Dataset, plan: Plan) -> PoolParts:
    """Divide the pool: about `plan.limit` to be scored, and at least a quarter for demos.

    Raises:
        InputError: There is no pool, or too few of it have a reference.
    """
    pool = [t for t in dataset if t.part == "pool"]
    if not pool:
        raise InputError(
            f"{dataset.name}: no transcript is in the part 'pool', which translators are chosen on: make a split "
            "(--split-seed, or `balin data split`)"
        )
    held = Leaks.of(t for t in dataset if t.part in ("dev", "test"))
    apart = [t for t in pool if not held.has(t)]
    usable = [t for t in apart if t.english]
    if len(usable) < _FEWEST:
        wanted = ", ".join(plan.feature_set.columns["english"])
        raise InputError(
            f"{dataset.name}: {len(usable)} transcripts of the pool have an English reference (columns {wanted}), and at least "
            f"{_FEWEST} are needed; without references keep the default translator"
        )
    most = int(len(usable) * (1 - _FOR_DEMOS))
    scored = min(plan.limit or most, most)
    split = make_split(
        replace(dataset, transcripts=tuple(usable)),
        plan.feature_set,
        seed=plan.seed,
        sizes={"pool": len(usable) - scored, "dev": scored},
    )
    warnings = [
        f"{count} transcripts of the pool are left out: {reason}."
        for count, reason in (
            (len(pool) - len(apart), "they share id, group or text with one of dev or test"),
            (len(apart) - len(usable), "they have no English reference"),
        )
        if count
    ]
    chosen = {part: frozenset(ids) for part, ids in split.parts.items()}
    return PoolParts(
        demos=tuple(t for t in usable if t.id in chosen["pool"]),
        scored=tuple(t for t in usable if t.id in chosen["dev"]),
        warnings=tuple(warnings),
    )


@dataclass
class _Ground:
    """The translating model, open, and what was tried on it."""

    plan: Plan
    parts: PoolParts
    engine: Engine
    store: Store
    longest: str
    say: Callable[[str], None]
    advance: Advance
    trials: list[TranslatorTrial] = field(default_factory=list)
    _room: float = 0.0

    @classmethod
    @contextmanager
    def at(
        cls, plan: Plan, model: str, parts: PoolParts, say: Callable[[str], None], advance: Advance
    ) -> Iterator[_Ground]:
        models = ModelRecord(plan.out / "models.json", accept_change=plan.accept_model_change)
        longest = max((t.text for t in plan.dataset), key=len)
        with opened(model, plan.engines.for_translating(), models, say) as engine:
            yield cls(plan, parts, engine, Store(plan.out / "store"), longest, say, advance)

    def run(self) -> None:
        """Try everything.

        Raises:
            EngineUnavailable: What was answered is in the store.
        """
        plan = self.plan
        default = TranslatorCandidate()
        made = self._try(default)
        answered = [(t.text, m.telemetry) for t, m in zip(self.parts.scored, made, strict=True) if m.failure is None]
        program = default.program(plan.feature_set)
        self._room = demo_room(program, answered, self.engine.identity.num_ctx, self.longest)
        setting = TranslatorSetting(
            wordings=tuple(instruction_wordings(plan.feature_set)),
            pool=self.parts.demos,
            sizes=tuple(sorted({min(size, plan.demos, len(self.parts.demos)) for size in SIZES})),
            candidates=plan.candidates,
            seed=plan.seed,
            best=self._best_candidate,
            room=lambda: self._room,
        )
        for strategy in TRANSLATOR_STRATEGIES.values():
            left = plan.candidates
            for candidate in strategy(setting):
                if left and candidate.program(plan.feature_set).hash() not in [t.hash for t in self.trials]:
                    self._try(candidate)
                    left -= 1

    def best(self) -> TranslatorTrial | None:
        """The best so far; the first of equals, so that a tie is the default's. None where nothing has a score."""
        scored = [t for t in self.trials if t.score.value is not None]
        return max(scored, key=lambda t: t.score.value or 0.0, default=None)

    def _best_candidate(self) -> TranslatorCandidate:
        best = self.best()
        return TranslatorCandidate() if best is None else best.candidate

    def _try(self, candidate: TranslatorCandidate) -> list[Translation]:
        translator = candidate.program(self.plan.feature_set)
        phase = (
            DEFAULT_NAME if candidate.strategy == DEFAULT_NAME else f"{candidate.strategy} ({candidate.description})"
        )
        made = translate_all(self.engine, translator, self.store, self.parts.scored, partial(self.advance, phase))
        shown = [translation for _, translation in translator.pairs()]
        self.trials.append(
            TranslatorTrial(candidate, translator.hash(), TranslatorScore.of(self.parts.scored, made, shown))
        )
        return made


def _folder(plan: Plan, dataset: Dataset, model: str) -> Path:
    """Equal for equal settings, so that the same command writes the same folder."""
    told = key_of(
        model=model,
        sizes=[plan.demos, plan.candidates, plan.limit],
        wordings=instruction_wordings(plan.feature_set),
        num_ctx=plan.engines.num_ctx,
        seed=plan.seed,
        data=dataset.sha256,
        parts={t.id: t.part for t in dataset},
    )
    return plan.folder(f"translator-{plain_name(Path(dataset.name).stem)}-{plain_name(model)}-{told[:8]}")
