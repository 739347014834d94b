"""What is searched, on what and for how long; and what a search says of itself in `search.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from .. import __version__
from ..data.files import plain_name
from ..data.store import key_of
from ..data.transcripts import Dataset
from ..engines.embedding import PACKAGED
from ..errors import InputError
from .budget import Budget
from .goals import Goals
from .plan import Plan
from .search_report import trial_rows
from .space import Space
from .study import spent

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SearchPlan:
    """A search as the user wants it.

    Attributes:
        base: Data, engines, objective, seed, limit and folder, as `balin optimize` has them.
        space: What may be chosen.
        budget: How much may be spent.
        goals: What is looked for; its objective is that of `base`.
        prune: Whether trials may end early.
        storage: A database's URL or a journal file for the study; by default a file in the search's folder.
    """

    base: Plan
    space: Space
    budget: Budget
    goals: Goals = field(default_factory=Goals)
    prune: bool = True
    storage: str | None = None

    @property
    def prunes(self) -> bool:
        """Whether trials may end early; never with two objectives, of which a part says nothing of the whole."""
        return self.prune and not self.goals.pareto

    def check(self) -> None:
        """Refuse what cannot be searched.

        Raises:
            InputError: The message names the option.
        """
        self.space.check(self.base.feature_set)
        self.budget.check()
        self.goals.check()
        self.base.check_translator_program()
        self.base.check_embedder(self.space.strategies)
        if self.storage == "journal:":
            raise InputError("--storage journal: names no file; give one, as in journal:study.journal")

    def name(self, dataset: Dataset) -> str:
        """Equal for equal settings, so that the same command goes on with the same study; budgets may be raised."""
        base = self.base
        told = key_of(
            space={k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.space).items()},
            goals=asdict(self.goals),
            limit=base.limit,
            prune=self.prunes,
            seed=base.seed,
            **({"translator_program": base.translating().hash()} if base.translator_program else {}),
            **({} if base.embedder == PACKAGED else {"embedder": base.embedder}),
            num_ctx=base.engines.num_ctx,
            # Another version may ask in other words, and the scores of two wordings are no one table.
            balin=__version__,
            feature_set=base.feature_set.hash,
            data=dataset.sha256,
            parts={t.id: t.part for t in dataset},
        )
        return f"search-{plain_name(Path(dataset.name).stem)}-{told[:8]}"

    def document(
        self, dataset: Dataset, folder: Path, study: str, trials: Sequence[FrozenTrial], reason: str
    ) -> dict[str, Any]:
        """What there is to say of a search before its finale."""
        used = spent(trials)
        return {
            "schema": SCHEMA_VERSION,
            "folder": str(folder),
            "study": study,
            "ended": reason,
            "objective": self.goals.objective,
            "goals": asdict(self.goals),
            "pruning": self.prunes,
            "seed": self.base.seed,
            "data": {"name": dataset.name, "sha256": dataset.sha256, "dev": len(dataset.part("dev"))},
            "feature_set": {"id": self.base.feature_set.id, "hash": self.base.feature_set.hash},
            "tried": used.trials,
            "spent": {"calls": used.calls, "generated_tokens": used.tokens},
            "trials": trial_rows(trials),
        }
