"""How a program was chosen, and what it scored on dev: kept in the run of the winner, and found again by a later run of it.

Optimizations and searches note in the winner's run how many configurations were tried. Whoever scores the same program with the
same model later, on whatever part, finds that beside it: the number tried, and the scores on dev to set beside those of
the test part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data.files import write_private
from ..errors import RunError
from .runs import read_run
from .scores import Scores
from .tables import report_markdown

# What tells that the same thing was asked in another run.
_SAME = (
    ("program", "hash"),
    ("feature_set", "hash"),
    ("model", "name"),
    ("model", "digest"),
    ("route",),
    ("english",),
    ("translator", "name"),
    ("translator", "digest"),
    ("translator", "program", "hash"),
)


@dataclass(frozen=True)
class Choice:
    """One optimization or search that a program won.

    Attributes:
        by: The name of its folder.
        tried: Configurations that were tried in it, over all its models and routes.
        objective: The metric whose mean was maximised.
        score: The winner's, on dev.
        n: Transcripts of dev that it was compared on.
        out_of_fold: Whether thresholds decided, each transcript by thresholds that had not seen it.
        demos: The ids of the winner's worked examples.
    """

    by: str
    tried: int
    objective: str
    score: float | None
    n: int
    out_of_fold: bool
    demos: tuple[str, ...]


def record_choice(folder: Path, scores: Scores, choice: Choice) -> None:
    """Note in a winner's run, and in its report, how it was chosen.

    Args:
        folder: The run's folder.
        scores: The run's.
        choice: Takes the place of an earlier one of the same folder.
    """
    run = read_run(folder)
    kept = [c for c in run.get("chosen") or () if c["by"] != choice.by]
    run["chosen"] = [*kept, asdict(choice) | {"demos": list(choice.demos)}]
    write_private(folder / "report.md", report_markdown(run, scores, run["labels"]).encode("utf-8"))
    content = json.dumps(run, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_private(folder / "run.json", content.encode("utf-8"))


def past_of(run: Mapping[str, Any], places: Iterable[Path]) -> dict[str, Any]:
    """What earlier runs tell of what a run asked: `chosen`, a list of choices, and `dev`, its scores there or None.

    Args:
        run: What `run.json` is to hold.
        places: Folders of runs. What is no run, or one of another version, tells nothing.
    """
    folders = [f.parent for p in dict.fromkeys(p.resolve() for p in places) for f in sorted(p.glob("*/run.json"))]
    same = [(f, r) for f in folders if (r := _read(f)) and all(_at(r, *k) == _at(run, *k) for k in _SAME)]
    chosen = {str(_at(c, "by")): c for _, r in same for c in r.get("chosen") or ()}
    # Of a dev that was scored in part and whole, the whole.
    on_dev = sorted((s for s in same if _at(s[1], "data", "part") == "dev"), key=lambda s: -int(s[1]["data"]["n"]))
    dev = None
    if _at(run, "data", "part") != "dev":
        dev = next((dev_of(r, scores) for f, r in on_dev if (scores := _scores(f))), None)
    return {"chosen": list(chosen.values()), "dev": dev}


def dev_of(run: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores on dev as another run keeps them.

    Args:
        run: The run on dev.
        scores: Metric to its mean with an interval, as `Scores.summary` has them.
    """
    data = run["data"]
    return {
        "run": run["name"],
        "data": Path(data["name"]).name,
        "sha256": data["sha256"],
        "split_sha256": data["split_sha256"],
        "n": data["n"],
        "scores": dict(scores),
        "warnings": list(run.get("warnings") or ()),
    }


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return read_run(folder)
    except RunError:
        return None


def _scores(folder: Path) -> dict[str, Any] | None:
    """The summary of a run's scores, or None where they cannot be read."""
    try:
        return Scores.from_dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))).summary("false")
    except (OSError, ValueError, RunError):
        return None


def _at(value: Any, *keys: str) -> Any:
    """The value under these keys, one below the other; None where any of them is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
