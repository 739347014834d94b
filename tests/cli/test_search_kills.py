"""A search that is killed at random moments and given again ends as one that was left alone; workers share a study."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from balin.cli import main
from balin.engines import opening
from balin.optimizers import search_job  # noqa: F401  (loaded once, before the forks)

sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import SET, Call, WordEngine, write_calls  # type: ignore[import-not-found]

KILLS = 4
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None

pytestmark = pytest.mark.skipif(FORK is None, reason="needs fork")


def work(data: Path, out: Path, log: Path, delay: float) -> None:
    """One worker, in a process of its own: every request is logged before it is answered, after a small delay."""

    class Slow(WordEngine):  # type: ignore[misc]
        def _count(self, asked: Any) -> None:
            with log.open("a") as file:
                file.write(f"{hash(str(asked))}\n")
            time.sleep(delay)

    opening._embedded = lambda *_: Slow()
    options = (
        "search", "--data", data, "--out", out, "--engine", "embedded", "--model", "smollm2:135m", "--format", "lines",
        "--format", "present", "--strategy", "random", "--draws", 2, "--limit", 8, "--max-trials", 6, "--no-prune",
    )  # fmt: skip
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os._exit(main([str(o) for o in options]))


def begun(*arguments: Any) -> Any:
    assert FORK is not None
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


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
        del row["cost"]["seconds"]
    return found


def test_killed_at_random_moments_it_ends_as_if_left_alone(data: Path, tmp_path: Path) -> None:
    alone = begun(data, tmp_path / "alone", tmp_path / "alone.log", 0.001)
    started = time.monotonic()
    alone.join()
    lasted = time.monotonic() - started
    assert alone.exitcode == 0
    rng = random.Random(1)
    for _ in range(KILLS):
        process = begun(data, tmp_path / "killed", tmp_path / "killed.log", 0.001)
        process.join(rng.uniform(0.1, 0.7) * lasted)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    last = begun(data, tmp_path / "killed", tmp_path / "killed.log", 0.001)
    last.join()
    assert last.exitcode == 0
    assert trials(tmp_path / "killed") == trials(tmp_path / "alone")
    asked = [len((tmp_path / f"{name}.log").read_text().splitlines()) for name in ("alone", "killed")]
    # A kill loses at most the request that was on its way.
    assert asked[0] <= asked[1] <= asked[0] + KILLS


def test_two_workers_share_a_study_and_one_may_die(data: Path, tmp_path: Path) -> None:
    workers = [begun(data, tmp_path / "out", tmp_path / f"{n}.log", 0.005) for n in range(3)]
    time.sleep(0.3)
    os.kill(workers[0].pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers[1:]] == [0, 0]
    last = begun(data, tmp_path / "out", tmp_path / "last.log", 0.0)
    last.join()
    assert last.exitcode == 0
    found = trials(tmp_path / "out")
    assert len(found) == 6
    assert len({json.dumps(t["configuration"], sort_keys=True) for t in found}) == 6
