"""One model and one route: all strategies tried on it, the best few compared on all of dev, and the best left as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..data.files import plain_name, private_folder
from ..data.split import make_split
from ..data.store import Store, key_of
from ..data.transcripts import Dataset, Transcript
from ..engines.embedding import open_embedder
from ..engines.lm import language_model
from ..engines.ollama_api import largest_model
from ..errors import CallError, InputError
from ..eval.arm import Advance, ArmSettings, opened, translate_all
from ..eval.choice import Choice, record_choice
from ..eval.grids import Grid
from ..eval.job import Outcome, run_evaluation
from ..eval.models import ModelRecord
from ..programs.builtin import BUILT_IN
from ..programs.demos import refuse_scored_demos, source_and_english
from ..programs.extractor import Extractor
from ..programs.saving import save_program
from ..programs.translation import Translation
from ..programs.translator import Translator
from .bench import Bench
from .metric import MetricName
from .plan import Plan
from .proposals import Proposer
from .room import Room, measured_rates
from .strategies import BASELINES, STRATEGIES, Eligible, Setting, eligible, why_none
from .thresholds import fit_thresholds, fitted_here
from .trial import Cost, Trial, objective_of
from .verdict import Verdict, judge, trials_table

# So many of the best go on to all of dev, beside the baselines: on few transcripts the first is often not the best.
FINALISTS = 3


@dataclass(frozen=True)
class Result:
    """What came of one model and route.

    Attributes:
        arm: Model and route; its program is the best program's file.
        trials: All that was tried, in order.
        verdict: The best, and how it stands against the baselines.
        preparation: Strategy to what it asked about the pool before it made its candidates.
        warnings: What a reader should know.
        outcome: The run of the best program on all of dev.
    """

    arm: ArmSettings
    trials: tuple[Trial, ...]
    verdict: Verdict
    preparation: dict[str, Cost]
    warnings: tuple[str, ...]
    outcome: Outcome

    @property
    def title(self) -> str:
        """Model and route in words."""
        return title(self.arm)

    def table(self, objective: MetricName) -> Grid:
        """All that was tried."""
        grid = trials_table(f"Tried on {self.title}", self.trials, objective)
        asked = [
            f"{name} asked about {cost.answers} transcripts before its first candidate: {cost.calls} calls, {cost.seconds:.0f} s."
            for name, cost in self.preparation.items()
        ]
        return replace(grid, notes=(*grid.notes, *asked))

    def record(self, by: str, tried: int, objective: MetricName) -> None:
        """Note in the best program's run how it was chosen: by the optimization of that name, among so many."""
        best, whole = self.verdict.best, self.verdict.best.whole or self.verdict.best.first
        choice = Choice(
            by=by,
            tried=tried,
            objective=objective,
            score=whole.value,
            n=whole.n,
            out_of_fold=best.fit is not None,
            demos=tuple(t.id for t in best.candidate.demos),
        )
        record_choice(self.outcome.folder, self.outcome.scores, choice)

    def to_dict(self, objective: MetricName) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "model": self.outcome.run["model"]["name"],
            "engine": self.outcome.run["model"]["engine"],
            "route": self.arm.route,
            "english": self.arm.english if self.arm.route == "translated" else None,
            "translator": self.outcome.run["translator"] and self.outcome.run["translator"]["name"],
            "tried": len(self.trials),
            "best": self.verdict.best.to_dict(),
            "against": self.verdict.to_dict(),
            "says": self.verdict.sentences(objective, len(self.trials)),
            "program": self.arm.program,
            "run": str(self.outcome.folder),
            "trials": [t.to_dict() for t in self.trials],
            "preparation": {name: cost.to_dict() for name, cost in self.preparation.items()},
            "warnings": list(self.warnings),
        }


def title(arm: ArmSettings) -> str:
    """Model and route in words."""
    if arm.route == "direct":
        return f"{arm.model}, direct"
    frozen = f", {arm.translator_program}" if arm.translator_program else ""
    source = "English given" if arm.english == "given" else f"by {arm.translator_model}{frozen}"
    return f"{arm.model}, translated ({source})"


def with_thresholds(plan: Plan, finalists: Sequence[Trial]) -> list[Trial]:
    """The finalists with P(true) once more, decided by thresholds: out of fold, since they are to be chosen by it."""
    if not plan.thresholds:
        return []
    found = []
    for trial in finalists:
        whole = trial.whole
        if whole is None or whole.value is None:
            continue
        fit = fit_thresholds(whole.table, plan.goal(), seed=plan.seed)
        if fit.thresholds:
            candidate = replace(
                trial.candidate,
                description=f"{trial.candidate.description}, thresholds",
                program=trial.candidate.program.deciding(fit.thresholds),
            )
            value = objective_of(fit.out_of_fold, plan.objective)
            found.append(Trial(candidate, trial.first, replace(whole, value=value, table=fit.out_of_fold), fit))
    return found


@dataclass
class Ground:
    """The work on one model and one route.

    Attributes:
        plan: What is wanted.
        arm: Model and route.
        dataset: The data with their parts.
        folder: Where the best program's file goes.
        say: Told in a sentence what a user should know.
        advance: Told (phase, done, of).
    """

    plan: Plan
    arm: ArmSettings
    dataset: Dataset
    folder: Path
    say: Callable[[str], None]
    advance: Advance

    def result(self) -> Result:
        """Try, choose, and evaluate the best program.

        Raises:
            InputError: No transcript of the pool can be a demo.
            CheckFailed: No program could be scored.
            EngineUnavailable: What was answered is in the store.
        """
        with self.bench() as bench:
            # A transcript without a text says nothing about a program.
            dev = [t for t in self.dataset.part("dev") if bench.text(t) is not None]
            texts = {t.id: text for t in self._pool_and_dev() if (text := bench.text(t)) is not None}
            # The test part is never asked about, but a demo that shares a patient with it would be refused or leak there.
            others = [t for t in self.dataset if t.part in ("dev", "test")]
            usable = eligible(self.dataset.part("pool").transcripts, others, texts, self.plan.feature_set)
            warnings = self.warnings(usable, len(self.dataset.part("dev")) - len(dev))
            first = self._first(dev)
            setting = self._setting(bench, usable, texts, first, max((texts[t.id] for t in dev), key=len))
            with self._reflector(bench) as reflector:
                trials, preparation = self._tried(bench, replace(setting, reflector=reflector), first)
            finalists = self._finalists(bench, trials, dev, first)
        verdict = judge([*finalists, *with_thresholds(self.plan, finalists)], self.plan.goal())
        program = self._saved(verdict.best)
        arm = replace(self.arm, program=str(program))
        outcome = run_evaluation(self.plan.job(arm, _notes(verdict)), say=self.say, advance=self.advance)
        return Result(arm, tuple(trials), verdict, preparation, tuple(warnings), outcome)

    @contextmanager
    def bench(self) -> Iterator[Bench]:
        """Everything translated, then the model open."""
        plan, arm = self.plan, self.arm
        store = Store(plan.out / "store")
        models = ModelRecord(plan.out / "models.json", accept_change=plan.accept_model_change)
        translator, translations = self._translate(store, models)
        with opened(arm.model, plan.engines, models, self.say) as engine:
            yield Bench(
                engine=engine,
                lm=language_model(engine),
                store=store,
                route=arm.route,
                english=arm.english,
                translator=translator,
                translations=translations,
                objective=plan.objective,
                advance=self.advance,
            )

    @contextmanager
    def _reflector(self, bench: Bench) -> Iterator[Proposer | None]:
        """What reflects for GEPA, open; None for the model itself, which the embedded engine has in memory already."""
        plan = self.plan
        model = plan.reflection_model
        if model is None and "gepa" in plan.strategies and bench.engine.identity.engine == "ollama":
            model = largest_model(plan.engines.host, plan.engines.allow_remote)
        if model is None or model in (self.arm.model, bench.engine.identity.name):
            yield None
            return
        self.say(f"{model} reflects for gepa")
        models = ModelRecord(plan.out / "models.json", accept_change=plan.accept_model_change)
        with opened(model, plan.engines, models, self.say) as engine:
            yield Proposer(engine, bench.store)

    def _translate(self, store: Store, models: ModelRecord) -> tuple[Translator | None, dict[str, Translation]]:
        """Pool and dev in English; (None, {}) where no model translates."""
        model = self.arm.translator_model
        if model is None:
            return None, {}
        transcripts = self._pool_and_dev()
        translator = self.plan.translating()
        held = [t for t in self.dataset if t.part in ("dev", "test")]
        refuse_scored_demos(
            self.plan.translator_program or "the translator", translator.texts(), source_and_english(held)
        )
        with opened(model, self.plan.engines.for_translating(), models, self.say) as engine:
            made = translate_all(engine, translator, store, transcripts, partial(self.advance, "translate"))
        return translator, {t.id: m for t, m in zip(transcripts, made, strict=True)}

    def _pool_and_dev(self) -> list[Transcript]:
        return [*self.dataset.part("pool"), *self.dataset.part("dev")]

    def _first(self, dev: Sequence[Transcript]) -> list[Transcript]:
        """The transcripts that all candidates are compared on: all of dev, or `limit` with labels spread as in all."""
        if not dev:
            wanted = ", ".join(self.plan.feature_set.columns["english"])
            raise InputError(
                f"no transcript of dev has a text on this route; --english given reads the columns {wanted}"
                if self.arm.english == "given"
                else "no transcript of dev has a text on this route: no translation succeeded"
            )
        limit = self.plan.limit
        if limit is None or limit >= len(dev):
            return list(dev)
        data = replace(self.dataset, transcripts=tuple(dev))
        split = make_split(
            data, self.plan.feature_set, seed=self.plan.seed, sizes={"dev": limit, "pool": len(dev) - limit}
        )
        chosen = set(split.parts["dev"])
        return [t for t in dev if t.id in chosen]

    def _program(self) -> Extractor:
        plan = self.plan
        return Extractor(
            plan.feature_set, name="few-shot", format=plan.format, language=plan.language, definitions=plan.definitions
        )

    def _setting(
        self, bench: Bench, usable: Eligible, texts: dict[str, str], first: Sequence[Transcript], longest: str
    ) -> Setting:
        """The ground as strategies see it. The program without demos is asked first: its answers measure tokens."""
        program = self._program()
        answered = bench.answers(program, first, "zero-shot")
        costs = [(texts[t.id], e.telemetry) for t, e in zip(first, answered, strict=True) if e.failure is None]
        pool_longest = max((texts[t.id] for t in usable.pool), key=len)
        return Setting(
            build=self._program,
            study=lambda: BUILT_IN["study"].build(self.plan.feature_set, self.plan.language),
            pool=usable.pool,
            texts=texts,
            # Who asks about one at a time tells of the progress itself.
            answers=lambda asked, some: bench.answers(asked, some, "the pool" if len(some) > 1 else None),
            score=lambda asked, phase: bench.score(asked, first, phase).value,
            proposer=Proposer(bench.engine, bench.store),
            room=Room(
                num_ctx=bench.engine.identity.num_ctx,
                rates=measured_rates(program, costs),
                longest=max(longest, pool_longest, key=len),
            ),
            demos=self.plan.demos,
            candidates=self.plan.candidates,
            seed=self.plan.seed,
            embedder=partial(open_embedder, self.plan.embedder, self.plan.engines),
            gepa_calls=self.plan.gepa_calls,
            advance=self.advance,
        )

    def _tried(
        self, bench: Bench, setting: Setting, first: Sequence[Transcript]
    ) -> tuple[list[Trial], dict[str, Cost]]:
        """Every candidate of every strategy, scored; programs that are equal to an earlier one are not counted again."""
        trials: dict[str, Trial] = {}
        preparation: dict[str, Cost] = {}
        for name in dict.fromkeys((*BASELINES, *self.plan.strategies)):
            begun, made, why = len(bench.answered), 0, why_none(name)
            try:
                for candidate in STRATEGIES[name](setting):
                    if len(bench.answered) > begun and not made:
                        preparation[name] = Cost.of(bench.answered[begun:])
                    made += 1
                    key = candidate.program.hash()
                    if key not in trials:
                        trials[key] = Trial(
                            candidate, bench.score(candidate.program, first, f"{name} ({candidate.description})")
                        )
            except CallError as error:
                # A text that cannot be embedded, say: the other strategies need not suffer for it.
                why = str(error)
                if made:
                    self.say(f"warning: {name} makes no further candidate: {why}")
            if not made:
                preparation[name] = Cost.of(bench.answered[begun:])
                self.say(f"{name} makes no candidate: {why}")
        return list(trials.values()), preparation

    def _finalists(
        self, bench: Bench, trials: Sequence[Trial], dev: Sequence[Transcript], first: Sequence[Transcript]
    ) -> list[Trial]:
        """The best few and the baselines, scored on all of dev; baselines first, so that a tie is theirs."""
        baselines = [t for t in trials if t.candidate.strategy in BASELINES]
        others = [t for t in trials if t not in baselines and t.first.value is not None]
        others.sort(key=lambda t: -(t.first.value or 0.0))
        finalists = [*baselines, *others[:FINALISTS]]
        for trial in finalists:
            same = len(dev) == len(first)
            trial.whole = (
                trial.first
                if same
                else bench.score(trial.candidate.program, dev, f"{trial.candidate.strategy}, all of dev")
            )
        return finalists

    def _saved(self, best: Trial) -> Path:
        """The best program's file."""
        if best.fit is not None:
            for feature, why in best.fit.refused.items():
                self.say(f"no threshold for {feature}: {why}")
        folder = self.folder / "programs"
        private_folder(folder)
        route = self.arm.route if self.arm.route == "direct" else f"translated-{self.arm.english}"
        # Models whose names differ only in signs, or late, have files of their own.
        path = folder / f"{plain_name(self.arm.model, 40)}-{key_of(model=self.arm.model)[:6]}-{route}.json"
        save_program(best.candidate.program, path)
        return path

    def warnings(self, usable: Eligible, without_text: int) -> list[str]:
        """What to know of the demos there can be, said and given back."""
        found = [
            f"{count} transcripts of the pool cannot be demos: {reason}." for reason, count in usable.left_out.items()
        ]
        if usable.without_positive:
            found.append(f"No transcript of the pool has {', '.join(usable.without_positive)}: no demo can show it.")
        if without_text:
            found.append(
                f"{without_text} transcripts of dev have no text on this route and are left out of the choice."
            )
        for warning in found:
            self.say(f"warning: {warning}")
        return found


def _notes(verdict: Verdict) -> tuple[str, ...]:
    """What a reader of the best program's run must know: its thresholds have seen these labels."""
    best = verdict.best
    if best.fit is None or best.whole is None:
        return ()
    return (fitted_here(best.whole.value),)
