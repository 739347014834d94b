"""Workers on one study, each with an engine host of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balin.cli import main
from balin.optimizers import search_job  # noqa: F401  (loaded once, before the forks)

for folder in ("eval", "engines"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
from calls import SET, Call, WordEngine, write_calls  # type: ignore[import-not-found]  # noqa: E402
from ollama_server import serve  # type: ignore[import-not-found]  # noqa: E402

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None

pytestmark = pytest.mark.skipif(FORK is None, reason="needs fork")


def work(data: Path, out: Path, storage: Path, told: Any) -> None:
    """One worker, in a process of its own, that is told its host."""
    options = (
        "search", "--data", data, "--out", out, "--engine", "ollama", "--host", told.recv(), "--model", "smollm2:135m",
        "--format", "lines", "--format", "present", "--strategy", "random", "--demos", 4, "--draws", 2, "--max-trials", 6,
        "--no-prune", "--storage", storage,
    )  # fmt: skip
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os._exit(main([str(o) for o in options]))


def together(barrier: threading.Barrier) -> Callable[[int], None]:
    """The first request waits for that of the other host, so that both workers are at it."""
    return lambda number: (barrier.wait(60), None)[1] if number == 1 else None


def test_each_worker_asks_its_own_host_and_the_table_is_one(tmp_path: Path) -> None:
    assert FORK is not None
    parts = ["pool"] * 13 + ["dev"] * 8
    calls = [Call(f"c{n}", frozenset({SET.ids[n % 4]}), part=part) for n, part in enumerate(parts)]
    data = write_calls(tmp_path / "c.csv", calls)
    barrier = threading.Barrier(2)
    workers = []
    # Forked before the servers' threads begin.
    for _ in range(2):
        told, telling = FORK.Pipe(duplex=False)
        worker = FORK.Process(target=work, args=(data, tmp_path / "out", tmp_path / "s.journal", told))
        worker.start()
        workers.append((worker, telling))
    with serve(WordEngine(before=together(barrier))) as one, serve(WordEngine(before=together(barrier))) as other:
        for (_, telling), server in zip(workers, (one, other), strict=True):
            telling.send(server.url)
        for worker, _ in workers:
            worker.join()
        bodies = [json.dumps(b["messages"]) for server in (one, other) for b in server.bodies("chat")]
        assert min(server.count("chat") for server in (one, other)) > 0
    assert [worker.exitcode for worker, _ in workers] == [0, 0]
    (file,) = (tmp_path / "out").glob("search-*/search.json")
    trials = json.loads(file.read_text())["trials"]
    assert len(trials) == len({json.dumps(t["configuration"], sort_keys=True) for t in trials}) == 6
    # Both may measure tokens with the same eight answers of zero-shot at the same moment; nothing else is asked twice.
    assert len(bodies) - len(set(bodies)) <= 8
