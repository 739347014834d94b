"""What a comparison and its page cost: the seconds of the resamples, of all statistics and of `report.html`, and its size.

    .venv/bin/python benchmarks/report.py                            # 5 arms × 13 features × 1,221 transcripts
    .venv/bin/python benchmarks/report.py --arms 2 --transcripts 100

The arms are those that the tests invent. Exit code 1 where a limit is missed: 5 s for the resamples, 10 s and 3 MB for the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "eval"))

from invented_arms import invented_run, invented_table

from balin.eval.comparison import compare_runs
from balin.eval.intervals import RESAMPLES
from balin.eval.page import render_page
from balin.eval.paired import PERMUTATIONS, resampled_values

RESAMPLING, PAGE, BYTES = 5.0, 10.0, 3_000_000


def main() -> None:
    """Measure once; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--transcripts", type=int, default=1221)
    options = parser.parse_args()
    tables = [
        invented_table(options.transcripts, seed=i, skill=1.6 - 0.25 * i, missing=0.02 * i, probabilities=True)
        for i in range(options.arms)
    ]
    begun = time.perf_counter()
    resampled_values(tables, "false", RESAMPLES, 0)
    resampling = time.perf_counter() - begun
    begun = time.perf_counter()
    comparison = compare_runs([(invented_run(i), table) for i, table in enumerate(tables)])
    statistics = time.perf_counter() - begun
    begun = time.perf_counter()
    size = len(render_page(comparison.selection, comparison).encode())
    page = time.perf_counter() - begun
    passed = resampling < RESAMPLING and page < PAGE and size < BYTES
    print(
        f"{RESAMPLES} resamples: {resampling:.1f} s; with {PERMUTATIONS} swaps and everything else that is compared: "
        f"{statistics:.1f} s; the page: {page:.1f} s, {size / 1e6:.2f} MB"
    )
    print(
        json.dumps(
            {
                "arms": options.arms, "transcripts": options.transcripts, "resampling_seconds": round(resampling, 2),
                "statistics_seconds": round(statistics, 2), "page_seconds": round(page, 2), "bytes": size, "passed": passed,
            }
        )
    )  # fmt: skip
    sys.exit(not passed)


if __name__ == "__main__":
    main()
