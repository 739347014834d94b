"""The Optuna study: where it is stored, how it draws, and what becomes of trials that were lost.

A trial's `asked` (user attribute) is its configuration, its `result` what came of it, its `owner` the worker. A failed trial
whose result says nothing was lost: its process died, or the engine did. It is asked again, and does not count.

A trial's place is its number less those of the lost trials before it. Each place draws with its own seed, and the sampler sees
only finished trials: so a study that was interrupted goes on with the draws that it would have made.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from ..data.files import private_folder
from ..data.store import key_of
from ..errors import InputError
from .budget import Spent
from .goals import Direction
from .space import Choices, key
from .workers import Worker

OPENINGS = 6  # how often a study is tried to be opened
HEARTBEAT = 60  # seconds; a worker that was not heard of for twice that is dead
# So many finished trials before draws learn from them; budgets are small, and the baselines are among them.
STARTUP = 5
SCORED, PRUNED, UNSCORED, REPEAT, DROPPED = "scored", "pruned", "unscored", "repeat", "dropped"
FAILING = "failing"  # too many calls failed for reasons that may pass; the next command asks again
# Of the drivers that SQLAlchemy takes by default, the packages that have other names.
DRIVERS = {"psycopg": "'psycopg[binary]'", "MySQLdb": "mysqlclient"}


class PlaceSampler(BaseSampler):
    """Optuna's TPE, made anew for each trial with the seed of its place.

    Args:
        seed: Of the study.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: dict[int, TPESampler] = {}

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        place = place_of(trial, study.get_trials(deepcopy=False))
        self._made = {trial.number: tpe(int(key_of(seed=self._seed, place=place)[:8], 16))}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """TPE's."""
        return self._made[trial.number].infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """TPE's."""
        return self._made[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """TPE's."""
        return self._made[trial.number].sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """TPE's."""
        if trial.number in self._made:
            self._made[trial.number].after_trial(study, trial, state, values)


def tpe(seed: int) -> TPESampler:
    """TPE for a conditional space, which Optuna calls group and experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=STARTUP, warn_independent_sampling=False
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Optuna logs the text of errors; what a user should know is said by the search."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def journal_path(storage: str | None) -> Path | None:
    """The journal file that a storage names (`journal:PATH`, or a path that ends in .journal); None for any other."""
    if storage is None or "://" in storage:
        return None
    if storage.startswith("journal:"):
        return Path(storage.removeprefix("journal:"))
    return Path(storage) if storage.endswith(".journal") else None


def shared_folder(folder: Path, storage: str | None) -> Path:
    """Where workers see each other: beside a journal file, which lies on a disk that all of them have, else the search's folder."""
    journal = journal_path(storage)
    if journal is None:
        return folder
    shared = journal.with_name(f"{journal.name}.workers")
    private_folder(shared)
    return shared


def open_study(
    name: str, folder: Path, storage: str | None, seed: int, directions: Sequence[Direction] = ("maximize",)
) -> optuna.Study:
    """The study of that name, made where it is missing.

    Args:
        name: Its name.
        folder: Holds `study.db`, unless a storage is given.
        storage: A database's URL, as SQLAlchemy has them, or a journal file.
        seed: Of the draws.
        directions: Of the objectives.

    Raises:
        InputError: The storage cannot be opened.
    """
    from sqlalchemy.exc import SQLAlchemyError

    path = (folder / "study.db").resolve()
    journal = journal_path(storage)
    try:
        with quietly():
            study = _patiently(
                lambda: optuna.create_study(
                    study_name=name, storage=_database(storage, path) if journal is None else _journal(journal),
                    sampler=PlaceSampler(seed), pruner=optuna.pruners.NopPruner(), directions=list(directions), load_if_exists=True,
                )
            )  # fmt: skip
    except (SQLAlchemyError, ImportError, RuntimeError, OSError, json.JSONDecodeError) as error:
        if isinstance(error, json.JSONDecodeError):
            raise InputError(
                f"--storage {journal}: a line of it is damaged; give a copy from before, or another file: answers are in the store "
                "and are not asked for again"
            ) from None
        if storage is None:
            raise InputError(
                f"{path}: the study cannot be opened ({type(error).__name__}); see that the disk is not full and the folder can "
                "be written to, or name another --out"
            ) from None
        if isinstance(error, ImportError) and (driver := getattr(error.__cause__, "name", None)):
            package = DRIVERS.get(driver, driver)
            raise InputError(
                f"--storage: the database's driver {driver} is not installed: pip install {package}, or name another in the URL, "
                "as in postgresql+psycopg2://"
            ) from None
        raise InputError(
            f"--storage: the study's storage cannot be opened ({type(error).__name__}); give a database's URL such as "
            "sqlite:///study.db, with its driver installed, a journal file such as study.journal, or leave --storage out"
        ) from None
    if storage is None or journal is not None:
        (journal or path).chmod(0o600)
    return study


def _patiently(make: Callable[[], optuna.Study]) -> optuna.Study:
    """What `make` makes; once more where another worker was making the same tables or study at the same moment."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(OPENINGS - 1):
        try:
            return make()
        except (IntegrityError, ProgrammingError):
            time.sleep(random.uniform(0.2, 1.0))
    return make()


def _database(url: str | None, path: Path) -> optuna.storages.BaseStorage:
    """A database; heartbeats only where locks cannot tell who lives: a machine that was asleep has none, and is not dead."""
    heartbeat = HEARTBEAT if url else None
    url = url or f"sqlite:///{path}"
    return optuna.storages.RDBStorage(
        url,
        # SQLite lets one write at a time; the others wait.
        engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {},
        heartbeat_interval=heartbeat,
    )


def _journal(path: Path) -> optuna.storages.BaseStorage:
    # Made here, so that nobody else can read it at any moment.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _mend(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _mend(path: Path) -> None:
    """Cut off the half line that a full disk left at the end of a journal: the next line would be glued to it, and both lost."""
    if _torn(path) is None:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        # Seen again now that nobody is writing.
        whole = _torn(path)
        if whole is not None:
            os.truncate(path, whole)
    finally:
        lock.release()


def _torn(path: Path) -> int | None:
    """How many bytes of a journal are whole lines; None where all are."""
    data = path.read_bytes()
    return None if not data or data.endswith(b"\n") else data.rfind(b"\n") + 1


def result(trial: FrozenTrial) -> dict[str, Any]:
    """What came of a trial; empty while it runs and where it was lost."""
    found: dict[str, Any] = trial.user_attrs.get("result", {})
    # A process may die between the result and the end of its trial.
    return found if found.get("state") == trial.state.name else {}


def outcome(trial: FrozenTrial) -> str | None:
    """SCORED, PRUNED, UNSCORED, FAILING, REPEAT or DROPPED; None where it runs, waits or was lost."""
    found: str | None = result(trial).get("outcome")
    return found


def is_lost(trial: FrozenTrial) -> bool:
    """Whether it ended without a result of its own."""
    return trial.state == TrialState.FAIL and outcome(trial) in (None, DROPPED)


def holds(trial: FrozenTrial) -> bool:
    """Whether its configuration is spoken for: somebody tried it, is at it or has it waiting."""
    return "asked" in trial.user_attrs and not is_lost(trial) and outcome(trial) not in (FAILING, REPEAT)


def failing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials whose calls failed for reasons that may pass and whose configurations nobody has tried since: each one's last."""
    held = {key(t.user_attrs["asked"]) for t in trials if holds(t)}
    found = {key(t.user_attrs["asked"]): t for t in trials if outcome(t) == FAILING}
    return [trial for k, trial in found.items() if k not in held]


def place_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """The place of a trial among those that were not lost, from 0."""
    return trial.number - sum(t.number < trial.number and is_lost(t) for t in trials)


def tried(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count: scored, pruned or without a score for good; each configuration once."""
    return [t for t in trials if outcome(t) in (SCORED, PRUNED, UNSCORED)]


def spent(trials: Sequence[FrozenTrial]) -> Spent:
    """What the study has cost."""
    counted = tried(trials)
    return Spent(
        trials=len(counted),
        calls=sum(result(t).get("calls", 0) for t in counted),
        tokens=sum(result(t).get("tokens", 0) for t in counted),
    )


def paid_for(trials: Sequence[FrozenTrial]) -> Iterator[str]:
    """Short keys of the answers that finished trials have paid for."""
    return (k for t in trials for k in result(t).get("keys", ()))


@dataclass
class Keeper:
    """Keeps a study in order while workers come, go and die.

    Attributes:
        study: The study.
        worker: This worker.
        shared: Whether all workers share the worker's folder, so that one without a lock there is dead.
    """

    study: optuna.Study
    worker: Worker
    shared: bool

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are stored now, by number."""
        return self.study.get_trials(deepcopy=False)

    def tidy(self) -> None:
        """Fail the trials of dead workers, and queue again what was lost."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and self._dead(trial):
                # Another worker may have seen it first, or see it at the same moment.
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        optuna.storages.fail_stale_trials(self.study)
        trials = self.trials()
        waiting = [t for t in trials if t.state == TrialState.WAITING and "asked" in t.user_attrs]
        lost = self._lost(trials)
        # Nobody else can take what waits, so it can be put in the order in which it was first drawn, as if nothing had
        # happened; a kill between two steps of this leaves the same configurations, and they are put in order next time.
        # Beside other workers the order is not exact anyway.
        wanted = sorted([*waiting, *lost], key=_first_drawn(trials)) if not self.worker.others() else lost
        if wanted == waiting:
            return
        for trial in waiting if wanted is not lost else ():
            # A worker that has just come may be at the same; what both queue again is tried once all the same.
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        for trial in wanted:
            self.enqueue(trial.user_attrs["asked"])

    def _lost(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """One lost trial of each configuration that nobody has tried, is at or has waiting."""
        held = {key(t.user_attrs["asked"]) for t in trials if "asked" in t.user_attrs and not is_lost(t)}
        found: dict[str, FrozenTrial] = {}
        for trial in trials:
            # One that was dropped for the sake of another worker is that worker's, unless he dropped it too, or died.
            if "asked" in trial.user_attrs and is_lost(trial):
                found.setdefault(key(trial.user_attrs["asked"]), trial)
        return [trial for k, trial in found.items() if k not in held]

    def enqueue(self, chosen: Choices) -> None:
        """Have this configuration tried next."""
        self.study.enqueue_trial(dict(chosen), user_attrs={"asked": dict(chosen)})

    def others_running(self) -> list[FrozenTrial]:
        """Trials that other workers are at."""
        return [t for t in self.trials() if t.state == TrialState.RUNNING and not self._dead(t)]

    def _dead(self, trial: FrozenTrial) -> bool:
        """Whether nobody is at a running trial; where nobody can know, its heartbeat decides in `fail_stale_trials`."""
        owner = trial.user_attrs.get("owner")
        if owner is not None:
            alive = self.worker.alive(str(owner))
            return not alive if alive is not None else self.shared
        if not self.shared:
            return False
        # Its worker died before it wrote its name, unless it is about to.
        begun = trial.datetime_start
        young = begun is not None and datetime.datetime.now() - begun < datetime.timedelta(seconds=HEARTBEAT)
        return not (young and self.worker.others())


def _first_drawn(trials: Sequence[FrozenTrial]) -> Callable[[FrozenTrial], int]:
    """The number of the first trial of a trial's configuration."""
    first: dict[str, int] = {}
    for trial in trials:
        if "asked" in trial.user_attrs:
            first.setdefault(key(trial.user_attrs["asked"]), trial.number)
    return lambda trial: first[key(trial.user_attrs["asked"])]
