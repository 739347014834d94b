"""A search that is killed at random moments and given again ends as one that was left alone; workers share a study."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from balin.cli import main
from balin.engines import opening
from balin.optimizers import search_job  # noqa: F401  (loaded once, before the forks)

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import SET, Call, WordEngine, write_calls  # type: ignore[import-not-found]

KILLS = 20
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None

pytestmark = pytest.mark.skipif(FORK is None, reason="needs fork")


@dataclass
class Fuse:
    """Kills its own process, as `kill -9` does, at the n-th step: a request, a statement to the database or a commit."""

    steps: int | None
    done: int = 0

    def step(self, *_: Any) -> None:
        self.done += 1
        if self.done == self.steps:
            os.kill(os.getpid(), signal.SIGKILL)


def work(data: Path, out: Path, log: Path, fuse: int | None = None, delay: float = 0.0) -> None:
    """One worker, in a process of its own: every request is logged before it is answered."""
    kill = Fuse(fuse)

    class Logged(WordEngine):  # type: ignore[misc]
        def _count(self, asked: Any) -> None:
            with log.open("a") as file:
                file.write(hashlib.sha256(str(asked).encode()).hexdigest() + "\n")
            time.sleep(delay)
            kill.step()

    for event in ("before_cursor_execute", "commit"):
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, event, kill.step)
    opening._embedded = lambda *_: Logged()
    options = (
        "search", "--data", data, "--out", out, "--engine", "embedded", "--model", "smollm2:135m", "--format", "lines",
        "--format", "present", "--strategy", "random", "--draws", 2, "--limit", 8, "--max-trials", 6, "--no-prune",
    )  # fmt: skip
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    code = main([str(o) for o in options])
    out.with_suffix(".steps").write_text(str(kill.done))
    os._exit(code)


def begun(*arguments: Any) -> Any:
    assert FORK is not None
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def ended(*arguments: Any) -> int:
    process = begun(*arguments)
    process.join()
    code: int = process.exitcode
    return code


@pytest.fixture
def data(tmp_path: Path) -> Path:
    parts = ["pool"] * 13 + ["dev"] * 8
    return write_calls(
        tmp_path / "c.csv", [Call(f"c{n}", frozenset({SET.ids[n % 4]}), part=part) for n, part in enumerate(parts)]
    )


def trials(out: Path) -> list[dict[str, Any]]:
    (file,) = out.glob("search-*/search.json")
    found: list[dict[str, Any]] = json.loads(file.read_text())["trials"]
    for row in found:
        del row["cost"]["seconds"], row["latency"]
    return found


def requests(*logs: Path) -> list[str]:
    return [line for log in logs if log.exists() for line in log.read_text().splitlines()]


def test_killed_at_random_moments_it_ends_as_if_left_alone(data: Path, tmp_path: Path) -> None:
    assert ended(data, tmp_path / "alone", tmp_path / "alone.log") == 0
    steps = int((tmp_path / "alone.steps").read_text())
    rng = random.Random(1)
    killed = 0
    while killed < KILLS:
        code = ended(data, tmp_path / "killed", tmp_path / "killed.log", rng.randint(1, steps // 4))
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    assert ended(data, tmp_path / "killed", tmp_path / "killed.log") == 0
    assert trials(tmp_path / "killed") == trials(tmp_path / "alone")
    once, again = requests(tmp_path / "alone.log"), requests(tmp_path / "killed.log")
    # A kill loses at most the request that was on its way.
    assert len(once) <= len(again) <= len(once) + KILLS
    assert set(again) == set(once)


def test_workers_share_a_study_and_are_killed_and_no_trial_is_lost_or_counted_twice(data: Path, tmp_path: Path) -> None:
    logs = [tmp_path / f"{n}.log" for n in range(3)]
    rng = random.Random(2)
    kills = 0
    for log in logs:
        # Two are killed at some step, and a third, which is not, may find all done.
        fuses = [rng.randint(20, 400), rng.randint(20, 400), None if log is logs[-1] else rng.randint(20, 400)]
        for worker in [begun(data, tmp_path / "out", log, fuse, 0.002) for fuse in fuses]:
            worker.join()
            assert worker.exitcode in (0, -signal.SIGKILL)
            kills += worker.exitcode != 0
    assert kills >= 3
    assert ended(data, tmp_path / "out", tmp_path / "last.log") == 0
    found = trials(tmp_path / "out")
    assert len(found) == 6
    assert len({json.dumps(t["configuration"], sort_keys=True) for t in found}) == 6
    # A kill loses the request that was on its way. Two workers may want the same eight answers of zero-shot, which measure
    # tokens, at the same moment.
    asked = requests(*logs, tmp_path / "last.log")
    assert len(asked) - len(set(asked)) <= kills + 8
