"""Two workers on one study against one: the same budget, each worker with an engine host of its own.

    .venv/bin/python benchmarks/workers.py --out /tmp/workers

Each host answers after a fixed delay, one request at a time, as a machine with a model does; so what is measured is the search
and not the model. The clock runs from the start of the first command to the end of the last, Python's start included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS / "engines"), str(TESTS / "eval")]
from calls import SET, Call, WordEngine, write_calls  # type: ignore[import-not-found]  # noqa: E402
from ollama_server import OllamaServer, serve  # type: ignore[import-not-found]  # noqa: E402

MODEL = "smollm2:135m"
LIMIT = 0.6


def main() -> None:
    """Measure, print; the last line is JSON. Exit code 1 where two workers take more than 0.6 of the time of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds that an answer takes")
    parser.add_argument("--dev", type=int, default=20, help="transcripts that each trial is scored on")
    parser.add_argument("--trials", type=int, default=24)
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists; answers in its store would be reused, so give a new folder")
    options.out.mkdir(parents=True)
    parts = ["pool"] * 26 + ["dev"] * options.dev
    data = write_calls(
        options.out / "calls.csv",
        [Call(f"c{n}", frozenset({SET.ids[n % 13]}), part=part) for n, part in enumerate(parts)],
    )
    measured = {workers: _measure(workers, data, options) for workers in (1, 2)}
    ratio = measured[2]["seconds"] / measured[1]["seconds"]
    for workers, found in measured.items():
        print(
            f"{workers} worker(s): {found['seconds']:.1f} s, {found['tried']} configurations, calls by host {found['calls']}"
        )
    print(f"two workers take {ratio:.2f} of the time of one (at most {LIMIT})")
    print(
        json.dumps({"delay": options.delay, "measured": measured, "ratio": round(ratio, 3), "passed": ratio <= LIMIT})
    )
    sys.exit(ratio > LIMIT)


def _measure(workers: int, data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The time of so many workers from the first start to the last end, and what they left."""
    out = options.out / f"workers-{workers}"
    with ExitStack() as stack:
        servers = [stack.enter_context(_host(options.delay)) for _ in range(workers)]
        begun = time.perf_counter()
        running = [stack.enter_context(_worker(data, out, server, options.trials)) for server in servers]
        codes = [process.wait() for process in running]
        seconds = time.perf_counter() - begun
        calls = [server.count("chat") for server in servers]
    if any(codes):
        sys.exit(f"a worker ended with exit code {max(codes)}; see {out}")
    (file,) = out.glob("search-*/search.json")
    document = json.loads(file.read_text())
    return {"seconds": round(seconds, 2), "tried": document["tried"], "spent": document["spent"], "calls": calls}


def _host(delay: float) -> Any:
    return serve(WordEngine(before=lambda _: time.sleep(delay)), MODEL)


def _worker(data: Path, out: Path, server: OllamaServer, trials: int) -> subprocess.Popen[bytes]:
    command: Sequence[str] = (
        sys.executable, "-m", "balin", "search", "--data", str(data), "--out", str(out), "--engine", "ollama",
        "--host", server.url, "--model", MODEL, "--format", "lines", "--format", "present", "--strategy", "random",
        "--strategy", "coverage", "--demos", "4", "--demos", "8", "--draws", "3", "--max-trials", str(trials), "--no-prune",
    )  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))


if __name__ == "__main__":
    main()
